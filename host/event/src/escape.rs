//! Escapes text from processes, containers and plugins, so that it is safe to print. No information is lost.
//! Cuts no text, except for [`printable`].
//!
//! ```text
//! text   evil\n\x1b[2J\u{202e}gpj.exe       for people: the table, the log on stderr
//! JSON   evil\n\u001b[2J\u202egpj.exe       parses back into the same text: the formats log and json
//! ```

mod printable;

use std::{
    fmt::{self, Write as _},
    io,
};

pub use self::printable::{printable, printable_within};

/// Whether the character could mislead a terminal or a reader: control characters (C0, DEL, C1), line separators, direction
/// marks, and invisible characters (two names that look the same must be the same).
pub const fn is_unsafe(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'                   // C0, DEL, C1
        | '\u{2028}' | '\u{2029}'                           // line and paragraph separator
        | '\u{61c}' | '\u{200e}' | '\u{200f}'               // direction marks
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' // direction embeddings, overrides, isolates
        | '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}') // invisible: joiners, fillers, tags
}

/// Displays text with unsafe characters as `\n`, `\x1b`, `\u{202e}`.
pub struct Text<'a>(pub &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_ascii() && is_unsafe(c) => write!(f, "\\x{:02x}", u32::from(c))?,
                c if is_unsafe(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Formats JSON on one line, with unsafe characters as `\uXXXX`. serde_json itself escapes C0, `"` and `\`.
pub struct Json;

impl serde_json::ser::Formatter for Json {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        json(fragment, &[], writer)
    }
}

/// Whether the byte needs no escape in a JSON string.
const fn needs_no_escape(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\')
}

const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = needs_no_escape(byte as u8);
        byte += 1;
    }
    table
};

/// Writes text as it is between the quotes of a JSON string.
pub fn json_text(text: &str, out: &mut Vec<u8>) {
    // Nearly always there is nothing to escape. Not `all`: a loop without an early exit checks many bytes at once.
    let (chunks, rest) = text.as_bytes().as_chunks::<8>();
    let is_plain = chunks.iter().fold(true, |is_plain, chunk| {
        is_plain
            & chunk
                .iter()
                .fold(true, |it, byte| it & needs_no_escape(*byte))
    });
    // For the last few bytes, a table is the fastest. Most texts are short.
    let is_plain = rest.iter().fold(is_plain, |is_plain, byte| {
        is_plain & PLAIN[usize::from(*byte)]
    });
    if is_plain {
        return out.extend_from_slice(text.as_bytes());
    }
    let start = out.len();
    serde::Serialize::serialize(
        text,
        &mut serde_json::Serializer::with_formatter(&mut *out, Json),
    )
    .expect("invariant: a Vec takes every write");
    // Remove the quotes of serde_json.
    out.remove(start);
    out.pop();
}

/// Writes a plugin's line. Unsafe characters become `\uXXXX`, which keeps the meaning of JSON strings: most such lines are JSON.
/// Tabs stay.
pub fn line(text: &str, out: &mut Vec<u8>) {
    json(text, &['\t'], out).expect("invariant: a Vec takes every write");
}

fn json<W: ?Sized + io::Write>(text: &str, keep: &[char], out: &mut W) -> io::Result<()> {
    // Nearly always there is nothing to escape.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return out.write_all(text.as_bytes());
    }
    let mut start = 0;
    for (at, c) in text.char_indices() {
        if !is_unsafe(c) || keep.contains(&c) {
            continue;
        }
        out.write_all(&text.as_bytes()[start..at])?;
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(out, "\\u{unit:04x}")?;
        }
        start = at + c.len_utf8();
    }
    out.write_all(&text.as_bytes()[start..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOSTILE: &str = "a\n\r\t\x1b[2J\x7f\u{9b}1m\u{202e}gpj\u{2066}\u{200f}\u{61c}\u{200b}\u{feff}\u{2028}\u{e0041}|\"\\é日👍";

    #[test]
    fn unsafe_characters_become_visible() {
        assert_eq!(
            Text(HOSTILE).to_string(),
            r#"a\n\r\t\x1b[2J\x7f\u{9b}1m\u{202e}gpj\u{2066}\u{200f}\u{61c}\u{200b}\u{feff}\u{2028}\u{e0041}|"\é日👍"#
        );
    }

    #[test]
    fn a_line_stays_one_line_and_keeps_its_tabs() {
        let mut out = Vec::new();
        line("one\ttwo\r\nthree\x1b[31m\u{202e}\u{e0041}", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "one\ttwo\\u000d\\u000athree\\u001b[31m\\u202e\\udb40\\udc41"
        );
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_left(text: String) {
            prop_assert!(!Text(&text).to_string().chars().any(is_unsafe));
            let mut out = Vec::new();
            line(&text, &mut out);
            let out = String::from_utf8(out).unwrap();
            prop_assert!(!out.chars().any(|c| is_unsafe(c) && c != '\t'));
        }

        #[test]
        fn json_parses_back_into_the_same_text(text in prop_oneof![any::<String>(), Just(HOSTILE.to_owned())]) {
            let mut out = Vec::new();
            serde::Serialize::serialize(&text, &mut serde_json::Serializer::with_formatter(&mut out, Json)).unwrap();
            let out = String::from_utf8(out).unwrap();
            prop_assert!(!out.chars().any(is_unsafe));
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
