//! Loads the kernel program with the offsets of this kernel, and attaches each hook that the kernel allows.
//!
//! Fails only without TCP. Every other hook that can't be attached is listed in [`EbpfSource::degraded`].

use std::{error, fs, os::unix::fs::MetadataExt as _, process, time::Instant};

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
    CgroupMigrations, Counters, Degraded, EbpfSource, Error, Options, Tasks,
    consumer::Consumer,
    hooks::{self, HOOKS, Hook},
    pending::PendingConnections,
    prefetch,
    programs::{self, Refusals},
    requirements::{self, BTF_PATH},
    skipped::SkippedRuns,
};

/// The kernel program, as `make ebpf` has built it.
static PREBUILT: &[u8] = aya::include_bytes_aligned!("../../../../ebpf/prebuilt/lightmon.bpf.o");

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
    let offsets = prefetch::offsets().unwrap_or_else(|error| {
        degraded.push(Degraded {
            hook: "BTF".to_owned(),
            lost: requirements::WITHOUT_BTF,
            reason: format!("read {BTF_PATH}: {error}"),
        });
        Offsets::NONE
    });
    let self_process = SelfProcess {
        is_reported: options.report_self.into(),
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
    let consumer = Consumer::new(Array::try_from(map("CONSUMER_POLLING")?)?);
    let pending = PendingConnections::new(
        HashMap::try_from(map("PENDING")?)?,
        Array::try_from(map("SCAN_SCHEDULED")?)?,
        Array::try_from(map("PROBED_SOCKET")?)?,
    );
    let mut migrations = Array::<_, u64>::try_from(map("CGROUP_MIGRATIONS")?)?;
    // Before the hook is attached; taken back if it can't be attached.
    migrations.set(0, 1, 0)?;

    let names = HOOKS.iter().flat_map(|hook| hook.programs(&offsets));
    let refusals = programs::load(&mut ebpf, &names.copied().collect::<Vec<_>>());
    let mut links = Vec::new();
    for hook in &HOOKS {
        match attach(&mut ebpf, hook, &offsets, &refusals) {
            Ok(attached) => links.extend(attached),
            Err(AttachError::NoProgram) => return Err(Error::Part(hook.name)),
            Err(AttachError::Refused(reason)) => {
                let missing = Degraded {
                    hook: hook.to_string(),
                    lost: hook.lost,
                    reason,
                };
                if hook.name == hooks::TCP {
                    return Err(Error::Attach(missing));
                }
                if hook.name == hooks::CGROUP_MIGRATIONS {
                    migrations.set(0, 0, 0)?;
                }
                degraded.push(missing);
            }
        }
    }
    Ok(EbpfSource {
        records,
        tasks: Tasks::default(),
        counters: Counters::new(counters),
        cgroup_migrations: CgroupMigrations::new(migrations),
        consumer,
        pending,
        skipped: SkippedRuns::new(&ebpf),
        links,
        wake_by: None,
        is_empty: true,
        counted: [0; 3],
        counted_at: Timestamp::now(),
        next_count: Instant::now(),
        degraded,
        _ebpf: ebpf,
    })
}

/// A program that is attached to a hook. Detaches it when dropped.
#[derive(Debug)]
pub(super) enum Link {
    TracePoint(#[expect(dead_code, reason = "kept for its drop")] TracePointLink),
    RawTracePoint(#[expect(dead_code, reason = "kept for its drop")] RawTracePointLink),
}

enum AttachError {
    /// The kernel object has no program for the hook.
    NoProgram,
    /// The kernel refuses the program, for this reason.
    Refused(String),
}

impl From<ProgramError> for AttachError {
    fn from(error: ProgramError) -> Self {
        Self::Refused(reason(&error))
    }
}

/// Attaches all programs of the hook.
fn attach(
    ebpf: &mut Ebpf,
    hook: &Hook,
    offsets: &Offsets,
    refusals: &Refusals,
) -> Result<Vec<Link>, AttachError> {
    let attach = |name: &&str| {
        if let Some(error) = refusals.get(*name) {
            return Err(AttachError::Refused(reason(error)));
        }
        match ebpf.program_mut(name).ok_or(AttachError::NoProgram)? {
            Program::TracePoint(program) => {
                let category = hook.category.ok_or(AttachError::NoProgram)?;
                let id = program.attach(category, hook.name)?;
                Ok(Link::TracePoint(program.take_link(id)?))
            }
            Program::RawTracePoint(program) => {
                let id = program.attach(hook.name)?;
                Ok(Link::RawTracePoint(program.take_link(id)?))
            }
            _ => Err(AttachError::NoProgram),
        }
    };
    hook.programs(offsets).iter().map(attach).collect()
}

/// Identifies this process for the kernel program; [`SelfProcess::UNKNOWN`] without /proc.
fn self_process() -> SelfProcess {
    fs::metadata("/proc/self/ns/pid").map_or(SelfProcess::UNKNOWN, |namespace| SelfProcess {
        // stat(2) encodes a device number differently from MKDEV of include/linux/kdev_t.h.
        pid_ns_dev: major(namespace.dev()) << 20 | minor(namespace.dev()),
        pid_ns_ino: namespace.ino(),
        tgid: process::id(),
        is_reported: 0,
    })
}

/// The first rules, as many as the kernel program takes.
fn rules(exclude: &[Rule]) -> Rules {
    let mut rules = Rules::NONE;
    for (slot, rule) in rules.rules.iter_mut().zip(exclude) {
        *slot = *rule;
        rules.count += 1;
    }
    rules
}

/// The error and its causes in one line. The log of the verifier is long, and shown with `RUST_LOG=debug` only.
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
    let mut cause = error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
