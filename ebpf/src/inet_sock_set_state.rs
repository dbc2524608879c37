//! `sock:inet_sock_set_state`: every TCP connection whichever way it was begun (connect, TCP Fast Open, io_uring).
//!
//! CLOSE→SYN_SENT remembers the caller; SYN_SENT→ESTABLISHED and →CLOSE report the outcome, often in a softirq
//! that has interrupted some other process.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, generated::bpf_ktime_get_boot_ns},
    macros::tracepoint,
    programs::TracePointContext,
};
use lightmon_common::{ERRNO_UNKNOWN, Pending, Task, counter, stage};

use crate::{
    emit,
    ends::{Ends, IPPROTO_TCP},
    kernel::{offsets, pointer, read},
    maps::{CALLS, MPTCP, PENDING},
    task, waiting,
};

// include/net/tcp_states.h
const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;
const TCP_SYN_RECV: i32 = 3;
const TCP_CLOSE: i32 = 7;

// The tracepoint's fields, include/trace/events/sock.h; `protocol` is a u16 since Linux 5.6.
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

/// match-proto:v5.8:net/ipv4/af_inet.c:void inet_sk_set_state(struct sock *sk, int state)
#[tracepoint]
pub fn inet_sock_set_state(ctx: TracePointContext) -> u32 {
    let _ = try_inet_sock_set_state(&ctx);
    0
}

#[inline(always)]
fn try_inet_sock_set_state(ctx: &TracePointContext) -> Result<(), i32> {
    // SAFETY: the offsets and types are those of the tracepoint's format.
    let (old, new) = unsafe {
        (
            ctx.read_at::<i32>(OLD_STATE)?,
            ctx.read_at::<i32>(NEW_STATE)?,
        )
    };
    let begins = old == TCP_CLOSE && new == TCP_SYN_SENT;
    // SYN_RECV is passed through when both ends connect to each other at the same time.
    let ends = (old == TCP_SYN_SENT || old == TCP_SYN_RECV)
        && (new == TCP_ESTABLISHED || new == TCP_CLOSE);
    if !begins && !ends {
        return Ok(());
    }
    // SAFETY: as above.
    let (sk, protocol) = unsafe { (ctx.read_at::<u64>(SK)?, ctx.read_at::<u16>(PROTOCOL)?) };
    if protocol != IPPROTO_TCP {
        return Ok(());
    }
    if begins { begin(sk) } else { end(ctx, sk, new) }
}

#[inline(always)]
fn begin(sk: u64) -> Result<(), i32> {
    // SAFETY: takes no argument.
    let mut pending = Pending {
        began_ns: unsafe { bpf_ktime_get_boot_ns() },
        task: task::current(),
    };
    if let Some(call) = CALLS.get_ptr_mut(bpf_get_current_pid_tgid()) {
        // SAFETY: the entry of this thread, which is in this call.
        let call = unsafe { &mut *call };
        call.syn_sk = sk;
        if call.is_mptcp != 0 {
            // Full: its further subflows are the kernel thread's then.
            let _ = MPTCP.insert(call.sk, pending.task, 0);
        }
    } else if let Some(owner) = owner_of_subflow(sk, &pending.task) {
        pending.task = owner;
    }
    if PENDING.insert(sk, pending, 0).is_err() {
        emit::count(counter::LOST);
    }
    waiting::arm(pending.began_ns);
    Ok(())
}

/// Who has connected the MPTCP socket that a thread of the kernel begins a further subflow of.
#[inline(always)]
fn owner_of_subflow(sk: u64, caller: &Task) -> Option<Task> {
    if caller.image != 0 {
        return None;
    }
    let at = offsets();
    let subflow = pointer(sk, at.sock_ulp_data)?;
    let conn = pointer(subflow, at.subflow_conn)?;
    // SAFETY: a copy; a task that is replaced meanwhile is another one of the same socket.
    unsafe { MPTCP.get(conn) }.copied()
}

#[inline(always)]
fn end(ctx: &TracePointContext, sk: u64, new: i32) -> Result<(), i32> {
    // SAFETY: a copy is made before the entry is removed, and only this socket's owner removes it.
    let Some(pending) = (unsafe { PENDING.get(sk) }).copied() else {
        return Ok(()); // a connection that was accepted, or begun before we were here
    };
    let _ = PENDING.remove(sk);
    // SAFETY: the offsets and types are those of the tracepoint's format.
    let ends = unsafe {
        Ends {
            family: ctx.read_at(FAMILY)?,
            protocol: IPPROTO_TCP,
            source: ctx.read_at(SADDR_V6)?,
            destination: ctx.read_at(DADDR_V6)?,
            source_port: ctx.read_at(SPORT)?,
            destination_port: ctx.read_at(DPORT)?,
        }
    };
    // SAFETY: takes no argument.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    if new == TCP_ESTABLISHED {
        emit::connection(
            &ends,
            &pending.task,
            pending.began_ns,
            now,
            stage::ESTABLISHED,
            0,
        );
        return Ok(());
    }
    let errno = read::<i32>(sk, offsets().sock_err).map_or(ERRNO_UNKNOWN, |errno| errno as u16);
    if (errno == 0 || errno == ERRNO_UNKNOWN) && closed_in_its_call(sk, &ends) {
        return Ok(()); // sys_exit_connect knows the errno
    }
    emit::connection(
        &ends,
        &pending.task,
        pending.began_ns,
        now,
        stage::CLOSED,
        errno,
    );
    Ok(())
}

/// Notes in the call that has sent this socket's SYN, if the current thread is in it, that it was closed again:
/// no port was free, say.
#[inline(always)]
fn closed_in_its_call(sk: u64, ends: &Ends) -> bool {
    let Some(call) = CALLS.get_ptr_mut(bpf_get_current_pid_tgid()) else {
        return false;
    };
    // SAFETY: the entry of this thread, which is in this call.
    let call = unsafe { &mut *call };
    if call.syn_sk != sk {
        return false;
    }
    call.closed = 1;
    call.source = ends.source;
    call.source_port = ends.source_port;
    true
}
