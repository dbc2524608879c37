//! Kernel record → [`Record`]. Checks lengths and numbers; a record that makes no sense is an error, never a panic.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use lightmon_common::{Cgroup, Connection, ERRNO_UNKNOWN, Exec, Task, kind, stage};
use nix::time::{ClockId, clock_gettime};
use zerocopy::FromBytes;

use crate::event::{self, Event, Outcome, Parent, Process, Protocol, Record};

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

/// Turns the kernel's clock into wall-clock time.
pub(super) struct Clock {
    boot: Timestamp,
}

impl Clock {
    /// As the two clocks stand now: wall-clock time may be set while we run.
    pub(super) fn now() -> Self {
        // The clock exists since Linux 2.6.39; were it to fail, times would be wrong by the time since boot.
        let uptime = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
        Self {
            boot: Timestamp::now()
                .saturating_sub(signed(uptime))
                .unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }

    fn at(&self, since_boot: Duration) -> Timestamp {
        self.boot
            .saturating_add(signed(since_boot))
            .unwrap_or(Timestamp::MAX)
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Decodes one record of the ring buffer.
pub(super) fn record(bytes: &[u8], clock: &Clock) -> Result<Record, Malformed> {
    let short = Malformed::Short { len: bytes.len() };
    let (kind, _) = u32::read_from_prefix(bytes).map_err(|_| short)?;
    match kind {
        kind::CONNECTION => {
            let (connection, _) = Connection::read_from_prefix(bytes)
                .map_err(|_| Malformed::Short { len: bytes.len() })?;
            Ok(Record::Connection(Box::new(self::connection(
                &connection,
                clock,
            )?)))
        }
        kind::EXEC => exec(bytes).map(Record::Exec),
        kind::CGROUP => cgroup(bytes),
        value => Err(Malformed::Unknown {
            what: "kind",
            value,
        }),
    }
}

fn connection(record: &Connection, clock: &Clock) -> Result<Event, Malformed> {
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
        comm: text(&task.comm),
        process: Arc::new(process(task)),
        container: None,
        image: 0,
        container_provenance: None,
        cgroup_id: task.cgroup_id,
        tags: Vec::new(),
        line: None,
    })
}

fn exec(bytes: &[u8]) -> Result<event::Exec, Malformed> {
    let short = || Malformed::Short { len: bytes.len() };
    let (record, rest) = Exec::read_from_prefix(bytes).map_err(|_| short())?;
    let (args, rest) = rest
        .split_at_checked(record.args_len.into())
        .ok_or_else(short)?;
    let path = rest.get(..record.path_len.into()).ok_or_else(short)?;
    Ok(event::Exec {
        time: Duration::from_nanos(record.time_ns),
        cgroup_id: record.task.cgroup_id,
        image: 0,
        process: Process {
            path: if record.path_is_text == 0 {
                path_of_names(path)
            } else {
                absolute(path)
            },
            args: (!args.is_empty()).then(|| event::split_args(args)),
            args_cut: record.args_cut != 0,
            ..process(&record.task)
        },
    })
}

fn cgroup(bytes: &[u8]) -> Result<Record, Malformed> {
    let short = || Malformed::Short { len: bytes.len() };
    let (Cgroup { id, path_len, .. }, rest) =
        Cgroup::read_from_prefix(bytes).map_err(|_| short())?;
    let path = rest.get(..path_len as usize).ok_or_else(short)?;
    let path = path.strip_suffix(&[0]).unwrap_or(path).to_vec();
    Ok(Record::Cgroup { id, path })
}

/// What the record itself says of the process; the enrich stage knows more.
fn process(task: &Task) -> Process {
    let since_boot = |ns| (ns != 0).then(|| Duration::from_nanos(ns));
    let parent = (task.ppid != 0).then(|| Parent {
        pid: task.ppid,
        started: since_boot(task.parent_started_ns),
        comm: Arc::default(),
        path: None,
    });
    Process {
        pid: task.tgid,
        started: since_boot(task.started_ns),
        comm: text(&task.comm),
        parents: parent.into_iter().collect(),
        ..Process::default()
    }
}

/// `curl\0bin\0usr\0` → `/usr/bin/curl`.
fn path_of_names(names: &[u8]) -> Option<Arc<str>> {
    let names = names.strip_suffix(&[0])?;
    let path: Vec<_> = names
        .split(|byte| *byte == 0)
        .rev()
        .flat_map(|name| [b"/", name].concat())
        .collect();
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
mod tests {
    use proptest::prelude::*;
    use zerocopy::{FromZeros as _, IntoBytes as _};

    use super::*;

    fn clock() -> Clock {
        Clock {
            boot: Timestamp::UNIX_EPOCH,
        }
    }

    fn refused() -> Connection {
        let mut record = Connection::new_zeroed();
        record.kind = kind::CONNECTION;
        record.family = 10;
        record.protocol = 6;
        record.began_ns = 5_000_000_000;
        record.latency_ns = 7;
        record.stage = stage::CLOSED;
        record.errno = 111;
        record.source = "::ffff:127.0.0.1".parse::<Ipv6Addr>().unwrap().octets();
        record.destination = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
        (record.source_port, record.destination_port) = (40_000, 443);
        record.task.comm[..3].copy_from_slice(b"a\xffb");
        (
            record.task.tgid,
            record.task.tid,
            record.task.ppid,
            record.task.uid,
        ) = (10, 11, 1, 1000);
        record
    }

    fn decode(record: &Connection) -> Event {
        match super::record(record.as_bytes(), &clock()) {
            Ok(Record::Connection(event)) => *event,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn connection_has_both_ends() {
        let event = decode(&refused());
        assert_eq!(event.time.as_second(), 5);
        assert_eq!(event.source.to_string(), "127.0.0.1:40000");
        assert_eq!(event.destination.to_string(), "[2001:db8::1]:443");
        assert_eq!((event.outcome, event.errno), (Outcome::Refused, Some(111)));
        assert_eq!((event.pid, event.tid, event.uid), (10, 11, 1000));
        assert_eq!(&*event.comm, "a\u{fffd}b");
        assert_eq!(event.process.parents[0].pid, 1);
    }

    #[test]
    fn closed_without_an_error_is_aborted_and_unknown_is_failed() {
        for (stage, errno, outcome) in [
            (stage::CLOSED, 0, Outcome::Aborted),
            (stage::CLOSED, ERRNO_UNKNOWN, Outcome::Failed),
            (stage::REJECTED, 101, Outcome::Unreachable),
            (stage::REJECTED, 97, Outcome::Failed),
            (stage::ESTABLISHED, 0, Outcome::Established),
            (stage::CONNECTED, 0, Outcome::Connected),
        ] {
            let mut record = refused();
            (record.stage, record.errno) = (stage, errno);
            assert_eq!(decode(&record).outcome, outcome, "{stage} {errno}");
        }
    }

    #[test]
    fn exec_has_path_and_arguments() {
        let mut record = Exec::new_zeroed();
        record.kind = kind::EXEC;
        (record.args_len, record.path_len) = (9, 13);
        let bytes = [record.as_bytes(), b"curl\0-s\0\0curl\0bin\0usr\0"].concat();
        let Ok(Record::Exec(exec)) = super::record(&bytes, &clock()) else {
            panic!()
        };
        assert_eq!(exec.process.path.as_deref(), Some("/usr/bin/curl"));
        let args = exec.process.args.unwrap();
        assert_eq!(
            args.iter().map(|arg| &**arg).collect::<Vec<_>>(),
            ["curl", "-s", ""]
        );
        assert_eq!(
            super::record(&bytes[..bytes.len() - 1], &clock()),
            Err(Malformed::Short {
                len: bytes.len() - 1
            })
        );
    }

    #[test]
    fn cgroup_has_its_path() {
        let mut record = Cgroup::new_zeroed();
        (record.kind, record.id, record.path_len) = (kind::CGROUP, 7, 3);
        let bytes = [record.as_bytes(), b"/a\0rest"].concat();
        let path = b"/a".to_vec();
        assert_eq!(
            super::record(&bytes, &clock()),
            Ok(Record::Cgroup { id: 7, path })
        );
        let short = &bytes[..18];
        assert_eq!(
            super::record(short, &clock()),
            Err(Malformed::Short { len: 18 })
        );
    }

    #[test]
    fn what_execve_was_given_counts_only_when_absolute() {
        assert_eq!(absolute(b"/bin/sh\0").as_deref(), Some("/bin/sh"));
        assert_eq!(absolute(b"./a.out\0"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(
            kind in 0u32..4,
            rest in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [&kind.to_ne_bytes()[..], &rest].concat();
            let _ = super::record(&bytes, &clock());
        }
    }
}
