//! Names of errnos.

use std::fmt;

use nix::errno::Errno;

/// The name of an errno, like `ECONNREFUSED`.
pub struct ErrorName(Errno);

impl ErrorName {
    /// None for what Linux has no name for.
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
