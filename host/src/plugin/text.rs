//! Makes text that comes from a plugin or its file fit for a message. Events are not its business.

/// Most characters of a plugin's text in one message.
const LONGEST: usize = 400;

/// The text on one line, cut short, with control characters and marks that reorder text escaped.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(LONGEST));
    for (i, c) in text.trim_end().chars().enumerate() {
        if i == LONGEST {
            out.push('…');
            break;
        }
        if c.is_control() || is_format(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that are not seen, but change how those around them are: bidirectional marks, separators, joiners.
fn is_format(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
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
    }
}
