//! Decodes what records say about processes: the task of a connection, an exec, a fork.
//!
//! A record has no path and arguments except at an exec. Identity adds them later.

use std::{sync::Arc, time::Duration};

use lightmon_common::{Fork, MAX_ARGS_BYTES, Task};
use lightmon_event::{CgroupMigrations, Exec, Parent, Process, Provenance, split_args};
use zerocopy::FromBytes as _;

use super::Malformed;

// Arguments have the same limit, whether the kernel program reports them or they are read from /proc.
const _: () = assert!(MAX_ARGS_BYTES == lightmon_event::MAX_ARGS_BYTES);

/// Size of [`Tasks`].
const MAX_TASKS: usize = 256;

/// What the kernel appends to the path of a file that was deleted.
const DELETED: &[u8] = b" (deleted)";

/// A cache of the tasks that connected lately. Connections of one task share one [`Process`].
pub struct Tasks(Vec<Option<(Task, Arc<Process>)>>);

impl Default for Tasks {
    fn default() -> Self {
        Self(vec![None; MAX_TASKS])
    }
}

impl Tasks {
    /// The process of this task, from the cache if it is there.
    pub(super) fn process(&mut self, task: &Task) -> Arc<Process> {
        let slot = &mut self.0[task.tid as usize % MAX_TASKS];
        match slot {
            Some((cached, process)) if is_same(cached, task) => process.clone(),
            _ => {
                let process = Arc::new(decode_task(task));
                *slot = Some((*task, process.clone()));
                process
            }
        }
    }
}

/// Whether [`decode_task`] returns the same for both.
fn is_same(a: &Task, b: &Task) -> bool {
    let fields = |task: &Task| {
        (
            task.tgid,
            task.started_ns,
            task.ppid,
            task.parent_started_ns,
            task.comm,
        )
    };
    fields(a) == fields(b)
}

/// The process, with what the record says about it.
pub(super) fn decode_task(task: &Task) -> Process {
    Process {
        pid: task.tgid,
        started: start_time(task.started_ns),
        comm: text(&task.comm),
        parents: match task.ppid {
            0 => Arc::default(),
            ppid => [parent(ppid, task.parent_started_ns)].into(),
        },
        ..Process::default()
    }
}

pub(super) fn decode_exec(bytes: &[u8]) -> Result<Exec, Malformed> {
    let too_short = || Malformed::of_length(bytes);
    let (record, rest) = lightmon_common::Exec::read_from_prefix(bytes).map_err(|_| too_short())?;
    let (args, rest) = rest
        .split_at_checked(record.args_len.into())
        .ok_or_else(too_short)?;
    let path = rest.get(..record.path_len.into()).ok_or_else(too_short)?;
    let path = if record.path_is_text == 0 {
        join_names(path, record.is_deleted != 0)
    } else {
        absolute(path)
    };
    Ok(Exec {
        time: Duration::from_nanos(record.time_ns),
        cgroup_id: record.task.cgroup_id,
        cgroup_migrations: CgroupMigrations::new(record.cgroup_migrations),
        exec_id: record.task.exec_id,
        process: Process {
            path,
            args: (!args.is_empty()).then(|| split_args(args)),
            args_cut: record.args_cut != 0,
            provenance: Some(Provenance::Exec),
            ..decode_task(&record.task)
        },
    })
}

pub(super) fn decode_fork(record: &Fork) -> lightmon_event::Fork {
    let Fork { parent: task, .. } = record;
    lightmon_event::Fork {
        time: Duration::from_nanos(record.started_ns),
        exec_id: task.exec_id,
        process: Process {
            pid: record.tgid,
            started: start_time(record.started_ns),
            comm: text(&task.comm),
            parents: [parent(task.tgid, task.started_ns)].into(),
            ..Process::default()
        },
    }
}

fn parent(pid: u32, started_ns: u64) -> Parent {
    Parent {
        pid,
        started: start_time(started_ns),
        ..Parent::default()
    }
}

/// `None` without BTF.
fn start_time(ns: u64) -> Option<Duration> {
    (ns != 0).then(|| Duration::from_nanos(ns))
}

/// `curl\0bin\0usr\0` → `/usr/bin/curl`, or `/usr/bin/curl (deleted)`.
fn join_names(names: &[u8], is_deleted: bool) -> Option<Arc<str>> {
    let names = names.strip_suffix(&[0])?;
    let mut path = Vec::with_capacity(1 + names.len() + DELETED.len());
    for name in names.split(|byte| *byte == 0).rev() {
        path.push(b'/');
        path.extend(name);
    }
    if is_deleted {
        path.extend(DELETED);
    }
    Some(String::from_utf8_lossy(&path).into())
}

/// The path that execve(2) was called with, if it is absolute. A relative path does not say where the file is.
pub(super) fn absolute(path: &[u8]) -> Option<Arc<str>> {
    path.starts_with(b"/").then(|| text(path))
}

/// The bytes up to the first NUL. Processes choose their names, which need not be UTF-8.
fn text(bytes: &[u8]) -> Arc<str> {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into()
}
