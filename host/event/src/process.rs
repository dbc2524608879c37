//! A process, its ancestors, and how that is known.

use std::{sync::Arc, time::Duration};

/// A process: what it runs, and where it came from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// Thread group.
    pub pid: u32,
    /// When it started, since boot; with the pid it names a process for good. Not known without BTF.
    pub started: Option<Duration>,
    /// Name of the process (at most 15 bytes).
    pub comm: Arc<str>,
    /// Path of the program, as seen in the process's own mount namespace.
    pub path: Option<Arc<str>>,
    /// Arguments, the program's name first.
    pub args: Option<Arc<[Arc<str>]>>,
    /// Whether there are more arguments than `args` holds.
    pub args_cut: bool,
    /// Ancestors, the parent first; siblings share them.
    pub parents: Arc<[Parent]>,
    /// How path and arguments are known; `None`: they are not.
    pub provenance: Option<Provenance>,
}

/// How something is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Provenance {
    /// Seen when it started, by the kernel program.
    Exec,
    /// Read later, from /proc or the cgroup's folder.
    Proc,
}

impl Provenance {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Proc => "proc",
        }
    }
}

/// An ancestor of a process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parent {
    /// Thread group.
    pub pid: u32,
    /// When it started, since boot.
    pub started: Option<Duration>,
    /// Name of the process.
    pub comm: Arc<str>,
    /// Path of its program.
    pub path: Option<Arc<str>>,
}

/// NUL-ended arguments, as the kernel keeps them, as texts. They need not be UTF-8.
pub fn split_args(bytes: &[u8]) -> Arc<[Arc<str>]> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    bytes
        .split(|byte| *byte == 0)
        .map(|arg| String::from_utf8_lossy(arg).into())
        .collect()
}
