//! `syscalls:sys_enter_` and `sys_exit_{sendto,sendmsg,sendmmsg}`: datagrams of unconnected UDP sockets, and TCP connections that
//! begin with the first data (TCP Fast Open).
//!
//! A datagram is reported once a minute for each [`Flow`]: process, destination and result.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user, generated::bpf_ktime_get_boot_ns},
    macros::tracepoint,
    programs::TracePointContext,
};
use lightmon_common::{counter, stage};

use crate::{
    call, counters, emit,
    endpoints::{Destination, Endpoints, IPPROTO_TCP, IPPROTO_UDP},
    errno::{
        EAGAIN, EBADF, EDESTADDRREQ, EEXIST, EFAULT, EINTR, EINVAL, EMSGSIZE, ENOBUFS, ENOMEM,
        ENOTSOCK, EOPNOTSUPP, EPIPE, ErrnoSet, MAX_ERRNO,
    },
    exclude,
    kernel::{field, offsets, read_or_zero},
    maps::{CALLS, FLOWS, Flow},
    socket, task,
};

/// A flow is reported at most once in this interval.
const FLOW_REPORT_INTERVAL_NS: u64 = 60_000_000_000;

/// include/linux/socket.h
const MSG_FASTOPEN: u32 = 0x2000_0000;

/// Nothing was sent, for a reason that says nothing about the destination.
const NOTHING_SENT: ErrnoSet = ErrnoSet::of(&[
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

// Fields of the tracepoints, `syscalls/sys_enter_*/format`: six arguments, and the return value.
const ARGUMENTS: [usize; 6] = [16, 24, 32, 40, 48, 56];
const RETURN: usize = 16;

// Offsets in `struct user_msghdr` of include/linux/socket.h.
const MSG_NAME: u64 = 0;
const MSG_NAMELEN: u64 = 8;
/// Size of the `struct mmsghdr` around it.
const MMSGHDR_BYTES: u64 = 64;
/// Maximum number of messages of one call that are looked at. Further messages are counted as lost.
const MAX_MESSAGES: u64 = 64;

/// match-proto:v5.8:net/socket.c:int __sys_sendto(int fd, void __user *buff, size_t len, unsigned int flags, struct sockaddr __user *addr, int addr_len)
#[tracepoint]
pub fn sys_enter_sendto(ctx: TracePointContext) -> u32 {
    let address = argument(&ctx, 4);
    // Without an address, the socket is connected.
    if address != 0 {
        let (fd, flags, len) = (argument(&ctx, 0), argument(&ctx, 3), argument(&ctx, 5));
        begin(fd as u32, address, len as u32, flags as u32);
    }
    0
}

/// match-proto:v5.8:net/socket.c:long __sys_sendmsg(int fd, struct user_msghdr __user *msg, unsigned int flags, bool forbid_cmsg_compat)
#[tracepoint]
pub fn sys_enter_sendmsg(ctx: TracePointContext) -> u32 {
    if let Ok(Some((address, len))) = read_name(argument(&ctx, 1)) {
        let (fd, flags) = (argument(&ctx, 0), argument(&ctx, 2));
        begin(fd as u32, address, len, flags as u32);
    }
    0
}

/// match-proto:v5.8:net/socket.c:int __sys_sendmmsg(int fd, struct mmsghdr __user *mmsg, unsigned int vlen, unsigned int flags, bool forbid_cmsg_compat)
#[tracepoint]
pub fn sys_enter_sendmmsg(ctx: TracePointContext) -> u32 {
    let (fd, messages) = (argument(&ctx, 0), argument(&ctx, 1));
    let socket = socket::of_fd(fd as u32);
    if protocol_of(socket) == IPPROTO_UDP {
        call::begin_send(socket, messages, now_ns());
    }
    0
}

#[inline(always)]
fn begin(fd: u32, address: u64, address_len: u32, flags: u32) {
    let is_fast_open = flags & MSG_FASTOPEN != 0;
    let is_done = match Destination::read_user(address) {
        Ok(Some(destination)) => {
            let flow = flow(destination.address, destination.port, 0);
            !is_fast_open && was_reported_lately(&flow, now_ns())
        }
        Ok(None) => true,
        // The page is swapped out. The kernel will fetch it, which an eBPF program can't.
        Err(_) => false,
    };
    if is_done {
        return;
    }
    let socket = socket::of_fd(fd);
    match protocol_of(socket) {
        IPPROTO_UDP => call::begin_send(socket, address, now_ns()),
        IPPROTO_TCP if is_fast_open => call::begin_connect(fd, address, address_len),
        _ => {}
    }
}

/// Ends what [`sys_enter_sendto`] or [`sys_enter_sendmsg`] has begun.
#[tracepoint]
pub fn sys_exit_send(ctx: TracePointContext) -> u32 {
    let Some(call) = CALLS.get_ptr(&bpf_get_current_pid_tgid()) else {
        return 0;
    };
    // SAFETY: the offset and type are those of the tracepoint's format.
    let result = unsafe { field::<i64>(&ctx, RETURN) };
    // SAFETY: the entry of this thread, which is in this call.
    if unsafe { &*call }.is_datagram() {
        end_send(result)
    } else {
        call::end_connect(if result > 0 { 0 } else { result })
    }
}

/// The current thread ends a call that has sent one datagram. A function of its own for the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn end_send(result: i64) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    let Some(call) = CALLS.get_ptr(&thread) else {
        return 0;
    };
    // SAFETY: the entry of this thread, which is in this call.
    let call = unsafe { &*call };
    if let Ok(Some(destination)) = Destination::read_user(call.address) {
        end_datagram(call.socket, call.began_ns, &destination, result);
    }
    let _ = CALLS.remove(&thread);
    0
}

/// Ends what [`sys_enter_sendmmsg`] has begun.
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
    // An error is that of the first message: if a later one fails, the call returns how many were sent.
    let count = if result < 0 { 1 } else { result as u64 };
    for i in 0..MAX_MESSAGES {
        if i >= count {
            break;
        }
        // The time identifies a connection, so each message gets its own.
        end_message(socket, began_ns + i, messages + i * MMSGHDR_BYTES, result);
    }
    counters::add(counter::LOST, count.saturating_sub(MAX_MESSAGES));
    0
}

/// Ends one message of several. A function of its own for the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn end_message(socket: u64, began_ns: u64, message: u64, result: i64) -> u32 {
    if let Ok(Some((address, _))) = read_name(message)
        && let Ok(Some(destination)) = Destination::read_user(address)
    {
        end_datagram(socket, began_ns, &destination, result);
    }
    0
}

/// Reports a datagram, unless one of the same flow was reported lately.
#[inline(always)]
fn end_datagram(socket: u64, began_ns: u64, destination: &Destination, result: i64) {
    let errno = if result < 0 { -result } else { 0 };
    if !is_outcome(errno) {
        return;
    }
    let now_ns = now_ns();
    let [a, b] = halves(destination.address);
    if start_flow(a, b, destination.port, errno as u16, now_ns) == 0 {
        return;
    }
    if exclude::is_excluded(destination, IPPROTO_UDP, None) {
        return;
    }
    let mut endpoints = Endpoints::to(destination, IPPROTO_UDP);
    endpoints.read_source(read_or_zero(socket, offsets().socket_sk));
    let stage = if errno == 0 {
        stage::SENT
    } else {
        stage::REJECTED
    };
    emit::connection(
        &endpoints,
        &task::current(),
        began_ns,
        now_ns,
        stage,
        errno as u16,
    );
}

#[inline(always)]
fn halves(address: [u8; 16]) -> [u64; 2] {
    let address = u128::from_le_bytes(address);
    [address as u64, (address >> 64) as u64]
}

#[inline(always)]
fn flow(destination: [u8; 16], destination_port: u16, errno: u16) -> Flow {
    Flow {
        started_ns: task::started_ns(task::current_pointer()),
        destination,
        tgid: (bpf_get_current_pid_tgid() >> 32) as u32,
        destination_port,
        errno,
    }
}

#[inline(always)]
fn was_reported_lately(flow: &Flow, now_ns: u64) -> bool {
    // SAFETY: a word, which is written as a whole.
    unsafe { FLOWS.get(flow) }.is_some_and(|at| is_recent(*at, now_ns))
}

#[inline(always)]
fn is_recent(at_ns: u64, now_ns: u64) -> bool {
    now_ns.saturating_sub(at_ns) < FLOW_REPORT_INTERVAL_NS
}

/// 1 if the flow to this destination (its two halves) was not reported lately, else 0. If 1, it counts as reported from now on.
/// A function of its own for the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn start_flow(a: u64, b: u64, port: u16, errno: u16, now_ns: u64) -> u32 {
    let destination = u128::from(a) | u128::from(b) << 64;
    let flow = flow(destination.to_le_bytes(), port, errno);
    // SAFETY: as above.
    match unsafe { FLOWS.get(&flow) } {
        Some(at) if is_recent(*at, now_ns) => 0,
        Some(_) => {
            let _ = FLOWS.insert(&flow, &now_ns, 0);
            1
        }
        // Another thread may insert the same flow: only one of them is the first.
        None => (FLOWS.insert(&flow, &now_ns, u64::from(BPF_NOEXIST)) != Err(-EEXIST)).into(),
    }
}

/// Whether this errno, or 0, says something about the destination.
#[inline(always)]
fn is_outcome(errno: i64) -> bool {
    errno <= MAX_ERRNO && !NOTHING_SENT.contains(errno)
}

/// The protocol of a `struct socket`; 0 without BTF.
#[inline(always)]
fn protocol_of(socket: u64) -> u16 {
    socket::protocol(read_or_zero(socket, offsets().socket_sk))
}

/// The destination address of a `struct user_msghdr`, and its length; `None` if the socket is connected.
#[inline(always)]
fn read_name(message: u64) -> Result<Option<(u64, u32)>, i32> {
    // SAFETY: the helper fails if user memory is not readable.
    let (name, len) = unsafe {
        (
            bpf_probe_read_user((message + MSG_NAME) as *const u64)?,
            bpf_probe_read_user((message + MSG_NAMELEN) as *const u32)?,
        )
    };
    Ok((name != 0).then_some((name, len)))
}

#[inline(always)]
fn argument(ctx: &TracePointContext, n: usize) -> u64 {
    // SAFETY: the offsets and types are those of the tracepoint's format.
    unsafe { field(ctx, ARGUMENTS[n]) }
}

#[inline(always)]
fn now_ns() -> u64 {
    // SAFETY: takes no argument.
    unsafe { bpf_ktime_get_boot_ns() }
}
