//! Splits the output of a plugin into lines.

/// Joins pieces of text to lines.
#[derive(Default)]
pub(crate) struct LineBuffer(Vec<u8>);

impl LineBuffer {
    /// Bytes of a line; a longer line is split.
    const MAX_LINE_BYTES: usize = 2048;

    /// Adds a piece, and calls `line` with each line that it completes.
    pub(crate) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            for part in part.chunks(Self::MAX_LINE_BYTES) {
                self.0.extend_from_slice(part);
                if part.ends_with(b"\n") || self.0.len() >= Self::MAX_LINE_BYTES {
                    let text = String::from_utf8_lossy(&self.0);
                    if !text.trim().is_empty() {
                        line(text.trim_end());
                    }
                    self.0.clear();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_lines() {
        let (mut lines, mut all) = (LineBuffer::default(), Vec::new());
        let long = "x".repeat(LineBuffer::MAX_LINE_BYTES + 1);
        for piece in ["pan", "ic: ", "no\n\ngoroutine\nrest", &long, "\n"] {
            lines.push(piece.as_bytes(), |line| all.push(line.to_owned()));
        }
        assert_eq!(all[..2], ["panic: no", "goroutine"]);
        assert_eq!(all[2..].concat(), format!("rest{long}"));
        assert!(
            all.iter()
                .all(|line| line.len() <= LineBuffer::MAX_LINE_BYTES + 4),
            "{}",
            all.len()
        );
    }
}
