use std::{net::Ipv6Addr, sync::Arc, time::Duration};

use jiff::Timestamp;
use lightmon_common::{Cgroup, Connection, ERRNO_UNKNOWN, Exec, Task, kind, stage};
use lightmon_event::{Event, Outcome, Record};
use proptest::prelude::*;
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::{
    Clock, Decoded, Malformed, Tasks,
    process::{absolute, decode_task},
};

fn clock() -> Clock {
    Clock {
        now: Timestamp::UNIX_EPOCH,
        since_boot: Duration::ZERO,
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
    match super::record(record.as_bytes(), &clock(), &mut Tasks::default()) {
        Ok(Decoded::Record(Record::Connection(event))) => event,
        other => panic!("{other:?}"),
    }
}

#[test]
fn connection_has_endpoints_process_and_errno() {
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
fn only_connections_of_the_same_process_share_it() {
    let mut tasks = Tasks::default();
    let mut process = |change: fn(&mut Task)| {
        let mut task = refused().task;
        change(&mut task);
        tasks.process(&task)
    };
    let first = process(|_| ());
    assert!(Arc::ptr_eq(&first, &process(|task| task.cgroup_id = 7)));
    let changes: [fn(&mut Task); 5] = [
        |task| task.tgid = 12,
        |task| task.started_ns = 1,
        |task| task.ppid = 2,
        |task| task.parent_started_ns = 1,
        |task| task.comm = [b'x'; 16],
    ];
    for change in changes {
        let mut task = refused().task;
        change(&mut task);
        let other = process(change);
        assert_eq!(*other, decode_task(&task));
        assert!(!Arc::ptr_eq(&first, &other));
    }
}

#[test]
fn stage_and_errno_give_the_outcome() {
    for (stage, errno, outcome) in [
        (stage::CLOSED, 0, Outcome::Aborted),
        (stage::CLOSED, ERRNO_UNKNOWN, Outcome::Failed),
        (stage::REJECTED, 101, Outcome::Unreachable),
        (stage::REJECTED, 97, Outcome::Failed),
        (stage::ESTABLISHED, 0, Outcome::Established),
        (stage::CONNECTED, 0, Outcome::Connected),
        (stage::PENDING, 0, Outcome::Pending),
        (stage::SENT, 0, Outcome::Sent),
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
    let Ok(Decoded::Record(Record::Exec(exec))) =
        super::record(&bytes, &clock(), &mut Tasks::default())
    else {
        panic!()
    };
    assert_eq!(exec.process.path.as_deref(), Some("/usr/bin/curl"));
    let args = exec.process.args.unwrap();
    assert_eq!(
        args.iter().map(|arg| &**arg).collect::<Vec<_>>(),
        ["curl", "-s", ""]
    );
    assert_eq!(
        super::record(&bytes[..bytes.len() - 1], &clock(), &mut Tasks::default()),
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
        super::record(&bytes, &clock(), &mut Tasks::default()),
        Ok(Decoded::Record(Record::Cgroup { id: 7, path }))
    );
    let short = &bytes[..18];
    assert_eq!(
        super::record(short, &clock(), &mut Tasks::default()),
        Err(Malformed::Short { len: 18 })
    );
}

#[test]
fn relative_path_of_execve_is_not_used() {
    assert_eq!(absolute(b"/bin/sh\0").as_deref(), Some("/bin/sh"));
    assert_eq!(absolute(b"./a.out\0"), None);
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_malformed(
        kind in 0u32..7,
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [&kind.to_ne_bytes()[..], &rest].concat();
        let _ = super::record(&bytes, &clock(), &mut Tasks::default());
    }
}
