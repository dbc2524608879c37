//! Connections without an answer. The host looks after them: an eBPF program can't wait, and timers are newer than the
//! oldest kernel we run on. It finds the old entries of [`PENDING`] and asks about each here, where their sockets can be
//! read: it puts the socket into [`ASK`] and calls connect(2) with a descriptor that does not exist. One that still waits is
//! reported as pending, once; one that does not has an end that was missed, which is made good for.

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use lightmon_common::{Pending, Waiting, kind, stage};

use crate::{
    emit,
    ends::{Ends, IPPROTO_TCP},
    inet_sock_set_state,
    kernel::{offsets, read},
    maps::{ARMED, ASK, PENDING, RECORDS},
    task, wake,
};

/// The descriptor that does not exist.
const NO_FD: u32 = u32::MAX;

/// A connection was begun: tells the host, unless it is looking anyway.
#[inline(always)]
pub fn arm(began_ns: u64) {
    let Some(armed) = ARMED.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: a word of a map; two who set it at once send one record too many.
    if unsafe { armed.read_volatile() } != 0 {
        return;
    }
    let Some(mut entry) = RECORDS.reserve::<Waiting>(0) else {
        return; // the next connection tries again
    };
    // SAFETY: as above.
    unsafe { armed.write_volatile(1) };
    entry.write(Waiting {
        kind: kind::WAITING,
        reserved: 0,
        time_ns: began_ns,
    });
    entry.submit(wake::up());
}

/// Whether the current connect(2) is the host's question; answers it with a record if there is something new to say.
#[inline(always)]
pub fn answer(fd: u32) -> bool {
    let Some(ask) = ASK.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: a word of a map, which only the host sets, before it calls.
    let sk = unsafe { ask.read_volatile() };
    if sk == 0 || fd != NO_FD || !task::is_own() {
        return false;
    }
    // SAFETY: as above.
    unsafe { ask.write_volatile(0) };
    report(sk);
    true
}

#[inline(always)]
fn report(sk: u64) {
    let state = read(sk, offsets().sock_state);
    if !inet_sock_set_state::is_waiting(state) {
        return inet_sock_set_state::missed(sk, state);
    }
    let Some(entry) = PENDING.get_ptr_mut(&sk) else {
        return;
    };
    // SAFETY: an entry of a map, which only the host has marked; a copy, since whoever removes it does not use it any more.
    let pending = unsafe {
        if (*entry).is_reported != 0 {
            return;
        }
        (*entry).is_reported = 1;
        *entry
    };
    let mut ends = Ends::unknown(IPPROTO_TCP);
    ends.read(sk);
    // While it is still there, the socket was: what was read is of this connection.
    // SAFETY: as above.
    let is_same = unsafe { PENDING.get(&sk) }.is_some_and(|it| it.began_ns == pending.began_ns);
    if is_same && ends.family != 0 {
        // SAFETY: takes no argument.
        let now = unsafe { bpf_ktime_get_boot_ns() };
        let Pending { began_ns, task, .. } = pending;
        emit::connection(&ends, &task, began_ns, now, stage::PENDING, 0);
    }
}
