//! Prepares text of a plugin or its file for a message in the log. Not for events: it cuts long text.

use super::is_unsafe;

/// How many characters of a text are in one message.
const MAX_PRINTED_CHARS: usize = 400;

/// The text on one line, cut after 400 characters, with unsafe characters escaped.
pub fn printable(text: &str) -> String {
    let mut ends = text.char_indices().map(|(at, _)| at);
    printable_within(text, ends.nth(MAX_PRINTED_CHARS).unwrap_or(text.len()))
}

/// As [`printable`], but cut after `max_bytes` bytes of the text.
pub fn printable_within(text: &str, max_bytes: usize) -> String {
    let text = text.trim_end();
    let mut out = String::with_capacity(text.len().min(max_bytes));
    for (at, c) in text.char_indices() {
        if at + c.len_utf8() > max_bytes {
            out.push('…');
            break;
        }
        if is_unsafe(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_forge_a_message() {
        assert_eq!(
            printable("no key\n\x1b[2Jroot: \u{202e}ok\0\n"),
            r"no key\n\u{1b}[2Jroot: \u{202e}ok\u{0}"
        );
        assert_eq!(printable("für Zoë, 東京"), "für Zoë, 東京");
        assert_eq!(printable(&"x".repeat(1_000_000)).chars().count(), 401);
        assert_eq!(printable(&"ü".repeat(400)).chars().count(), 400);
        assert_eq!(printable_within("aüb", 2), "a…");
        assert_eq!(printable_within("aüb", 4), "aüb");
    }
}
