//! The way out: one record a connection, and a count of those that found no room.

use core::arch::asm;

use lightmon_common::{Connection, Task, counter, kind};

use crate::{
    ends::Ends,
    maps::{COUNTERS, RECORDS},
    wake,
};

/// Sends a connection, or counts it as lost.
#[inline(always)]
pub fn connection(ends: &Ends, task: &Task, began_ns: u64, now_ns: u64, stage: u8, errno: u16) {
    let Some(mut entry) = RECORDS.reserve::<Connection>(0) else {
        return count(counter::LOST);
    };
    entry.write(Connection {
        kind: kind::CONNECTION,
        family: ends.family,
        protocol: ends.protocol,
        began_ns,
        latency_ns: now_ns.saturating_sub(began_ns),
        task: *task,
        source: ends.source,
        destination: ends.destination,
        source_port: ends.source_port,
        destination_port: ends.destination_port,
        errno,
        stage,
        reserved: 0,
    });
    entry.submit(wake::up());
    count(counter::SENT);
}

/// Adds one to a counter of this CPU.
#[inline(always)]
pub fn count(counter: u32) {
    add(counter, 1);
}

/// Adds to a counter of this CPU.
#[inline(always)]
pub fn add(counter: u32, more: u64) {
    add_to(COUNTERS.get_ptr_mut(counter), more);
}

/// Adds to a number of a map.
#[inline(always)]
pub fn add_to(number: Option<*mut u64>, more: u64) {
    if let Some(n) = number {
        // Atomic, which `core` has no function for on this target: a softirq may interrupt us, and count as well; or another CPU.
        // SAFETY: an aligned u64 of a map that outlives the program.
        unsafe { asm!("lock *(u64 *)({n} + 0) += {more}", n = in(reg) n, more = in(reg) more) };
    }
}
