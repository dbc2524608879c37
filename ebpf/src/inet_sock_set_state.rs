//! `sock:inet_sock_set_state`: every TCP connection whichever way it was begun (connect, TCP Fast Open, io_uring).
//!
//! CLOSE→SYN_SENT remembers the caller; SYN_SENT→ESTABLISHED and →CLOSE report the outcome, often in a softirq
//! that has interrupted some other process. The raw tracepoint, which the kernel calls in any softirq; see
//! [`inet_sock_set_state`] for what the other one misses.

use aya_ebpf::{
    bindings::{BPF_EXIST, BPF_NOEXIST},
    helpers::{bpf_get_current_pid_tgid, generated::bpf_ktime_get_boot_ns},
    macros::{raw_tracepoint, tracepoint},
    programs::{RawTracePointContext, TracePointContext},
};
use lightmon_common::{ERRNO_UNKNOWN, Pending, Task, counter, stage};

use crate::{
    emit,
    ends::{Ends, IPPROTO_MPTCP, IPPROTO_TCP, Peer, peer_of},
    errno::{ECONNRESET, EPIPE},
    exclude,
    kernel::{field, known, offsets, read},
    maps::{CALLS, MPTCP, PENDING},
    task, waiting,
};

// include/net/tcp_states.h
const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;
const TCP_SYN_RECV: i32 = 3;
const TCP_CLOSE: i32 = 7;

/// A connection begins or ends.
///
/// match-proto:v5.8:include/trace/events/sock.h:TP_PROTO(const struct sock *sk, const int oldstate, const int newstate)
#[raw_tracepoint]
pub fn tcp_state(ctx: RawTracePointContext) -> u32 {
    let (sk, old, new) = (ctx.arg::<u64>(0), ctx.arg::<i32>(1), ctx.arg::<i32>(2));
    if begins(old, new) && read::<u16>(sk, offsets().sock_protocol) == IPPROTO_TCP {
        begin(sk, || peer_of(sk));
    } else if ends(old, new) {
        end_of(sk, new);
    }
    0
}

/// Beside [`tcp_state`], for ends that this one is not run for: the kernel runs no program inside itself. Nothing begins in a softirq.
/// What neither is run for is found by [`waiting`].
#[raw_tracepoint]
pub fn tcp_end(ctx: RawTracePointContext) -> u32 {
    let (sk, old, new) = (ctx.arg::<u64>(0), ctx.arg::<i32>(1), ctx.arg::<i32>(2));
    if ends(old, new) {
        end_of(sk, new);
    }
    0
}

/// The socket tells where the connection goes. Whoever is first takes it.
#[inline(always)]
fn end_of(sk: u64, new: i32) {
    if let Some(pending) = take(sk) {
        end(sk, new, &pending, &ends_of(sk));
    }
}

#[inline(always)]
fn ends_of(sk: u64) -> Ends {
    let mut ends = Ends::unknown(IPPROTO_TCP);
    ends.read(sk);
    if ends.source_port == 0 {
        // A closed socket has given back its port, and keeps it here.
        ends.source_port = u16::from_be(read(sk, offsets().inet_sport));
    }
    ends
}

/// Whether a socket in this state, 0 where it is not known, still waits for an answer.
#[inline(always)]
pub fn is_waiting(state: u8) -> bool {
    matches!(i32::from(state), 0 | TCP_SYN_SENT | TCP_SYN_RECV)
}

/// Reports a connection that has ended without a program being run for it: the host finds it among those that wait. The state
/// changes after the programs have run (inet_sk_state_store() of net/ipv4/af_inet.c).
#[inline(always)]
pub fn missed(sk: u64, state: u8) {
    let Some(pending) = take(sk) else {
        return;
    };
    let closed = i32::from(state) == TCP_CLOSE;
    let errno = read::<i32>(sk, offsets().sock_err).into();
    if closed && matches!(errno, 0 | EPIPE | ECONNRESET) {
        // It may have been established in between: nobody can tell any more.
        return emit::count(counter::LOST);
    }
    let (stage, errno) = if closed {
        (stage::CLOSED, errno as u16)
    } else {
        (stage::ESTABLISHED, 0)
    };
    // SAFETY: takes no argument.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let Pending { began_ns, task, .. } = pending;
    emit::connection(&ends_of(sk), &task, began_ns, now, stage, errno);
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

/// Both, where no BTF tells how to read a socket: the kernel skips it in a softirq that has interrupted any program that is
/// attached by perf_event_open(2), or a call of bpf(2).
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
            Some(Peer {
                family: field(&ctx, FAMILY),
                port: field(&ctx, DPORT),
                address: address(&ctx, DADDR_V6),
            })
        });
    } else if ends(old, new)
        && let Some(pending) = take(sk)
    {
        // SAFETY: as above.
        let ends = unsafe {
            Ends {
                family: field(&ctx, FAMILY),
                protocol,
                source: address(&ctx, SADDR_V6),
                destination: address(&ctx, DADDR_V6),
                source_port: field(&ctx, SPORT),
                destination_port: field(&ctx, DPORT),
            }
        };
        end(sk, new, &pending, &ends);
    }
    0
}

/// The 16 bytes at this place of the tracepoint's record.
///
/// # Safety
/// They must be there, at a multiple of 8.
#[inline(always)]
unsafe fn address(ctx: &TracePointContext, offset: usize) -> [u8; 16] {
    // SAFETY: the caller's.
    let [low, high] = unsafe { [field::<u64>(ctx, offset), field::<u64>(ctx, offset + 8)] };
    // This target is a little-endian one.
    (u128::from(low) | u128::from(high) << 64).to_le_bytes()
}

#[inline(always)]
fn begins(old: i32, new: i32) -> bool {
    old == TCP_CLOSE && new == TCP_SYN_SENT
}

/// SYN_RECV is passed through when both ends connect to each other at the same time.
#[inline(always)]
fn ends(old: i32, new: i32) -> bool {
    (old == TCP_SYN_SENT || old == TCP_SYN_RECV) && (new == TCP_ESTABLISHED || new == TCP_CLOSE)
}

#[inline(always)]
fn begin(sk: u64, peer: impl FnOnce() -> Option<Peer>) {
    // SAFETY: the entry of this thread, which is in this call.
    let call = CALLS
        .get_ptr_mut(&bpf_get_current_pid_tgid())
        .map(|call| unsafe { &mut *call });
    let conn = mptcp_socket_of(sk);
    // Not an `Option<Task>`: of one that is none the compiler copies words that are not there, which the verifier refuses before
    // Linux 6.3.
    let mut task = Task::NOBODY;
    let (has_owner, mptcp_sk) = match call {
        Some(call) => {
            call.syn_sk = sk;
            (false, conn)
        }
        None => (read_owner(conn, &mut task), 0),
    };
    // What is left out costs no more than this: neither its end nor its call finds anything.
    let is_excluded = exclude::has_rules()
        && peer()
            .is_some_and(|peer| exclude::takes(&peer, IPPROTO_TCP, has_owner.then_some(&task)));
    if is_excluded && mptcp_sk == 0 {
        return;
    }
    // SAFETY: takes no argument.
    let began_ns = unsafe { bpf_ktime_get_boot_ns() };
    if !has_owner {
        task = task::current();
    }
    if mptcp_sk != 0 {
        // Full: its further subflows are the kernel thread's then.
        let _ = MPTCP.insert(&mptcp_sk, &task, 0);
    }
    if is_excluded {
        return;
    }
    let pending = Pending {
        began_ns,
        task,
        is_reported: 0,
    };
    if PENDING.insert(&sk, &pending, BPF_NOEXIST.into()).is_err() {
        // No room; or its end was missed, and so was the socket's next beginning until now.
        emit::count(counter::LOST);
        let _ = PENDING.insert(&sk, &pending, BPF_EXIST.into());
    }
    waiting::arm(began_ns);
}

/// The MPTCP socket that a socket is a subflow of, or 0.
#[inline(always)]
fn mptcp_socket_of(sk: u64) -> u64 {
    let at = offsets();
    let subflow: u64 = read(sk, at.sock_ulp_data);
    if subflow == 0 {
        return 0; // as nearly all are
    }
    let conn = read(subflow, at.subflow_conn);
    match read(conn, at.sock_protocol) {
        IPPROTO_MPTCP => conn,
        _ => 0,
    }
}

/// Who has connected this MPTCP socket, of which a thread of the kernel, if it is the current one, begins a further subflow. Whether
/// that is known.
#[inline(always)]
fn read_owner(conn: u64, owner: &mut Task) -> bool {
    if conn == 0 || task::image(task::pointer_to_current()) != 0 {
        return false;
    }
    // SAFETY: a copy; a task that is replaced meanwhile is another one of the same socket.
    match unsafe { MPTCP.get(&conn) } {
        Some(task) => {
            *owner = *task;
            true
        }
        None => false,
    }
}

/// Who has begun a connection that ends now; none of one that was accepted, or begun before we were here.
#[inline(always)]
fn take(sk: u64) -> Option<Pending> {
    // SAFETY: a copy is made before the entry is removed.
    let pending = unsafe { PENDING.get(&sk) }.copied()?;
    // Who removes it has it.
    PENDING.remove(&sk).ok()?;
    Some(pending)
}

#[inline(always)]
fn end(sk: u64, new: i32, pending: &Pending, ends: &Ends) {
    // SAFETY: takes no argument.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    if new == TCP_ESTABLISHED {
        emit::connection(
            ends,
            &pending.task,
            pending.began_ns,
            now,
            stage::ESTABLISHED,
            0,
        );
        return;
    }
    let errno = known::<u32>(sk, offsets().sock_err).map_or(ERRNO_UNKNOWN, |errno| errno as u16);
    if (errno == 0 || errno == ERRNO_UNKNOWN) && closed_in_its_call(sk, ends) {
        return; // sys_exit_connect knows the errno
    }
    emit::connection(
        ends,
        &pending.task,
        pending.began_ns,
        now,
        stage::CLOSED,
        errno,
    );
}

/// Notes in the call that has sent this socket's SYN, if the current thread is in it, that it was closed again: no port
/// was free, say. Where it was to go to as well, which the rules have been asked about: not always what the call was given.
#[inline(always)]
fn closed_in_its_call(sk: u64, ends: &Ends) -> bool {
    let Some(call) = CALLS.get_ptr_mut(&bpf_get_current_pid_tgid()) else {
        return false;
    };
    // SAFETY: the entry of this thread, which is in this call.
    let call = unsafe { &mut *call };
    if call.syn_sk != sk {
        return false;
    }
    call.closed = 1;
    call.ends = *ends;
    true
}
