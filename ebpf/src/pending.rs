//! Pending TCP connections: those without an answer yet. Each has an entry in [`PENDING`] from its SYN to its outcome.
//!
//! The host scans the map, since an eBPF program can't wait, and the oldest supported kernel has no BPF timers. The host probes
//! each old entry: it writes the socket to [`PROBED_SOCKET`] and calls connect(2) with a descriptor that does not exist. That call runs
//! [`answer_probe`] in the kernel, where the socket can be read:
//! - If the connection has no answer yet, it is reported as pending, once.
//! - If it has one, a hook run was skipped, and the outcome is recovered from the socket.

use aya_ebpf::{
    bindings::{BPF_EXIST, BPF_NOEXIST},
    helpers::generated::bpf_ktime_get_boot_ns,
};
use lightmon_common::{Pending, ScanRequest, Task, counter, kind, stage};

use crate::{
    consumer, counters, emit,
    endpoints::{Endpoints, IPPROTO_TCP},
    errno::{ECONNRESET, EPIPE},
    kernel::{offsets, read_or_zero},
    maps::{PENDING, PROBED_SOCKET, RECORDS, SCAN_SCHEDULED},
    socket::{TCP_CLOSE, TCP_SYN_RECV, TCP_SYN_SENT},
    task,
};

/// The descriptor of a probe. It does not exist.
const PROBE_FD: u32 = u32::MAX;

/// Adds a connection that begins now.
#[inline(always)]
pub fn insert(sk: u64, began_ns: u64, task: Task) {
    let pending = Pending {
        began_ns,
        task,
        is_reported: 0,
    };
    if PENDING.insert(&sk, &pending, BPF_NOEXIST.into()).is_err() {
        // Either the map is full; or the hook runs for this socket's previous outcome were skipped, and its entry is still there.
        counters::count(counter::LOST);
        let _ = PENDING.insert(&sk, &pending, BPF_EXIST.into());
    }
    request_scan(began_ns);
}

/// Removes a connection that gets its outcome. Only one caller gets the entry. `None` for a connection that was accepted, or that
/// began before the hooks were attached.
#[inline(always)]
pub fn take(sk: u64) -> Option<Pending> {
    // SAFETY: a copy is made before the entry is removed.
    let pending = unsafe { PENDING.get(&sk) }.copied()?;
    PENDING.remove(&sk).ok()?;
    Some(pending)
}

/// Asks the host to scan, unless it has a scan scheduled.
#[inline(always)]
fn request_scan(began_ns: u64) {
    let Some(is_scheduled) = SCAN_SCHEDULED.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: a word of a map. If two CPUs set it at once, one request too many is sent.
    if unsafe { is_scheduled.read_volatile() } != 0 {
        return;
    }
    let Some(mut entry) = RECORDS.reserve::<ScanRequest>(0) else {
        return; // the next connection tries again
    };
    // SAFETY: as above.
    unsafe { is_scheduled.write_volatile(1) };
    entry.write(ScanRequest {
        kind: kind::SCAN_REQUEST,
        reserved: 0,
        began_ns,
    });
    entry.submit(consumer::wakeup_flags());
}

/// Whether the current connect(2) is a probe by the host. If so, answers with a record if there is something to report.
#[inline(always)]
pub fn answer_probe(fd: u32) -> bool {
    let Some(probed) = PROBED_SOCKET.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: a word of a map. Only the host sets it, before it calls connect(2).
    let sk = unsafe { probed.read_volatile() };
    if sk == 0 || fd != PROBE_FD || !task::is_lightmon() {
        return false;
    }
    // SAFETY: as above.
    unsafe { probed.write_volatile(0) };
    let state = read_or_zero::<u8>(sk, offsets().sock_state).into();
    // 0: not known.
    if matches!(state, 0 | TCP_SYN_SENT | TCP_SYN_RECV) {
        report(sk);
    } else {
        recover(sk, state);
    }
    true
}

/// Reports a connection as pending, unless that was done before.
#[inline(always)]
fn report(sk: u64) {
    let Some(entry) = PENDING.get_ptr_mut(&sk) else {
        return;
    };
    // SAFETY: an entry of a map, whose `is_reported` only the host's probes set. A copy, since the entry may be removed meanwhile.
    let pending = unsafe {
        if (*entry).is_reported != 0 {
            return;
        }
        (*entry).is_reported = 1;
        *entry
    };
    let mut endpoints = Endpoints::unknown(IPPROTO_TCP);
    endpoints.read(sk);
    // If the entry is still there, so was the socket when it was read: the endpoints are those of this connection.
    // SAFETY: as above.
    let is_same = unsafe { PENDING.get(&sk) }.is_some_and(|it| it.began_ns == pending.began_ns);
    if is_same && endpoints.family != 0 {
        // SAFETY: takes no argument.
        let now_ns = unsafe { bpf_ktime_get_boot_ns() };
        let Pending { began_ns, task, .. } = pending;
        emit::connection(&endpoints, &task, began_ns, now_ns, stage::PENDING, 0);
    }
}

/// Reports the outcome of a connection whose hook run was skipped. The kernel sets the new state after it has run the hooks
/// (inet_sk_state_store() of net/ipv4/af_inet.c). So a hook that was not skipped has already taken the entry.
#[inline(always)]
fn recover(sk: u64, state: i32) {
    let Some(pending) = take(sk) else {
        return;
    };
    let is_closed = state == TCP_CLOSE;
    let errno = read_or_zero::<i32>(sk, offsets().sock_err).into();
    if is_closed && matches!(errno, 0 | EPIPE | ECONNRESET) {
        // It may have been established in between. Nothing tells any more.
        return counters::count(counter::LOST);
    }
    let (stage, errno) = if is_closed {
        (stage::CLOSED, errno as u16)
    } else {
        (stage::ESTABLISHED, 0)
    };
    // SAFETY: takes no argument.
    let now_ns = unsafe { bpf_ktime_get_boot_ns() };
    let Pending { began_ns, task, .. } = pending;
    emit::connection(
        &Endpoints::of_tcp(sk),
        &task,
        began_ns,
        now_ns,
        stage,
        errno,
    );
}
