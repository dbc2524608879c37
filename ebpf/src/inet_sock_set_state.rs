//! `sock:inet_sock_set_state`: each TCP connection, whichever way it began (connect, TCP Fast Open, io_uring).
//!
//! CLOSE→SYN_SENT stores the current task. SYN_SENT→ESTABLISHED and SYN_SENT→CLOSE report the outcome, often in a softirq that
//! has interrupted another process. The raw tracepoint is preferred, since the kernel runs it in any softirq. See
//! [`inet_sock_set_state`] for what the plain tracepoint misses.

use aya_ebpf::{
    helpers::generated::bpf_ktime_get_boot_ns,
    macros::{raw_tracepoint, tracepoint},
    programs::{RawTracePointContext, TracePointContext},
};
use lightmon_common::{ERRNO_UNKNOWN, Pending, Task, stage};

use crate::{
    call, emit,
    endpoints::{Destination, Endpoints, IPPROTO_MPTCP, IPPROTO_TCP},
    exclude,
    kernel::{field, offsets, read_or_zero, try_read},
    maps::MPTCP_OWNERS,
    pending,
    socket::{TCP_CLOSE, TCP_ESTABLISHED, TCP_SYN_RECV, TCP_SYN_SENT},
    task,
};

/// A connection begins, or gets its outcome.
///
/// match-proto:v5.8:include/trace/events/sock.h:TP_PROTO(const struct sock *sk, const int oldstate, const int newstate)
#[raw_tracepoint]
pub fn tcp_state(ctx: RawTracePointContext) -> u32 {
    let (sk, old, new) = (ctx.arg::<u64>(0), ctx.arg::<i32>(1), ctx.arg::<i32>(2));
    if begins(old, new) && read_or_zero::<u16>(sk, offsets().sock_protocol) == IPPROTO_TCP {
        begin(sk, || Destination::of_socket(sk));
    } else if is_outcome(old, new) {
        end_from_socket(sk, new);
    }
    0
}

/// Second program for the same tracepoint: catches the outcomes for which BPF's recursion protection skips [`tcp_state`].
/// Beginnings need no second program, since no connection begins in a softirq. If both programs are skipped, [`pending`] recovers
/// the outcome.
#[raw_tracepoint]
pub fn tcp_outcome(ctx: RawTracePointContext) -> u32 {
    let (sk, old, new) = (ctx.arg::<u64>(0), ctx.arg::<i32>(1), ctx.arg::<i32>(2));
    if is_outcome(old, new) {
        end_from_socket(sk, new);
    }
    0
}

/// Whichever program runs first takes the entry, and reports the outcome.
#[inline(always)]
fn end_from_socket(sk: u64, new: i32) {
    if let Some(pending) = pending::take(sk) {
        end(sk, new, &pending, &Endpoints::of_tcp(sk));
    }
}

// The fields of the tracepoint, include/trace/events/sock.h; `protocol` is a u16 since Linux 5.6.
const SK: usize = 8;
const OLD_STATE: usize = 16;
const NEW_STATE: usize = 20;
const SPORT: usize = 24;
const DPORT: usize = 26;
const FAMILY: usize = 28;
const PROTOCOL: usize = 30;
/// IPv4-mapped for an IPv4 socket.
const SADDR_V6: usize = 40;
const DADDR_V6: usize = 56;

/// Replaces both raw tracepoint programs if there is no BTF, which they need to read sockets. The kernel skips this hook in a
/// softirq that has interrupted a program attached with perf_event_open(2), or a bpf(2) call.
#[tracepoint]
pub fn inet_sock_set_state(ctx: TracePointContext) -> u32 {
    // SAFETY: the offsets and types are those of the tracepoint's format.
    let (sk, protocol, old, new) = unsafe {
        (
            field::<u64>(&ctx, SK),
            field::<u16>(&ctx, PROTOCOL),
            field::<i32>(&ctx, OLD_STATE),
            field::<i32>(&ctx, NEW_STATE),
        )
    };
    if begins(old, new) && protocol == IPPROTO_TCP {
        // SAFETY: as above.
        begin(sk, || unsafe {
            Some(Destination {
                family: field(&ctx, FAMILY),
                port: field(&ctx, DPORT),
                address: address(&ctx, DADDR_V6),
            })
        });
    } else if is_outcome(old, new)
        && let Some(pending) = pending::take(sk)
    {
        // SAFETY: as above.
        let endpoints = unsafe {
            Endpoints {
                family: field(&ctx, FAMILY),
                protocol,
                source: address(&ctx, SADDR_V6),
                destination: address(&ctx, DADDR_V6),
                source_port: field(&ctx, SPORT),
                destination_port: field(&ctx, DPORT),
            }
        };
        end(sk, new, &pending, &endpoints);
    }
    0
}

/// The 16 bytes at this offset of the tracepoint's record.
///
/// # Safety
/// There must be 16 bytes in the record, at a multiple of 8.
#[inline(always)]
unsafe fn address(ctx: &TracePointContext, offset: usize) -> [u8; 16] {
    // SAFETY: the caller's.
    let [low, high] = unsafe { [field::<u64>(ctx, offset), field::<u64>(ctx, offset + 8)] };
    // The target is little-endian.
    (u128::from(low) | u128::from(high) << 64).to_le_bytes()
}

#[inline(always)]
fn begins(old: i32, new: i32) -> bool {
    old == TCP_CLOSE && new == TCP_SYN_SENT
}

/// Includes SYN_RECV, which a socket passes through if both hosts connect to each other at the same time.
#[inline(always)]
fn is_outcome(old: i32, new: i32) -> bool {
    (old == TCP_SYN_SENT || old == TCP_SYN_RECV) && (new == TCP_ESTABLISHED || new == TCP_CLOSE)
}

#[inline(always)]
fn begin(sk: u64, destination: impl FnOnce() -> Option<Destination>) {
    let mptcp_sk = mptcp_socket_of(sk);
    // Not an `Option<Task>`: the compiler copies words of a `None` that are not initialized, which the verifier refuses before
    // Linux 6.3.
    let mut task = Task::ZERO;
    let (has_owner, begun_mptcp_sk) = if call::note_syn(sk) {
        (false, mptcp_sk)
    } else {
        (read_owner(mptcp_sk, &mut task), 0)
    };
    // An excluded connection costs no more than this: it has no entry, so neither its outcome nor its call finds anything.
    let is_excluded = exclude::has_rules()
        && destination().is_some_and(|destination| {
            exclude::is_excluded(&destination, IPPROTO_TCP, has_owner.then_some(&task))
        });
    if is_excluded && begun_mptcp_sk == 0 {
        return;
    }
    // SAFETY: takes no argument.
    let began_ns = unsafe { bpf_ktime_get_boot_ns() };
    if !has_owner {
        task = task::current();
    }
    if begun_mptcp_sk != 0 {
        // If the map is full, the further subflows are attributed to the kernel thread.
        let _ = MPTCP_OWNERS.insert(&begun_mptcp_sk, &task, 0);
    }
    if !is_excluded {
        pending::insert(sk, began_ns, task);
    }
}

/// The MPTCP socket that a socket is a subflow of, or 0.
#[inline(always)]
fn mptcp_socket_of(sk: u64) -> u64 {
    let at = offsets();
    let subflow: u64 = read_or_zero(sk, at.sock_ulp_data);
    if subflow == 0 {
        return 0; // nearly all sockets
    }
    let conn = read_or_zero(subflow, at.subflow_conn);
    match read_or_zero(conn, at.sock_protocol) {
        IPPROTO_MPTCP => conn,
        _ => 0,
    }
}

/// Reads the task that connected this MPTCP socket, if the current task is a kernel thread, which begins a further subflow.
/// Whether the task is known.
#[inline(always)]
fn read_owner(mptcp_sk: u64, owner: &mut Task) -> bool {
    if mptcp_sk == 0 || task::exec_id(task::current_pointer()) != 0 {
        return false;
    }
    // SAFETY: a copy. If the entry is replaced meanwhile, the new task is one that connected the same socket.
    match unsafe { MPTCP_OWNERS.get(&mptcp_sk) } {
        Some(task) => {
            *owner = *task;
            true
        }
        None => false,
    }
}

#[inline(always)]
fn end(sk: u64, new: i32, pending: &Pending, endpoints: &Endpoints) {
    // SAFETY: takes no argument.
    let now_ns = unsafe { bpf_ktime_get_boot_ns() };
    let Pending { began_ns, task, .. } = pending;
    if new == TCP_ESTABLISHED {
        emit::connection(endpoints, task, *began_ns, now_ns, stage::ESTABLISHED, 0);
        return;
    }
    let errno = try_read::<u32>(sk, offsets().sock_err).map_or(ERRNO_UNKNOWN, |errno| errno as u16);
    if (errno == 0 || errno == ERRNO_UNKNOWN) && call::note_close(sk, endpoints) {
        return; // the call's end knows the errno
    }
    emit::connection(endpoints, task, *began_ns, now_ns, stage::CLOSED, errno);
}
