//! Makes text that comes from a plugin or its file fit for a message. Events are not its business.

use super::is_unsafe;

/// Most characters of a plugin's text in one message.
const LONGEST: usize = 400;

/// The text on one line, cut short, with control characters and marks that reorder text escaped.
pub fn printable(text: &str) -> String {
    let mut ends = text.char_indices().map(|(at, _)| at);
    printable_within(text, ends.nth(LONGEST).unwrap_or(text.len()))
}

/// The same, cut after so many bytes of the text.
pub fn printable_within(text: &str, longest: usize) -> String {
    let text = text.trim_end();
    let mut out = String::with_capacity(text.len().min(longest));
    for (at, c) in text.char_indices() {
        if at + c.len_utf8() > longest {
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
    fn nothing_forges_a_message() {
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
