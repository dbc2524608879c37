//! Messages, to where lightmon's own go. lightmon leaves out more than 20 a second, and counts them: say what a user can do
//! something about, not what was seen.
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

/// How much a message matters.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Level {
    /// The plugin can't do what it is there for.
    Error = 1,
    /// Something the user should look at.
    Warn = 2,
    /// Something the user may want to know.
    Info = 3,
    /// For who writes the plugin; lightmon shows it when it is asked to.
    Debug = 4,
}

/// Writes a message. lightmon cuts it after 2 KiB.
pub fn log(level: Level, text: impl Display) {
    host::log::log(level as u8, &text.to_string());
}

/// Writes a message of [`Level::Error`].
pub fn error(text: impl Display) {
    log(Level::Error, text);
}

/// Writes a message of [`Level::Warn`].
pub fn warn(text: impl Display) {
    log(Level::Warn, text);
}

/// Writes a message of [`Level::Info`].
pub fn info(text: impl Display) {
    log(Level::Info, text);
}

/// Writes a message of [`Level::Debug`].
pub fn debug(text: impl Display) {
    log(Level::Debug, text);
}
