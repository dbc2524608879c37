//! Loads the kernel program with this kernel's offsets, and attaches each hook that can be.

use std::{
    fmt, fs, io, os::unix::fs::MetadataExt as _, path::PathBuf, process, slice, sync::Arc,
    time::Instant,
};

use aya::{
    Ebpf,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
    programs::{
        Program, ProgramError, raw_trace_point::RawTracePointLink, trace_point::TracePointLink,
    },
};
use jiff::Timestamp;
use lightmon_common::{
    Offsets, SelfProcess,
    exclude::{Rule, Rules},
};
use nix::sys::stat::{major, minor};
use zerocopy::IntoBytes as _;

use super::{
    CgroupMigrations, Counters, EbpfSource, Options, ahead,
    programs::{self, Refusals},
    requirements::{self, BTF},
    skipped::Skipped,
    wait::Wait,
    waiting::Waiting,
};

/// Built by `make ebpf`.
static PREBUILT: &[u8] = aya::include_bytes_aligned!("../../../../ebpf/prebuilt/lightmon.bpf.o");

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

/// A tracepoint, and the program for it.
struct Hook {
    /// None: the raw tracepoint of that name.
    category: Option<&'static str>,
    name: &'static str,
    program: &'static str,
    lost: &'static str,
}

const fn hook(category: &'static str, name: &'static str, lost: &'static str) -> Hook {
    Hook {
        category: Some(category),
        name,
        program: name,
        lost,
    }
}

/// What is common to the ends of two calls: the kernel has to check it once only.
const fn end_of_send(name: &'static str) -> Hook {
    Hook {
        program: "sys_exit_send",
        ..hook("syscalls", name, SEND)
    }
}

impl Hook {
    /// The programs for it: raw ones where they can be, else the ordinary one.
    fn programs(&self, offsets: &Offsets) -> &[&'static str] {
        if self.name == TCP && offsets.can_read_tcp() {
            &RAW_TCP
        } else {
            slice::from_ref(&self.program)
        }
    }
}

/// Later ones feed on what earlier ones remember, so they are attached last.
static HOOKS: [Hook; 13] = [
    Hook {
        category: None,
        name: MOVES,
        program: MOVES,
        lost: "nothing; /proc is read for each program, where cgroups of version 1 are in use",
    },
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
    Hook {
        category: None,
        name: "sched_process_fork",
        program: "sched_process_fork",
        lost: "path and arguments of processes that start no program and end at once",
    },
    end_of_send("sys_exit_sendto"),
    end_of_send("sys_exit_sendmsg"),
    hook("syscalls", "sys_exit_sendmmsg", SEND),
    hook("syscalls", "sys_enter_sendto", SEND),
    hook("syscalls", "sys_enter_sendmsg", SEND),
    hook("syscalls", "sys_enter_sendmmsg", SEND),
    hook("syscalls", "sys_exit_connect", CONNECT),
    hook("syscalls", "sys_enter_connect", CONNECT),
    hook("sock", TCP, "all of TCP"),
];

// What both halves of a call are needed for.
const CONNECT: &str = "UDP sockets with a peer, connections that fail before a SYN, and `pending`";
const SEND: &str = "UDP sockets without a peer";

/// The hook that counts moves between cgroups; attached first, so that nobody takes for no move what is not counted yet.
const MOVES: &str = "cgroup_attach_task";

/// The one hook that there is no lightmon without.
const TCP: &str = "inet_sock_set_state";

/// The programs for the raw tracepoint of that name, of which the second sees what the kernel skips the first for; later ones
/// first as above.
pub(super) const RAW_TCP: [&str; 2] = ["tcp_outcome", "tcp_state"];

/// All hooks as `category:name`, category `raw` for raw tracepoints, and what is missing without each.
pub fn hooks() -> impl Iterator<Item = (String, &'static str)> {
    HOOKS.iter().map(|hook| (hook.to_string(), hook.lost))
}

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
    let offsets = ahead::offsets().unwrap_or_else(|error| {
        degraded.push(Degraded {
            hook: "BTF".to_owned(),
            lost: requirements::WITHOUT_BTF,
            reason: format!("read {BTF}: {error}"),
        });
        Offsets::NONE
    });
    let self_process = SelfProcess {
        is_reported: options.report_own.into(),
        ..self_process()
    };
    let rules = rules(&options.exclude);
    let mut loader = programs::loader();
    if let Some(size) = options.buffer_size {
        loader.map_max_entries("RECORDS", size);
    }
    let mut ebpf = loader
        .override_global("OFFSETS", offsets.as_bytes(), true)
        .override_global("SELF_PROCESS", self_process.as_bytes(), true)
        .override_global("RULES", rules.as_bytes(), true)
        .load(object)?;

    let mut map = |name| ebpf.take_map(name).ok_or(Error::Part(name));
    let records = RingBuf::try_from(map("RECORDS")?)?;
    let counters = PerCpuArray::try_from(map("COUNTERS")?)?;
    let wait = Wait::new(Array::try_from(map("CONSUMER_POLLING")?)?);
    let waiting = Waiting::new(
        HashMap::try_from(map("PENDING")?)?,
        Array::try_from(map("SCAN_SCHEDULED")?)?,
        Array::try_from(map("PROBED_SOCKET")?)?,
    );
    let mut moves = Array::<_, u64>::try_from(map("CGROUP_MIGRATIONS")?)?;
    // Before anything is counted, and taken back if nothing will be.
    moves.set(0, 1, 0)?;
    let wanted = HOOKS.iter().flat_map(|hook| hook.programs(&offsets));
    let refusals = programs::load(&mut ebpf, &wanted.copied().collect::<Vec<_>>());
    let mut links = Vec::new();
    for hook in &HOOKS {
        match attach(&mut ebpf, hook, &offsets, &refusals) {
            Ok(attached) => links.extend(attached),
            Err(Refused::Part) => return Err(Error::Part(hook.name)),
            Err(Refused::Program(reason)) => {
                let missing = Degraded {
                    hook: hook.to_string(),
                    lost: hook.lost,
                    reason,
                };
                if hook.name == TCP {
                    return Err(Error::Attach(missing));
                }
                if hook.name == MOVES {
                    moves.set(0, 0, 0)?;
                }
                degraded.push(missing);
            }
        }
    }
    Ok(EbpfSource {
        records,
        tasks: Default::default(),
        counters: Counters(Arc::new(counters)),
        moves: CgroupMigrations(Arc::new(moves)),
        wait,
        waiting,
        skipped: Skipped::new(&ebpf),
        links,
        wake_by: None,
        empty: true,
        kept: [0; 3],
        looked: Timestamp::now(),
        look_at: Instant::now(),
        degraded,
        _ebpf: ebpf,
    })
}

/// An attached hook; detaches when dropped.
#[derive(Debug)]
pub(super) enum Link {
    TracePoint(#[expect(dead_code, reason = "kept for its drop")] TracePointLink),
    RawTracePoint(#[expect(dead_code, reason = "kept for its drop")] RawTracePointLink),
}

enum Refused {
    /// The object has no such program.
    Part,
    /// The kernel says no, and why.
    Program(String),
}

impl From<ProgramError> for Refused {
    fn from(error: ProgramError) -> Self {
        Self::Program(reason(&error))
    }
}

fn attach(
    ebpf: &mut Ebpf,
    hook: &Hook,
    offsets: &Offsets,
    refusals: &Refusals,
) -> Result<Vec<Link>, Refused> {
    let attach = |name: &&str| {
        if let Some(error) = refusals.get(*name) {
            return Err(Refused::Program(reason(error)));
        }
        match ebpf.program_mut(name).ok_or(Refused::Part)? {
            Program::TracePoint(program) => {
                let category = hook.category.ok_or(Refused::Part)?;
                let id = program.attach(category, hook.name)?;
                Ok(Link::TracePoint(program.take_link(id)?))
            }
            Program::RawTracePoint(program) => {
                let id = program.attach(hook.name)?;
                Ok(Link::RawTracePoint(program.take_link(id)?))
            }
            _ => Err(Refused::Part),
        }
    };
    hook.programs(offsets).iter().map(attach).collect()
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.category.unwrap_or("raw"), self.name)
    }
}

/// This process, as the kernel program can recognise it from any namespace; [`SelfProcess::UNKNOWN`] without /proc.
fn self_process() -> SelfProcess {
    fs::metadata("/proc/self/ns/pid").map_or(SelfProcess::UNKNOWN, |namespace| SelfProcess {
        // The file system of namespaces has a minor number only, but stat(2) and the kernel put the two together differently.
        pid_ns_dev: major(namespace.dev()) << 20 | minor(namespace.dev()),
        pid_ns_ino: namespace.ino(),
        tgid: process::id(),
        is_reported: 0,
    })
}

/// As many as there is room for.
fn rules(exclude: &[Rule]) -> Rules {
    let mut rules = Rules::NONE;
    for (room, rule) in rules.rules.iter_mut().zip(exclude) {
        *room = *rule;
        rules.count += 1;
    }
    rules
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
