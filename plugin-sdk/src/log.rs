//! Writes messages to lightmon's log. lightmon discards and counts messages beyond 20 a second, so log what a user can act
//! on, not every event.
//!
//! ```
//! use lightmon_plugin::log;
//!
//! log::info("ready");
//! log::warn(format_args!("no entry for {}", "192.0.2.1"));
//! ```

use alloc::string::ToString;
use core::fmt::Display;

use crate::host;

/// The level of a message.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Level {
    /// The plugin cannot do its work.
    Error = 1,
    /// Something the user should look at.
    Warn = 2,
    /// Something the user may want to know.
    Info = 3,
    /// Something for the author of the plugin. lightmon shows it only on request.
    Debug = 4,
}

/// Writes a message. lightmon truncates it at 2 KiB.
pub fn log(level: Level, text: impl Display) {
    host::log::log(level as u8, &text.to_string());
}

/// Writes a message at [`Level::Error`].
pub fn error(text: impl Display) {
    log(Level::Error, text);
}

/// Writes a message at [`Level::Warn`].
pub fn warn(text: impl Display) {
    log(Level::Warn, text);
}

/// Writes a message at [`Level::Info`].
pub fn info(text: impl Display) {
    log(Level::Info, text);
}

/// Writes a message at [`Level::Debug`].
pub fn debug(text: impl Display) {
    log(Level::Debug, text);
}
