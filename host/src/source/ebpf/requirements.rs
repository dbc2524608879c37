//! What the machine must offer before the kernel program can be loaded, checked in the order in which it fails.

use std::{fs, io, path::Path};

use nix::{
    mount::{MsFlags, mount},
    sys::{
        resource::{RLIM_INFINITY, Resource, setrlimit},
        utsname::uname,
    },
};

use super::load::Error;

/// The ring buffer is the newest thing that nothing works without.
const OLDEST_KERNEL: (u32, u32) = (5, 8);

const TRACEFS: &str = "/sys/kernel/tracing";
const TRACEFS_BEFORE: &str = "/sys/kernel/debug/tracing";

// include/uapi/linux/capability.h
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_PERFMON: u64 = 1 << 38;
const CAP_BPF: u64 = 1 << 39;

/// Checks them, mounts tracefs where it is missing, and lifts the limit on locked memory.
pub(super) fn meet() -> Result<(), Error> {
    let release = uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    if version(&release).is_some_and(|version| version < OLDEST_KERNEL) {
        return Err(Error::OldKernel { release });
    }
    if effective_capabilities().is_some_and(|capabilities| !suffices(capabilities)) {
        return Err(Error::NotAllowed);
    }
    mount_tracefs()?;
    // Kernels before 5.11 account maps as locked memory; where this is refused, loading will say so.
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    Ok(())
}

/// `6.1.0-18-amd64` → (6, 1).
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|text| text.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// To load and attach: before Linux 5.8 CAP_SYS_ADMIN, since then less.
fn suffices(capabilities: u64) -> bool {
    [CAP_SYS_ADMIN, CAP_BPF | CAP_PERFMON]
        .iter()
        .any(|needed| capabilities & needed == *needed)
}

/// `CapEff` of /proc/self/status, proc(5).
fn effective_capabilities() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let hex = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(hex.trim(), 16).ok()
}

/// A fresh machine shows an empty folder until somebody mounts it.
fn mount_tracefs() -> Result<(), Error> {
    for folder in [TRACEFS, TRACEFS_BEFORE] {
        match fs::metadata(Path::new(folder).join("events")) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Error::NotAllowed);
            }
            Err(_) => {}
        }
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(
        Some("tracefs"),
        TRACEFS,
        Some("tracefs"),
        flags,
        None::<&str>,
    )
    .map_err(|error| Error::NoTracefs {
        source: error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("5.8"), Some((5, 8)));
        assert!(version("5.10.1").unwrap() > OLDEST_KERNEL);
        assert_eq!(version("mainline"), None);
    }

    #[test]
    fn bpf_and_perfmon_together_suffice() {
        for (capabilities, expect) in [
            (0, false),
            (CAP_BPF, false),
            (CAP_PERFMON, false),
            (CAP_BPF | CAP_PERFMON, true),
            (CAP_SYS_ADMIN, true),
            (u64::MAX, true),
            (!(CAP_SYS_ADMIN | CAP_BPF), false),
        ] {
            assert_eq!(suffices(capabilities), expect, "{capabilities:#x}");
        }
    }

    #[test]
    fn capabilities_are_read() {
        assert!(effective_capabilities().is_some());
    }
}
