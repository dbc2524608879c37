//! Loads the kernel program with this kernel's offsets, and attaches each hook that can be.

use std::{fmt, fs, io, path::PathBuf, sync::Arc};

use aya::{
    EbpfLoader,
    maps::{PerCpuArray, RingBuf},
    programs::{ProgramError, TracePoint, trace_point::TracePointLink},
};
use lightmon_common::Offsets;
use zerocopy::IntoBytes as _;

use super::{Counters, EbpfSource, Options, btf::Btf, requirements};

/// Built by `make ebpf`.
static PREBUILT: &[u8] = aya::include_bytes_aligned!("../../../../ebpf/prebuilt/lightmon.bpf.o");

/// Of the running kernel.
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// Why the live source can't run here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too old.
    #[error("kernel {release} is too old: lightmon needs Linux 5.8 or newer (ring buffer)")]
    OldKernel {
        /// As uname(2) has it.
        release: String,
    },
    /// Neither root nor the capabilities.
    #[error(
        "not allowed to load eBPF programs: run as root, or with CAP_BPF, CAP_PERFMON, CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE"
    )]
    NotAllowed,
    /// tracefs is neither mounted nor could it be.
    #[error(
        "mount tracefs on /sys/kernel/tracing, where the hooks are (as root, or use a kernel with CONFIG_FTRACE)"
    )]
    NoTracefs {
        /// What mount(2) said.
        source: io::Error,
    },
    /// The object given by the user.
    #[error("read kernel object {}", path.display())]
    Object {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kernel refuses the program.
    #[error(
        "load the kernel program (the kernel needs CONFIG_BPF_SYSCALL and CONFIG_BPF_EVENTS, and must not be in lockdown)"
    )]
    Load(#[from] aya::EbpfError),
    /// The object lacks a part.
    #[error(
        "the kernel object has no {0}: it is damaged or of another version; rebuild it with `make ebpf`"
    )]
    Part(&'static str),
    /// A map can't be used.
    #[error("open a map of the kernel program")]
    Map(#[from] aya::maps::MapError),
    /// No TCP without it.
    #[error("{0}")]
    Attach(Degraded),
}

/// A hook that could not be attached.
#[derive(Debug)]
pub struct Degraded {
    /// `category:name` of the tracepoint.
    pub hook: String,
    /// What is missing because of it.
    pub lost: &'static str,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Degraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "attach {}: {}; without it: {}",
            self.hook, self.reason, self.lost
        )
    }
}

/// A tracepoint, and the program of the same name for it.
struct Hook {
    category: &'static str,
    name: &'static str,
    lost: &'static str,
}

const fn hook(category: &'static str, name: &'static str, lost: &'static str) -> Hook {
    Hook {
        category,
        name,
        lost,
    }
}

/// Later ones feed on what earlier ones remember, so they are attached last.
const HOOKS: [Hook; 5] = [
    hook(
        "cgroup",
        "cgroup_mkdir",
        "the container of processes that end at once",
    ),
    hook(
        "sched",
        "sched_process_exec",
        "path and arguments of processes that end at once",
    ),
    hook("syscalls", "sys_exit_connect", CONNECT),
    hook("syscalls", "sys_enter_connect", CONNECT),
    hook("sock", TCP, "all of TCP"),
];

/// What both halves of a call are needed for.
const CONNECT: &str = "UDP, and connections that fail before a SYN";

/// The one hook that there is no lightmon without.
const TCP: &str = "inet_sock_set_state";

pub(super) fn open(options: &Options) -> Result<EbpfSource, Error> {
    requirements::meet()?;
    let object = match &options.object {
        Some(path) => &fs::read(path).map_err(|source| Error::Object {
            path: path.clone(),
            source,
        })?,
        None => PREBUILT,
    };
    let mut degraded = Vec::new();
    let offsets = offsets(&mut degraded);
    let mut loader = EbpfLoader::new();
    if let Some(size) = options.buffer_size {
        loader.map_max_entries("RECORDS", size);
    }
    let mut ebpf = loader
        .override_global("OFFSETS", offsets.as_bytes(), true)
        .load(object)?;

    let records = RingBuf::try_from(ebpf.take_map("RECORDS").ok_or(Error::Part("map RECORDS"))?)?;
    let counters = PerCpuArray::try_from(
        ebpf.take_map("COUNTERS")
            .ok_or(Error::Part("map COUNTERS"))?,
    )?;
    let mut links = Vec::new();
    for hook in HOOKS {
        let program = ebpf.program_mut(hook.name).ok_or(Error::Part(hook.name))?;
        match program
            .try_into()
            .and_then(|program| attach(program, &hook))
        {
            Ok(link) => links.push(link),
            Err(error) => {
                let missing = Degraded {
                    hook: format!("{}:{}", hook.category, hook.name),
                    lost: hook.lost,
                    reason: reason(&error),
                };
                if hook.name == TCP {
                    return Err(Error::Attach(missing));
                }
                degraded.push(missing);
            }
        }
    }
    Ok(EbpfSource {
        records,
        counters: Counters(Arc::new(counters)),
        links,
        empty: true,
        lost: [0; 2],
        degraded,
        _ebpf: ebpf,
    })
}

fn attach(program: &mut TracePoint, hook: &Hook) -> Result<TracePointLink, ProgramError> {
    program.load()?;
    let id = program.attach(hook.category, hook.name)?;
    program.take_link(id)
}

/// The error with its causes; the verifier's own words are for `RUST_LOG=debug`.
fn reason(error: &ProgramError) -> String {
    if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    {
        tracing::debug!(%verifier_log, "the verifier refuses a program");
        return io_error.to_string();
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Offsets of the running kernel, none without BTF.
fn offsets(degraded: &mut Vec<Degraded>) -> Offsets {
    let mut without = |reason: String| {
        degraded.push(Degraded {
            hook: "BTF".to_owned(),
            lost: "UDP, the errno of failed TCP connections, start times, parents, and arguments of processes that end at once",
            reason,
        });
        Offsets::NONE
    };
    let bytes = match fs::read(BTF) {
        Ok(bytes) => bytes,
        Err(error) => return without(format!("read {BTF}: {error}")),
    };
    match Btf::parse(&bytes) {
        Some(btf) => Offsets::resolve(|structure, member| btf.offset_of(structure, member)),
        None => without(format!("{BTF} is not understood")),
    }
}
