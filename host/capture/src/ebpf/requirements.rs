//! What the machine must offer before the kernel program can be loaded: each requirement alone, as `lightmon doctor` asks
//! for them, and all of them in the order in which they fail, as the live source does.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use aya::{
    maps::MapType,
    programs::ProgramType,
    sys::{is_map_supported, is_program_supported},
};
use nix::{
    mount::{MsFlags, mount},
    sys::{
        resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit},
        utsname::uname,
    },
};

use super::{load::Error, vmlinux};

/// The ring buffer is the newest thing that nothing works without.
const OLDEST_KERNEL: (u32, u32) = (5, 8);

/// From here on maps are accounted to the cgroup instead of RLIMIT_MEMLOCK.
const NO_MEMLOCK: (u32, u32) = (5, 11);

const TRACEFS: &str = "/sys/kernel/tracing";
const TRACEFS_BEFORE: &str = "/sys/kernel/debug/tracing";

/// Type information of the running kernel.
pub const BTF: &str = "/sys/kernel/btf/vmlinux";

/// What is missing where it can't be read.
pub const WITHOUT_BTF: &str = "UDP, the errno of failed TCP connections, start times, parents, and arguments of processes that end at once";

/// Checks them, mounts tracefs where it is missing, and lifts the limit on locked memory.
pub(super) fn meet() -> Result<(), Error> {
    kernel()?;
    if Capabilities::effective().is_ok_and(|capabilities| !capabilities.may_load()) {
        return Err(Error::NotAllowed);
    }
    tracefs()?;
    lift_memory_limit();
    Ok(())
}

/// The kernel's release, as uname(2) has it.
///
/// # Errors
/// [`Error::OldKernel`]. A release that is no number, as of a kernel of one's own, is taken as new enough.
pub fn kernel() -> Result<String, Error> {
    let release = uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    match version(&release) {
        Some(version) if version < OLDEST_KERNEL => Err(Error::OldKernel { release }),
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

/// What the process is allowed to, as the kernel's bits (include/uapi/linux/capability.h).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// To read any file.
    pub const DAC_READ_SEARCH: Self = Self(1 << 2);
    /// To look into other processes.
    pub const SYS_PTRACE: Self = Self(1 << 19);
    /// To mount; and nearly all else.
    pub const SYS_ADMIN: Self = Self(1 << 21);
    /// To lift limits.
    pub const SYS_RESOURCE: Self = Self(1 << 24);
    /// To attach to tracepoints and read kernel memory.
    pub const PERFMON: Self = Self(1 << 38);
    /// To load programs.
    pub const BPF: Self = Self(1 << 39);

    /// Those in effect, `CapEff` of /proc/self/status (proc_pid_status(5)).
    ///
    /// # Errors
    /// When /proc does not tell.
    pub fn effective() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        Self::of_status(&status).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn of_status(status: &str) -> Option<Self> {
        let hex = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(hex.trim(), 16).ok().map(Self)
    }

    /// Whether all of these are among them.
    pub const fn has(self, those: Self) -> bool {
        self.0 & those.0 == those.0
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, those: Self) -> Self {
        Self(self.0 | those.0)
    }

    /// To load and attach: before Linux 5.8 CAP_SYS_ADMIN, since then less.
    pub const fn may_load(self) -> bool {
        self.has(Self::SYS_ADMIN) || self.has(Self::BPF.and(Self::PERFMON))
    }
}

/// Whether the kernel accounts maps as locked memory, and has a limit on it that can't be lifted.
pub fn is_memory_limited(release: &str) -> bool {
    lift_memory_limit();
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK);
    version(release).is_some_and(|version| version < NO_MEMLOCK)
        && limit.is_ok_and(|(soft, _)| soft != RLIM_INFINITY)
}

/// Where this is refused and needed, loading will say so.
fn lift_memory_limit() {
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
}

/// Whether the kernel has what the kernel program is made of; the names of what it lacks, with the option to build it with.
///
/// # Errors
/// When the kernel does not tell, as without the right to ask.
pub fn lacks() -> anyhow::Result<Vec<&'static str>> {
    lift_memory_limit();
    let parts = [
        (
            is_map_supported(MapType::RingBuf)?,
            "the ring buffer (CONFIG_BPF_SYSCALL)",
        ),
        (
            is_program_supported(ProgramType::TracePoint)?,
            "programs on tracepoints (CONFIG_BPF_EVENTS)",
        ),
    ];
    Ok(parts
        .iter()
        .filter_map(|(is_there, part)| (!is_there).then_some(*part))
        .collect())
}

/// Members of kernel structures that the kernel program would read, but which this kernel's BTF does not have.
///
/// # Errors
/// When there is no BTF, or it is not understood.
pub fn missing_members() -> io::Result<Vec<String>> {
    let mut missing = Vec::new();
    vmlinux::offsets(|structure, member| missing.push(format!("{structure}.{member}")))?;
    Ok(missing)
}

/// Where the tracepoints are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tracefs {
    /// The folder.
    pub path: &'static str,
    /// Whether it was mounted just now.
    pub mounted: bool,
}

/// Looks for it, and mounts it where it is missing: a fresh machine shows an empty folder until somebody does.
///
/// # Errors
/// [`Error::NotAllowed`] to look into it; [`Error::NoTracefs`] when it can't be mounted either.
pub fn tracefs() -> Result<Tracefs, Error> {
    for path in [TRACEFS, TRACEFS_BEFORE] {
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

/// A kind of namespace whose first one is the host's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Namespace {
    /// Of process ids.
    Pid,
    /// Of users and capabilities.
    User,
    /// Of cgroup paths.
    Cgroup,
}

impl Namespace {
    /// Its name in /proc/PID/ns, and the inode of the host's (include/linux/proc_ns.h).
    const fn host(self) -> (&'static str, u64) {
        match self {
            Self::Pid => ("pid", 0xeffffffc),
            Self::User => ("user", 0xeffffffd),
            Self::Cgroup => ("cgroup", 0xeffffffb),
        }
    }

    /// Whether this process is in the host's.
    ///
    /// # Errors
    /// When /proc does not tell.
    pub fn is_host(self) -> io::Result<bool> {
        let (name, inode) = self.host();
        Ok(fs::metadata(Path::new("/proc/self/ns").join(name))?.ino() == inode)
    }
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
    fn capabilities_are_read() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000008000080004\nCapBnd:\t0\n";
        let capabilities = Capabilities::of_status(status).unwrap();
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
            assert_eq!(Capabilities::of_status(bad), None, "{bad:?}");
        }
        assert!(Capabilities::effective().is_ok());
    }
}
