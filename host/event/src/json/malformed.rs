//! Why a line is not an event.

use super::VERSION;
use crate::escape;

/// Why a line is neither an event nor a notice. The text is safe to print.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Not the JSON of an event or a notice.
    #[error("{}", brief(.0))]
    Json(#[from] serde_json::Error),
    /// An event without a time.
    #[error("it has neither `time` nor `goTime`")]
    NoTime,
    /// Written by a newer lightmon.
    #[error(
        "its schema is version {0}, and this lightmon reads {VERSION}: replay it with a newer one"
    )]
    Version(u64),
}

/// The text of serde_json, cut: it quotes input of any length. Without the line number, which always is 1.
fn brief(error: &serde_json::Error) -> String {
    const MAX_REASON_CHARS: usize = 160;
    let text = error.to_string();
    let reason = text
        .rsplit_once(" at line ")
        .map_or(&*text, |(reason, _)| reason);
    let cut: String = reason.chars().take(MAX_REASON_CHARS).collect();
    let dots = if cut.len() < reason.len() { "…" } else { "" };
    format!("column {}: {}{dots}", error.column(), escape::Text(&cut))
}
