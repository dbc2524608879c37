//! Checks what the live source needs from the machine: kernel version, capabilities, eBPF, BTF, tracefs, namespaces.
//!
//! `lightmon doctor` checks each requirement alone. The live source checks all of them in order and stops at the first that fails.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use aya::{
    maps::MapType,
    programs::ProgramType,
    sys::{is_map_supported, is_program_supported},
};
use caps::Capability;
use nix::{
    mount::{MsFlags, mount},
    sys::{
        resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit},
        utsname::uname,
    },
};

pub use super::vmlinux::BTF_PATH;
use super::{Error, vmlinux};

/// The first kernel with the ring buffer, the newest feature that lightmon can't do without.
const MIN_KERNEL: (u32, u32) = (5, 8);

/// The first kernel that accounts maps to the cgroup instead of RLIMIT_MEMLOCK.
const CGROUP_ACCOUNTING_KERNEL: (u32, u32) = (5, 11);

const TRACEFS: &str = "/sys/kernel/tracing";
/// Where tracefs is found if only debugfs is mounted.
const TRACEFS_IN_DEBUGFS: &str = "/sys/kernel/debug/tracing";

/// What is lost without BTF.
pub const WITHOUT_BTF: &str = "UDP, the errno of failed TCP connections, start times, parents, and arguments of processes that end at once";

/// Checks all requirements. Mounts tracefs if it is not mounted, and lifts the limit on locked memory.
pub(super) fn meet() -> Result<(), Error> {
    kernel()?;
    if Capabilities::effective().is_ok_and(|capabilities| !capabilities.may_load()) {
        return Err(Error::NotAllowed);
    }
    tracefs()?;
    lift_memory_limit();
    Ok(())
}

/// Returns the release of the kernel, as in uname(2).
///
/// # Errors
/// [`Error::OldKernel`]. A release without a number, such as that of a self-built kernel, counts as new enough.
pub fn kernel() -> Result<String, Error> {
    let release = uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    match version(&release) {
        Some(version) if version < MIN_KERNEL => Err(Error::OldKernel { release }),
        _ => Ok(release),
    }
}

/// `6.1.0-18-amd64` → (6, 1).
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|text| text.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// A set of capabilities, as the bits of include/uapi/linux/capability.h.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Reads any file.
    pub const DAC_READ_SEARCH: Self = Self::one(Capability::CAP_DAC_READ_SEARCH);
    /// Reads /proc of other processes.
    pub const SYS_PTRACE: Self = Self::one(Capability::CAP_SYS_PTRACE);
    /// Mounts, and most other administration.
    pub const SYS_ADMIN: Self = Self::one(Capability::CAP_SYS_ADMIN);
    /// Lifts resource limits.
    pub const SYS_RESOURCE: Self = Self::one(Capability::CAP_SYS_RESOURCE);
    /// Attaches to tracepoints and reads kernel memory.
    pub const PERFMON: Self = Self::one(Capability::CAP_PERFMON);
    /// Loads programs.
    pub const BPF: Self = Self::one(Capability::CAP_BPF);

    const fn one(capability: Capability) -> Self {
        Self(1 << capability as u8)
    }

    /// The effective capabilities of this thread group: `CapEff` of /proc/self/status, see proc_pid_status(5).
    ///
    /// # Errors
    /// If /proc can't be read or parsed.
    pub fn effective() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        Self::from_status(&status).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn from_status(status: &str) -> Option<Self> {
        let hex = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(hex.trim(), 16).ok().map(Self)
    }

    /// Whether this set contains all of `other`.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The union of both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether these suffice to load and attach programs: CAP_SYS_ADMIN, or since Linux 5.8 CAP_BPF and CAP_PERFMON.
    pub const fn may_load(self) -> bool {
        self.has(Self::SYS_ADMIN) || self.has(Self::BPF.and(Self::PERFMON))
    }
}

/// Whether the kernel accounts maps as locked memory, and its limit can't be lifted.
pub fn is_memory_limited(release: &str) -> bool {
    lift_memory_limit();
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK);
    version(release).is_some_and(|version| version < CGROUP_ACCOUNTING_KERNEL)
        && limit.is_ok_and(|(soft, _)| soft != RLIM_INFINITY)
}

/// If the limit is too low and can't be lifted, loading the program reports the error.
fn lift_memory_limit() {
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
}

/// The eBPF features that lightmon needs and this kernel does not have, each with its kernel option.
///
/// # Errors
/// If the kernel can't be asked, for example without the capabilities.
pub fn missing_features() -> anyhow::Result<Vec<&'static str>> {
    lift_memory_limit();
    let features = [
        (
            is_map_supported(MapType::RingBuf)?,
            "the ring buffer (CONFIG_BPF_SYSCALL)",
        ),
        (
            is_program_supported(ProgramType::TracePoint)?,
            "programs on tracepoints (CONFIG_BPF_EVENTS)",
        ),
    ];
    Ok(features
        .iter()
        .filter_map(|(is_supported, name)| (!is_supported).then_some(*name))
        .collect())
}

/// The structure members that the kernel program reads and this kernel's BTF does not have, as `structure.member`.
///
/// # Errors
/// If there is no BTF, or it can't be parsed.
pub fn missing_members() -> io::Result<Vec<String>> {
    let mut missing = Vec::new();
    vmlinux::offsets(|structure, member| missing.push(format!("{structure}.{member}")))?;
    Ok(missing)
}

/// The file system that lists the tracepoints.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tracefs {
    /// Where it is mounted.
    pub path: &'static str,
    /// Whether [`tracefs`] has mounted it.
    pub mounted: bool,
}

/// Finds tracefs, and mounts it if it is not mounted, as on some freshly booted machines.
///
/// # Errors
/// [`Error::NotAllowed`] if the folder can't be read; [`Error::NoTracefs`] if mounting fails.
pub fn tracefs() -> Result<Tracefs, Error> {
    for path in [TRACEFS, TRACEFS_IN_DEBUGFS] {
        match fs::metadata(Path::new(path).join("events")) {
            Ok(_) => {
                return Ok(Tracefs {
                    path,
                    mounted: false,
                });
            }
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
    })?;
    Ok(Tracefs {
        path: TRACEFS,
        mounted: true,
    })
}

/// A kind of namespace. The host is in the initial one, whose inode number is fixed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Namespace {
    /// Process ids.
    Pid,
    /// Users and capabilities.
    User,
    /// Cgroup paths.
    Cgroup,
}

impl Namespace {
    /// The name in /proc/PID/ns, and the inode number of the initial namespace (include/linux/proc_ns.h).
    const fn initial(self) -> (&'static str, u64) {
        match self {
            Self::Pid => ("pid", 0xeffffffc),
            Self::User => ("user", 0xeffffffd),
            Self::Cgroup => ("cgroup", 0xeffffffb),
        }
    }

    /// Whether this process is in the namespace of the host.
    ///
    /// # Errors
    /// If /proc can't be read.
    pub fn is_host(self) -> io::Result<bool> {
        let (name, inode) = self.initial();
        Ok(fs::metadata(Path::new("/proc/self/ns").join(name))?.ino() == inode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_parsed() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("5.8"), Some((5, 8)));
        assert!(version("5.10.1").unwrap() > MIN_KERNEL);
        assert_eq!(version("mainline"), None);
    }

    #[test]
    fn loading_needs_bpf_and_perfmon_or_sys_admin() {
        const BPF: Capabilities = Capabilities::BPF;
        const PERFMON: Capabilities = Capabilities::PERFMON;
        const SYS_ADMIN: Capabilities = Capabilities::SYS_ADMIN;
        for (capabilities, expect) in [
            (Capabilities::default(), false),
            (BPF, false),
            (PERFMON, false),
            (BPF.and(PERFMON), true),
            (SYS_ADMIN, true),
            (Capabilities(u64::MAX), true),
            (Capabilities(!SYS_ADMIN.and(BPF).0), false),
        ] {
            assert_eq!(capabilities.may_load(), expect, "{capabilities:?}");
        }
    }

    #[test]
    fn capabilities_are_parsed() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000008000080004\nCapBnd:\t0\n";
        let capabilities = Capabilities::from_status(status).unwrap();
        for (one, expect) in [
            (Capabilities::BPF, true),
            (Capabilities::SYS_PTRACE, true),
            (Capabilities::DAC_READ_SEARCH, true),
            (Capabilities::PERFMON, false),
            (Capabilities::SYS_ADMIN, false),
            (Capabilities::SYS_RESOURCE, false),
        ] {
            assert_eq!(capabilities.has(one), expect, "{one:?}");
        }
        for bad in ["", "CapEff:\n", "CapEff:\tnone\n", "CapEff"] {
            assert_eq!(Capabilities::from_status(bad), None, "{bad:?}");
        }
        assert!(Capabilities::effective().is_ok());
    }
}
