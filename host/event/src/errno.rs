//! Names of errnos. What an errno means for a connection is in [`Outcome`](crate::Outcome).

use std::fmt;

use nix::errno::Errno;

/// The name of an errno, like `ECONNREFUSED`.
pub struct ErrorName(Errno);

impl ErrorName {
    /// `None` if Linux has no name for the number.
    pub fn of(errno: u16) -> Option<Self> {
        let errno = Errno::from_raw(errno.into());
        (errno != Errno::UnknownErrno).then_some(Self(errno))
    }
}

impl fmt::Display for ErrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
