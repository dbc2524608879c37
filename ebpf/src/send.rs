//! `syscalls:sys_enter_` and `sys_exit_{sendto,sendmsg,sendmmsg}`: datagrams of UDP sockets that have no peer, once a
//! minute for each process and destination; and TCP connections that are begun with the first data (TCP Fast Open).

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user, generated::bpf_ktime_get_boot_ns},
    macros::tracepoint,
    programs::TracePointContext,
};
use lightmon_common::{FLOW_NS, counter, stage};

use crate::{
    connect, emit,
    ends::{Ends, IPPROTO_MPTCP, IPPROTO_TCP, IPPROTO_UDP, Peer, peer_at},
    errno::{
        EAGAIN, EBADF, EDESTADDRREQ, EEXIST, EFAULT, EINTR, EINVAL, EMSGSIZE, ENOBUFS, ENOMEM,
        ENOTSOCK, EOPNOTSUPP, EPIPE, Errnos, LAST_ERRNO,
    },
    exclude,
    kernel::{field, offsets, read},
    maps::{CALLS, Call, FLOWS, Flow},
    task,
};

/// include/linux/socket.h
const MSG_FASTOPEN: u32 = 0x2000_0000;

/// Nothing was sent, and that says nothing about the destination.
const NOTHING_SENT: Errnos = Errnos::of(&[
    EINTR,
    EBADF,
    EAGAIN,
    ENOMEM,
    EFAULT,
    EINVAL,
    EPIPE,
    ENOTSOCK,
    EDESTADDRREQ,
    EMSGSIZE,
    EOPNOTSUPP,
    ENOBUFS,
]);

// Fields of the tracepoints, `syscalls/sys_enter_*/format`: six arguments, and what the call returns.
const ARGUMENT: [usize; 6] = [16, 24, 32, 40, 48, 56];
const RETURN: usize = 16;

// `struct user_msghdr` of include/linux/socket.h, and `struct mmsghdr` around it.
const MSG_NAME: u64 = 0;
const MSG_NAMELEN: u64 = 8;
const MMSGHDR: u64 = 64;
/// No length that an address may have.
const DATAGRAM: u32 = 0;
/// Messages of one call whose destinations are looked at; what more there is counts as lost.
const MAX_MESSAGES: u64 = 64;

/// match-proto:v5.8:net/socket.c:int __sys_sendto(int fd, void __user *buff, size_t len, unsigned int flags, struct sockaddr __user *addr, int addr_len)
#[tracepoint]
pub fn sys_enter_sendto(ctx: TracePointContext) -> u32 {
    let address = argument(&ctx, 4);
    // Else to the socket's peer.
    if address != 0 {
        let (fd, flags, length) = (argument(&ctx, 0), argument(&ctx, 3), argument(&ctx, 5));
        begin(fd as u32, address, length as u32, flags as u32);
    }
    0
}

/// match-proto:v5.8:net/socket.c:long __sys_sendmsg(int fd, struct user_msghdr __user *msg, unsigned int flags, bool forbid_cmsg_compat)
#[tracepoint]
pub fn sys_enter_sendmsg(ctx: TracePointContext) -> u32 {
    if let Ok(Some((address, length))) = name_of(argument(&ctx, 1)) {
        let (fd, flags) = (argument(&ctx, 0), argument(&ctx, 2));
        begin(fd as u32, address, length, flags as u32);
    }
    0
}

/// match-proto:v5.8:net/socket.c:int __sys_sendmmsg(int fd, struct mmsghdr __user *mmsg, unsigned int vlen, unsigned int flags, bool forbid_cmsg_compat)
#[tracepoint]
pub fn sys_enter_sendmmsg(ctx: TracePointContext) -> u32 {
    let (fd, messages) = (argument(&ctx, 0), argument(&ctx, 1));
    let socket = task::socket_of(fd as u32);
    if protocol_of(socket) == IPPROTO_UDP {
        remember(socket, messages);
    }
    0
}

#[inline(always)]
fn begin(fd: u32, address: u64, length: u32, flags: u32) {
    let is_fast_open = flags & MSG_FASTOPEN != 0;
    let is_reported = match peer_at(address) {
        Ok(Some(peer)) => !is_fast_open && is_fresh(&flow(peer.address, peer.port, 0), now()),
        Ok(None) => true,
        // The kernel will fetch the page, we can't.
        Err(_) => false,
    };
    if is_reported {
        return;
    }
    let socket = task::socket_of(fd);
    match protocol_of(socket) {
        IPPROTO_UDP => remember(socket, address),
        IPPROTO_TCP | IPPROTO_MPTCP if is_fast_open => connect::begin(fd, address, length),
        _ => {}
    }
}

#[inline(always)]
fn remember(socket: u64, address: u64) {
    let call = Call::new(now(), socket, address, DATAGRAM);
    if CALLS.insert(&bpf_get_current_pid_tgid(), &call, 0).is_err() {
        emit::count(counter::LOST);
    }
}

/// The other half of [`sys_enter_sendto`] and of [`sys_enter_sendmsg`].
#[tracepoint]
pub fn sys_exit_send(ctx: TracePointContext) -> u32 {
    let Some(call) = CALLS.get_ptr(&bpf_get_current_pid_tgid()) else {
        return 0;
    };
    // SAFETY: the offset and type are those of the tracepoint's format.
    let result = unsafe { field::<i64>(&ctx, RETURN) };
    // SAFETY: the entry of this thread, which is in this call.
    if unsafe { (*call).length } == DATAGRAM {
        end_send(result)
    } else {
        connect::end_connect(if result > 0 { 0 } else { result })
    }
}

/// Ends what [`begin`] has begun for a datagram; for the verifier as [`connect::end_connect`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn end_send(result: i64) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    let Some(call) = CALLS.get_ptr(&thread) else {
        return 0;
    };
    // SAFETY: the entry of this thread, which is in this call.
    let call = unsafe { &*call };
    if let Ok(Some(peer)) = peer_at(call.address) {
        sent(call.socket, call.began_ns, &peer, result);
    }
    let _ = CALLS.remove(&thread);
    0
}

/// The other half of [`sys_enter_sendmmsg`].
#[tracepoint]
pub fn sys_exit_sendmmsg(ctx: TracePointContext) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    let Some(call) = CALLS.get_ptr(&thread) else {
        return 0;
    };
    // SAFETY: the entry of this thread, which is in this call.
    let (socket, began_ns, messages) =
        unsafe { ((*call).socket, (*call).began_ns, (*call).address) };
    let _ = CALLS.remove(&thread);
    // SAFETY: the offset and type are those of the tracepoint's format.
    let result = unsafe { field::<i64>(&ctx, RETURN) };
    // A failure is the first message's: otherwise the call tells how many were sent.
    let count = if result < 0 { 1 } else { result as u64 };
    for i in 0..MAX_MESSAGES {
        if i >= count {
            break;
        }
        // A connection is named by its time: each has its own.
        sent_message(socket, began_ns + i, messages + i * MMSGHDR, result);
    }
    emit::add(counter::LOST, count.saturating_sub(MAX_MESSAGES));
    0
}

/// One message of several; for the verifier as [`connect::end_connect`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sent_message(socket: u64, began_ns: u64, message: u64, result: i64) -> u32 {
    if let Ok(Some((address, _))) = name_of(message)
        && let Ok(Some(peer)) = peer_at(address)
    {
        sent(socket, began_ns, &peer, result);
    }
    0
}

/// Reports a datagram, unless one like it was reported within the minute.
#[inline(always)]
fn sent(socket: u64, began_ns: u64, peer: &Peer, result: i64) {
    let errno = if result < 0 { -result } else { 0 };
    if !is_outcome(errno) {
        return;
    }
    let now = now();
    let [a, b] = halves(peer.address);
    if is_news(a, b, peer.port, errno as u16, now) == 0 {
        return;
    }
    if exclude::takes(peer, IPPROTO_UDP, None) {
        return;
    }
    let mut ends = Ends::to(peer, IPPROTO_UDP);
    ends.read_source(read(socket, offsets().socket_sk));
    let stage = if errno == 0 {
        stage::SENT
    } else {
        stage::REJECTED
    };
    emit::connection(&ends, &task::current(), began_ns, now, stage, errno as u16);
}

#[inline(always)]
fn halves(address: [u8; 16]) -> [u64; 2] {
    let address = u128::from_le_bytes(address);
    [address as u64, (address >> 64) as u64]
}

#[inline(always)]
fn flow(destination: [u8; 16], destination_port: u16, errno: u16) -> Flow {
    Flow {
        started_ns: task::started(task::pointer_to_current()),
        destination,
        tgid: (bpf_get_current_pid_tgid() >> 32) as u32,
        destination_port,
        errno,
    }
}

#[inline(always)]
fn is_fresh(flow: &Flow, now: u64) -> bool {
    // SAFETY: a word, which others replace as a whole.
    unsafe { FLOWS.get(flow) }.is_some_and(|at| now.saturating_sub(*at) < FLOW_NS)
}

/// 1 when the flow to that destination (its two halves) was not reported lately, else 0; it is now. A function of its own for the
/// verifier, as [`task::is_counted_apart`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_news(a: u64, b: u64, port: u16, errno: u16, now: u64) -> u32 {
    let destination = u128::from(a) | u128::from(b) << 64;
    let flow = flow(destination.to_le_bytes(), port, errno);
    // SAFETY: as above.
    match unsafe { FLOWS.get(&flow) } {
        Some(at) if now.saturating_sub(*at) < FLOW_NS => 0,
        Some(_) => {
            let _ = FLOWS.insert(&flow, &now, 0);
            1
        }
        // Another thread may be as far as we are: one of us is the first.
        None => (FLOWS.insert(&flow, &now, u64::from(BPF_NOEXIST)) != Err(-EEXIST)).into(),
    }
}

/// Whether this, or 0, says something about the destination.
#[inline(always)]
fn is_outcome(errno: i64) -> bool {
    errno <= LAST_ERRNO && !NOTHING_SENT.has(errno)
}

/// Of a `struct socket *`; 0 without BTF.
#[inline(always)]
fn protocol_of(socket: u64) -> u16 {
    let at = offsets();
    read(read(socket, at.socket_sk), at.sock_protocol)
}

/// The destination of a `struct user_msghdr`, and its length; none: the socket's peer.
#[inline(always)]
fn name_of(message: u64) -> Result<Option<(u64, u32)>, i32> {
    // SAFETY: the helper fails where user memory is not readable.
    let (name, length) = unsafe {
        (
            bpf_probe_read_user((message + MSG_NAME) as *const u64)?,
            bpf_probe_read_user((message + MSG_NAMELEN) as *const u32)?,
        )
    };
    Ok((name != 0).then_some((name, length)))
}

#[inline(always)]
fn argument(ctx: &TracePointContext, n: usize) -> u64 {
    // SAFETY: the offsets and types are those of the tracepoint's format.
    unsafe { field(ctx, ARGUMENT[n]) }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: takes no argument.
    unsafe { bpf_ktime_get_boot_ns() }
}
