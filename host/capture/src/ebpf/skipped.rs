//! Counts the runs of hooks that the kernel has skipped. Each may have been an event; what it was is not known.
//!
//! The kernel skips a program that would interrupt itself. For most kinds of hooks it also skips a program that would interrupt any
//! other program. Since Linux 5.12 the kernel counts these runs: `recursion_misses` in kernel/bpf/syscall.c. On older kernels the count
//! here stays 0.

use std::{
    fs::File,
    io, mem,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::FileExt as _,
    },
};

use aya::Ebpf;

use super::hooks::RAW_TCP;

/// The line of /proc/self/fdinfo/FD.
const FIELD: &str = "recursion_misses:";

/// Longer than a file of /proc/self/fdinfo for a program.
const MAX_FDINFO_BYTES: usize = 1024;

/// The count of skipped runs.
pub(super) struct SkippedRuns {
    /// Files of /proc/self/fdinfo, one a program. Opened at the start, while lightmon has the capabilities for that.
    fdinfos: Vec<File>,
    /// The sum when it was last read.
    counted: u64,
}

impl SkippedRuns {
    /// Counts for all programs that are loaded, except [`RAW_TCP`]: of these two, one sees the runs that the other misses.
    pub(super) fn new(ebpf: &Ebpf) -> Self {
        let fdinfos = ebpf
            .programs()
            .filter(|(name, _)| !RAW_TCP.contains(name))
            .filter_map(|(_, program)| {
                let fd = program.fd().ok()?.as_fd().as_raw_fd();
                File::open(format!("/proc/self/fdinfo/{fd}")).ok()
            })
            .collect();
        Self {
            fdinfos,
            counted: 0,
        }
    }

    /// Number of skipped runs since the last call.
    ///
    /// # Errors
    /// If a file can't be read.
    pub(super) fn take(&mut self) -> io::Result<u64> {
        let mut sum = 0;
        let mut text = [0; MAX_FDINFO_BYTES];
        for fdinfo in &self.fdinfos {
            let len = fdinfo.read_at(&mut text, 0)?;
            sum += parse(&text[..len]).unwrap_or(0);
        }
        Ok(sum - mem::replace(&mut self.counted, sum))
    }
}

fn parse(fdinfo: &[u8]) -> Option<u64> {
    str::from_utf8(fdinfo)
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix(FIELD))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_field() {
        let fdinfo =
            "pos:\t0\nprog_type:\t5\nrun_cnt:\t9\nrecursion_misses:\t12\nverified_insns:\t3\n";
        assert_eq!(parse(fdinfo.as_bytes()), Some(12));
        assert_eq!(parse(b"pos:\t0\nrun_cnt:\t9\n"), None, "an old kernel");
        assert_eq!(parse(b"recursion_misses:\tx\n\xff"), None);
    }
}
