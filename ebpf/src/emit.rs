//! Submits connections to the ring buffer.

use lightmon_common::{Connection, Task, counter, kind};

use crate::{consumer, counters, endpoints::Endpoints, maps::RECORDS};

/// Submits a connection. If the ring buffer is full, counts it as lost.
#[inline(always)]
pub fn connection(
    endpoints: &Endpoints,
    task: &Task,
    began_ns: u64,
    now_ns: u64,
    stage: u8,
    errno: u16,
) {
    let Some(mut entry) = RECORDS.reserve::<Connection>(0) else {
        return counters::count(counter::LOST);
    };
    entry.write(Connection {
        kind: kind::CONNECTION,
        family: endpoints.family,
        protocol: endpoints.protocol,
        began_ns,
        latency_ns: now_ns.saturating_sub(began_ns),
        task: *task,
        source: endpoints.source,
        destination: endpoints.destination,
        source_port: endpoints.source_port,
        destination_port: endpoints.destination_port,
        errno,
        stage,
        reserved: 0,
    });
    entry.submit(consumer::wakeup_flags());
    counters::count(counter::SUBMITTED);
}
