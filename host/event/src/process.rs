//! A process and its ancestors, and how they are known.

use std::{sync::Arc, time::Duration};

/// Maximum length of the arguments of a process. Longer arguments are cut.
pub const MAX_ARGS_BYTES: usize = 4096;

/// A process: its program, its arguments and its ancestors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// Process id: the kernel's thread group id.
    pub pid: u32,
    /// When the process started, since boot. Pid and start time together identify a process. Not known without BTF.
    pub started: Option<Duration>,
    /// Name of the process (at most 15 bytes).
    pub comm: Arc<str>,
    /// Path of the program, in the mount namespace of the process.
    pub path: Option<Arc<str>>,
    /// Arguments. The first is the name of the program.
    pub args: Option<Arc<[Arc<str>]>>,
    /// Whether there are more arguments than `args` holds.
    pub args_cut: bool,
    /// Ancestors, the parent first. Siblings share them.
    pub parents: Arc<[Parent]>,
    /// How path and arguments are known; `None` if they are not known.
    pub provenance: Option<Provenance>,
}

/// How something is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Provenance {
    /// Seen by the kernel program at exec.
    Exec,
    /// Read later, from /proc or the cgroup's directory.
    Proc,
}

impl Provenance {
    /// The word for the provenance.
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
    /// Process id: the kernel's thread group id.
    pub pid: u32,
    /// When the process started, since boot.
    pub started: Option<Duration>,
    /// Name of the process.
    pub comm: Arc<str>,
    /// Path of the program.
    pub path: Option<Arc<str>>,
}

/// Splits NUL-terminated arguments, as the kernel keeps them. Bytes that are not UTF-8 are replaced.
pub fn split_args(bytes: &[u8]) -> Arc<[Arc<str>]> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    bytes
        .split(|byte| *byte == 0)
        .map(|arg| String::from_utf8_lossy(arg).into())
        .collect()
}
