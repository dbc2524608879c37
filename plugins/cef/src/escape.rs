//! How CEF keeps its own signs apart from those of a text. Two places, two rules: "Character Encoding" in *Implementing ArcSight
//! Common Event Format*, version 25.

use std::fmt::Write as _;

/// Adds a text to the header: `|` and `\` get a backslash. There is no way to write the end of a line there: a space stands
/// for it.
pub(crate) fn header(line: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '|' | '\\' => line.extend(['\\', c]),
            '\n' | '\r' => line.push(' '),
            c => plain(line, c),
        }
    }
}

/// Adds a value to the extension: `=` and `\` get a backslash, the end of a line becomes `\n`. Stops before it gets longer than
/// that many bytes, never within a character or what stands for it.
pub(crate) fn value(line: &mut String, text: &str, longest: usize) {
    let end = line.len() + longest;
    for c in text.chars() {
        let before = line.len();
        match c {
            '=' | '\\' => line.extend(['\\', c]),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            c => plain(line, c),
        }
        if line.len() > end {
            line.truncate(before);
            return;
        }
    }
}

/// CEF has no way to write other control characters, nor those that turn around or hide what a person reads: they become
/// `\u{1b}`, whose backslash is escaped in turn.
fn plain(line: &mut String, c: char) {
    if is_unsafe(c) {
        write!(line, "\\\\u{{{:x}}}", u32::from(c)).expect("invariant: a String takes all");
    } else {
        line.push(c);
    }
}

const fn is_unsafe(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'                   // C0, DEL, C1
        | '\u{2028}' | '\u{2029}'                           // line and paragraph separator
        | '\u{61c}' | '\u{200e}' | '\u{200f}'               // direction marks
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' // direction embeddings, overrides, isolates
        | '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}') // invisible: joiners, fillers, tags
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the standard, and what it says nothing of.
    #[test]
    fn rules() {
        for (text, in_header, in_value) in [
            (
                "detected a \\ in packet",
                r"detected a \\ in packet",
                r"detected a \\ in packet",
            ),
            (
                "detected a | in message",
                r"detected a \| in message",
                "detected a | in message",
            ),
            (
                "detected a = in message",
                "detected a = in message",
                r"detected a \= in message",
            ),
            (
                "blocked\nNo action",
                "blocked No action",
                r"blocked\nNo action",
            ),
            ("a\r\nb", "a  b", r"a\r\nb"),
            (r"\n", r"\\n", r"\\n"),
            (r"\=|", r"\\=\|", r"\\\=|"),
            ("tab\there", r"tab\\u{9}here", r"tab\\u{9}here"),
            ("\x1b[2J\0", r"\\u{1b}[2J\\u{0}", r"\\u{1b}[2J\\u{0}"),
            (
                "\u{202e}gpj\u{200b}",
                r"\\u{202e}gpj\\u{200b}",
                r"\\u{202e}gpj\\u{200b}",
            ),
            ("ключ 🔑", "ключ 🔑", "ключ 🔑"),
            ("", "", ""),
        ] {
            let (mut one, mut other) = (String::new(), String::new());
            header(&mut one, text);
            value(&mut other, text, 100);
            assert_eq!((&*one, &*other), (in_header, in_value), "{text:?}");
        }
    }

    #[test]
    fn nothing_is_torn_apart() {
        for (text, longest, expect) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "abc"),
            ("ab=", 3, "ab"),
            ("ab\n", 3, "ab"),
            ("é", 1, ""),
            ("a\x1b", 7, "a"),
            ("a\x1b", 8, r"a\\u{1b}"),
            ("abc", 0, ""),
        ] {
            let mut line = "x=".to_owned();
            value(&mut line, text, longest);
            assert_eq!(line[2..], *expect, "{text:?}");
        }
    }
}
