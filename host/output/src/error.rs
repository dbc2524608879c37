//! What can go wrong with the output.

use std::{io, path::PathBuf};

/// Why something could not be written. The text names the cause: it is no `source`, lest it be said twice.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody reads standard output any more.
    #[error("the reader of standard output has gone; what it did not take is lost")]
    Closed,
    /// Somebody may, but did not for too long.
    #[error("the output was too slow or took nothing; what it did not take in time is lost")]
    Stalled,
    /// A write went wrong; the next batch is tried again.
    #[error("write to {to}: {cause}")]
    Write {
        /// What to.
        to: String,
        /// Why.
        cause: io::Error,
    },
    /// The directory for log files can't be made.
    #[error("make the log path {}: {cause}; choose another with --log-path", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A log file can't be opened.
    #[error("open the log file {}: {cause}; it must be a regular file, and no symbolic link", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// There is no thread for it.
    #[error("start the output's thread: {0}")]
    Thread(io::Error),
}
