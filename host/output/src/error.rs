//! The errors of the output.

use std::{io, path::PathBuf};

/// Why something could not be written. The text names the cause, so the cause is not a `source`: it would be printed twice.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The reader of standard output has closed it.
    #[error("the reader of standard output has gone; what it did not take is lost")]
    Closed,
    /// The reader took nothing for too long.
    #[error("the output was too slow or took nothing; what it did not take in time is lost")]
    Stalled,
    /// A write failed. The next batch is tried again.
    #[error("write to {to}: {cause}")]
    Write {
        /// The file, or standard output.
        to: String,
        /// The cause.
        cause: io::Error,
    },
    /// The directory for log files can't be created.
    #[error("make the log path {}: {cause}; choose another with --log-path", path.display())]
    Directory {
        /// Its path.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// A log file can't be opened.
    #[error("open the log file {}: {cause}; it must be a regular file, and not a symbolic link", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// The output's thread can't be started.
    #[error("start the output's thread: {0}")]
    Thread(io::Error),
}
