//! Runs of our programs that the kernel has skipped, as it does where a program interrupts itself, or for most kinds of hooks
//! any other. What they would have seen is not known: at most one event each.
//!
//! Counted since Linux 5.12 (`recursion_misses` in kernel/bpf/syscall.c); older kernels don't tell.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::FileExt as _,
    },
};

use aya::Ebpf;

use super::load::RAW_TCP;

const FIELD: &str = "recursion_misses:";

/// The programs' numbers in /proc, opened while we may.
pub(super) struct Skipped {
    programs: Vec<File>,
    before: u64,
}

impl Skipped {
    /// Of all programs that are loaded, but those that stand in for each other.
    pub(super) fn new(ebpf: &Ebpf) -> Self {
        let programs = ebpf
            .programs()
            .filter(|(name, _)| !RAW_TCP.contains(name))
            .filter_map(|(_, program)| {
                let fd = program.fd().ok()?.as_fd().as_raw_fd();
                File::open(format!("/proc/self/fdinfo/{fd}")).ok()
            })
            .collect();
        Self {
            programs,
            before: 0,
        }
    }

    /// How many since the look before.
    pub(super) fn look(&mut self) -> io::Result<u64> {
        let mut sum = 0;
        let mut text = [0; 1024];
        for program in &self.programs {
            let read = program.read_at(&mut text, 0)?;
            sum += misses(&text[..read]).unwrap_or(0);
        }
        Ok(sum - std::mem::replace(&mut self.before, sum))
    }
}

fn misses(fdinfo: &[u8]) -> Option<u64> {
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
    fn field_is_found() {
        let fdinfo =
            "pos:\t0\nprog_type:\t5\nrun_cnt:\t9\nrecursion_misses:\t12\nverified_insns:\t3\n";
        assert_eq!(misses(fdinfo.as_bytes()), Some(12));
        assert_eq!(misses(b"pos:\t0\nrun_cnt:\t9\n"), None, "an old kernel");
        assert_eq!(misses(b"recursion_misses:\tx\n\xff"), None);
    }
}
