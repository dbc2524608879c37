//! Why the live source can't run, or runs without a hook.

use std::{fmt, io, path::PathBuf};

/// Why the live source can't run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel is too old.
    #[error("kernel {release} is too old: lightmon needs Linux 5.8 or newer (ring buffer)")]
    OldKernel {
        /// The release as in uname(2).
        release: String,
    },
    /// The process is not root, and lacks capabilities.
    #[error(
        "not allowed to load eBPF programs: run as root, or with CAP_BPF, CAP_PERFMON, CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE"
    )]
    NotAllowed,
    /// tracefs is not mounted, and mounting it failed.
    #[error(
        "mount tracefs on /sys/kernel/tracing, where the hooks are (as root, or use a kernel with CONFIG_FTRACE)"
    )]
    NoTracefs {
        /// The error of mount(2).
        source: io::Error,
    },
    /// The kernel object that the user named can't be read.
    #[error("read kernel object {}", path.display())]
    Object {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The kernel refuses the program.
    #[error(
        "load the kernel program (the kernel needs CONFIG_BPF_SYSCALL and CONFIG_BPF_EVENTS, and must not be in lockdown)"
    )]
    Load(#[from] aya::EbpfError),
    /// The kernel object lacks a map or a program.
    #[error(
        "the kernel object has no {0}: it is damaged or of another version; rebuild it with `make ebpf`"
    )]
    Part(&'static str),
    /// A map can't be used.
    #[error("open a map of the kernel program")]
    Map(#[from] aya::maps::MapError),
    /// The hook that lightmon can't do without can't be attached.
    #[error("{0}")]
    Attach(Degraded),
}

/// A hook that could not be attached, or BTF that could not be read.
#[derive(Debug)]
pub struct Degraded {
    /// The name, as in [`hooks`](fn@super::hooks), or `BTF`.
    pub hook: String,
    /// What lightmon does not report without it.
    pub lost: &'static str,
    /// Why it could not be attached.
    pub reason: String,
}

impl fmt::Display for Degraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hook, lost, reason } = self;
        write!(f, "attach {hook}: {reason}; without it: {lost}")
    }
}
