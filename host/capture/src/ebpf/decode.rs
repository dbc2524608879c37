//! Kernel record → [`Record`]. Checks lengths and numbers; a record that makes no sense is an error, never a panic.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use lightmon_common::{
    Cgroup, Connection, ERRNO_UNKNOWN, Exec, Fork, ScanRequest, Task, kind, stage,
};
use nix::time::{ClockId, clock_gettime};
use zerocopy::FromBytes;

use lightmon_event::{
    CgroupMigrations, Event, Outcome, Parent, Process, Protocol, Provenance, Record,
};

/// A record that is not one of ours.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than its kind says.
    #[error("record of {len} bytes is too short")]
    Short {
        /// Its length.
        len: usize,
    },
    /// A number that has no meaning.
    #[error("record has unknown {what} {value}")]
    Unknown {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: u32,
    },
}

/// What a record of the ring buffer is.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are records: in a box each would cost an allocation"
)]
#[derive(Debug, PartialEq)]
pub enum Decoded {
    /// For the stages that follow.
    Record(Record),
    /// For the source itself: a TCP connection was begun then, since boot.
    Waiting(Duration),
}

/// Turns the kernel's clock into wall-clock time.
pub struct Clock {
    /// When it was read.
    pub(super) now: Timestamp,
    /// The same moment on the kernel's clock.
    pub(super) since_boot: Duration,
    boot: Timestamp,
}

impl Clock {
    /// As the two clocks stand now: wall-clock time may be set while we run.
    pub fn now() -> Self {
        let (now, since_boot) = (Timestamp::now(), since_boot());
        Self {
            now,
            since_boot,
            boot: now
                .saturating_sub(signed(since_boot))
                .unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }

    fn at(&self, since_boot: Duration) -> Timestamp {
        self.boot
            .saturating_add(signed(since_boot))
            .unwrap_or(Timestamp::MAX)
    }
}

/// The tasks that were met lately: what records say of a process is made once, and shared by its connections.
pub struct Tasks(Vec<Option<(Task, Arc<Process>)>>);

/// How many, at most.
const TASKS: usize = 256;

impl Default for Tasks {
    fn default() -> Self {
        Self(vec![None; TASKS])
    }
}

impl Tasks {
    fn process(&mut self, task: &Task) -> Arc<Process> {
        let slot = &mut self.0[task.tid as usize % TASKS];
        match slot {
            Some((known, process)) if is_same(known, task) => process.clone(),
            _ => {
                let process = Arc::new(process(task));
                *slot = Some((*task, process.clone()));
                process
            }
        }
    }
}

/// Whether [`process`] makes the same of both.
fn is_same(known: &Task, task: &Task) -> bool {
    let identity = |it: &Task| {
        (
            it.tgid,
            it.started_ns,
            it.ppid,
            it.parent_started_ns,
            it.comm,
        )
    };
    identity(known) == identity(task)
}

/// CLOCK_BOOTTIME, which the kernel program tells times in.
pub(super) fn since_boot() -> Duration {
    // The clock exists since Linux 2.6.39; were it to fail, times would be wrong by the time since boot.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Decodes one record of the ring buffer.
///
/// # Errors
/// When it makes no sense.
pub fn record(bytes: &[u8], clock: &Clock, tasks: &mut Tasks) -> Result<Decoded, Malformed> {
    let (kind, _) = u32::read_from_prefix(bytes).map_err(|_| short(bytes))?;
    Ok(Decoded::Record(match kind {
        kind::CONNECTION => {
            let record: Connection = fixed(bytes)?;
            let event = connection(&record, clock, tasks)?;
            if record.task.is_self == 0 {
                Record::Connection(event)
            } else {
                Record::FromSelf(event)
            }
        }
        kind::EXEC => Record::Exec(exec(bytes)?),
        kind::FORK => Record::Fork(fork(&fixed(bytes)?)),
        kind::CGROUP => cgroup(bytes)?,
        kind::SCAN_REQUEST => {
            let record: ScanRequest = fixed(bytes)?;
            return Ok(Decoded::Waiting(Duration::from_nanos(record.began_ns)));
        }
        value => {
            return Err(Malformed::Unknown {
                what: "kind",
                value,
            });
        }
    }))
}

/// The part of a record that always has the same size.
fn fixed<T: FromBytes>(bytes: &[u8]) -> Result<T, Malformed> {
    T::read_from_prefix(bytes)
        .map(|(record, _)| record)
        .map_err(|_| short(bytes))
}

fn short(bytes: &[u8]) -> Malformed {
    Malformed::Short { len: bytes.len() }
}

fn connection(record: &Connection, clock: &Clock, tasks: &mut Tasks) -> Result<Event, Malformed> {
    let Connection { task, .. } = record;
    let protocol = match u8::try_from(record.protocol) {
        Ok(number) => Protocol::from_number(number),
        Err(_) => {
            return Err(Malformed::Unknown {
                what: "protocol",
                value: record.protocol.into(),
            });
        }
    };
    let errno = (record.errno != 0 && record.errno != ERRNO_UNKNOWN).then_some(record.errno);
    let outcome = match (record.stage, errno) {
        (stage::ESTABLISHED, _) => Outcome::Established,
        (stage::CONNECTED, _) => Outcome::Connected,
        (stage::PENDING, _) => Outcome::Pending,
        (stage::SENT, _) => Outcome::Sent,
        (stage::CLOSED | stage::REJECTED, Some(errno)) => Outcome::from_errno(errno),
        (stage::CLOSED, None) if record.errno == 0 => Outcome::Aborted,
        (stage::CLOSED | stage::REJECTED, None) => Outcome::Failed,
        (value, _) => {
            return Err(Malformed::Unknown {
                what: "stage",
                value: value.into(),
            });
        }
    };
    let began = Duration::from_nanos(record.began_ns);
    let process = tasks.process(task);
    Ok(Event {
        time: clock.at(began),
        kernel_time: began,
        protocol,
        source: address(record.source, record.source_port),
        destination: address(record.destination, record.destination_port),
        outcome,
        errno,
        latency: Some(Duration::from_nanos(record.latency_ns)),
        pid: task.tgid,
        tid: task.tid,
        uid: task.uid,
        gid: task.gid,
        user: None,
        comm: process.comm.clone(),
        process,
        container: None,
        exec_id: task.exec_id,
        container_provenance: None,
        unit: None,
        peer: None,
        cgroup_id: task.cgroup_id,
        tags: Vec::new(),
        line: None,
    })
}

fn exec(bytes: &[u8]) -> Result<lightmon_event::Exec, Malformed> {
    let (record, rest) = Exec::read_from_prefix(bytes).map_err(|_| short(bytes))?;
    let (args, rest) = rest
        .split_at_checked(record.args_len.into())
        .ok_or_else(|| short(bytes))?;
    let path = rest
        .get(..record.path_len.into())
        .ok_or_else(|| short(bytes))?;
    let path = if record.path_is_text == 0 {
        path_of_names(path, record.is_deleted != 0)
    } else {
        absolute(path)
    };
    Ok(lightmon_event::Exec {
        time: Duration::from_nanos(record.time_ns),
        cgroup_id: record.task.cgroup_id,
        cgroup_migrations: CgroupMigrations::new(record.cgroup_migrations),
        exec_id: record.task.exec_id,
        process: Process {
            path,
            args: (!args.is_empty()).then(|| lightmon_event::split_args(args)),
            args_cut: record.args_cut != 0,
            provenance: Some(Provenance::Exec),
            ..process(&record.task)
        },
    })
}

fn fork(record: &Fork) -> lightmon_event::Fork {
    let Fork { parent: maker, .. } = record;
    lightmon_event::Fork {
        time: Duration::from_nanos(record.started_ns),
        exec_id: maker.exec_id,
        process: Process {
            pid: record.tgid,
            started: since_boot_of(record.started_ns),
            comm: text(&maker.comm),
            parents: [parent(maker.tgid, maker.started_ns)].into(),
            ..Process::default()
        },
    }
}

fn cgroup(bytes: &[u8]) -> Result<Record, Malformed> {
    let (Cgroup { id, path_len, .. }, rest) =
        Cgroup::read_from_prefix(bytes).map_err(|_| short(bytes))?;
    let path = rest.get(..path_len as usize).ok_or_else(|| short(bytes))?;
    let path = path.strip_suffix(&[0]).unwrap_or(path).to_vec();
    Ok(Record::Cgroup { id, path })
}

/// What the record itself says of the process; the enrich stage knows more.
fn process(task: &Task) -> Process {
    Process {
        pid: task.tgid,
        started: since_boot_of(task.started_ns),
        comm: text(&task.comm),
        parents: match task.ppid {
            0 => Arc::default(),
            ppid => [parent(ppid, task.parent_started_ns)].into(),
        },
        ..Process::default()
    }
}

/// Of which no more is known.
fn parent(pid: u32, started_ns: u64) -> Parent {
    Parent {
        pid,
        started: since_boot_of(started_ns),
        ..Parent::default()
    }
}

/// None without BTF.
fn since_boot_of(ns: u64) -> Option<Duration> {
    (ns != 0).then(|| Duration::from_nanos(ns))
}

/// What the kernel writes behind the path of a file that has no name any more.
const DELETED: &[u8] = b" (deleted)";

/// `curl\0bin\0usr\0` → `/usr/bin/curl`; with [`DELETED`] behind it where that is so.
fn path_of_names(names: &[u8], is_deleted: bool) -> Option<Arc<str>> {
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

/// What execve(2) was given, if it says the place by itself.
fn absolute(path: &[u8]) -> Option<Arc<str>> {
    path.starts_with(b"/").then(|| text(path))
}

/// Up to the first NUL; processes choose their names, so they need not be UTF-8.
fn text(bytes: &[u8]) -> Arc<str> {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into()
}

fn address(bytes: [u8; 16], port: u16) -> SocketAddr {
    Event::canonical(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(bytes)), port))
}

#[cfg(test)]
mod tests;
