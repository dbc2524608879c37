//! Escapes text for CEF. The header and the extension have different rules: see "Character Encoding" in *Implementing ArcSight
//! Common Event Format*, version 25.

use std::fmt::Write as _;

/// Appends a text to the header. Escapes `|` and `\` with a backslash. The header cannot contain a line break: a space replaces
/// it.
pub(crate) fn header(line: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '|' | '\\' => line.extend(['\\', c]),
            '\n' | '\r' => line.push(' '),
            c => plain(line, c),
        }
    }
}

/// Appends a value to the extension. Escapes `=` and `\` with a backslash, and a line break as `\n`. Truncates the value at
/// `max_bytes`, at the end of a character or escape sequence.
pub(crate) fn value(line: &mut String, text: &str, max_bytes: usize) {
    let end = line.len() + max_bytes;
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

/// Appends a character. CEF has no escape for control characters and for characters that hide text or change its direction. They
/// are written as text, such as `\u{1b}`, with an escaped backslash.
fn plain(line: &mut String, c: char) {
    if is_unsafe(c) {
        write!(line, "\\\\u{{{:x}}}", u32::from(c))
            .expect("invariant: writing to a String never fails");
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
        | '\u{e0000}'..='\u{e007f}') // invisible characters: joiners, fillers, tags
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the standard, and cases that it does not mention.
    #[test]
    fn texts_are_escaped() {
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
    fn values_are_truncated_between_characters_and_escapes() {
        for (text, max_bytes, expect) in [
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
            value(&mut line, text, max_bytes);
            assert_eq!(line[2..], *expect, "{text:?}");
        }
    }
}
