//! Decodes a connection to an [`Event`].

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use lightmon_common::{Connection, ERRNO_UNKNOWN, stage};
use lightmon_event::{Event, Outcome, Protocol};

use super::{Clock, Malformed, Tasks};

pub(super) fn decode(
    record: &Connection,
    clock: &Clock,
    tasks: &mut Tasks,
) -> Result<Event, Malformed> {
    let Connection { task, .. } = record;
    let protocol = u8::try_from(record.protocol).map_err(|_| Malformed::Unknown {
        field: "protocol",
        value: record.protocol.into(),
    })?;
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
                field: "stage",
                value: value.into(),
            });
        }
    };
    let began = Duration::from_nanos(record.began_ns);
    let process = tasks.process(task);
    Ok(Event {
        time: clock.wall_time(began),
        kernel_time: began,
        protocol: Protocol::from_number(protocol),
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

fn address(bytes: [u8; 16], port: u16) -> SocketAddr {
    Event::canonical(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(bytes)), port))
}
