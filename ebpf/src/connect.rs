//! `syscalls:sys_enter_connect` and `sys_exit_connect`: UDP sockets that get a peer, and what fails before a SYN.
//! TCP's own outcomes are `inet_sock_set_state`'s; a call that has sent a SYN is left to it.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, generated::bpf_ktime_get_boot_ns},
    macros::tracepoint,
    programs::TracePointContext,
};
use lightmon_common::{counter, stage};

use crate::{
    emit,
    ends::{
        AF_INET, AF_INET6, Ends, IPPROTO_MPTCP, IPPROTO_TCP, IPPROTO_UDP, MAPPED, Peer, peer_at,
    },
    exclude,
    kernel::{offsets, read},
    maps::{CALLS, Call},
    task, waiting,
};

/// `SS_UNCONNECTED` of include/uapi/linux/net.h: no call has begun to connect this socket. What is not known is less.
const SS_UNCONNECTED: u32 = 1;

// include/uapi/asm-generic/errno-base.h, errno.h: a mistake of the program, not a connection …
const EBADF: i64 = 9;
const EFAULT: i64 = 14;
const ENOTSOCK: i64 = 88;
// … or a call about a connection that was reported before.
const EISCONN: i64 = 106;
const EALREADY: i64 = 114;
const EINPROGRESS: i64 = 115;
/// `MAX_ERRNO` that user space sees; above are the kernel's own, for calls that go on after a signal.
const LAST_ERRNO: i64 = 133;

/// `sizeof(struct sockaddr_in)`, and `SIN6_LEN_RFC2133` of include/net/ipv6.h.
const SHORTEST: (u32, u32) = (16, 24);

// Fields of the tracepoints: `syscalls/sys_enter_connect/format`.
const FD: usize = 16;
const ADDRESS: usize = 24;
const LENGTH: usize = 32;
const RETURN: usize = 16;

/// match-proto:v5.8:net/socket.c:int __sys_connect(int fd, struct sockaddr __user *uservaddr, int addrlen)
#[tracepoint]
pub fn sys_enter_connect(ctx: TracePointContext) -> u32 {
    let _ = try_enter(&ctx);
    0
}

#[inline(always)]
fn try_enter(ctx: &TracePointContext) -> Result<(), i32> {
    // SAFETY: the offsets and types are those of the tracepoint's format.
    let (fd, address, length) = unsafe {
        (
            ctx.read_at::<u64>(FD)? as u32,
            ctx.read_at::<u64>(ADDRESS)?,
            ctx.read_at::<u64>(LENGTH)? as u32,
        )
    };
    if waiting::answer(fd) {
        return Ok(());
    }
    begin(fd, address, length)
}

/// Remembers what the current call, connect(2) or one that sends with the first SYN, is asked for.
#[inline(always)]
pub fn begin(fd: u32, address: u64, length: u32) -> Result<(), i32> {
    let (peer, unread) = match peer_at(address) {
        Ok(Some(peer)) => (peer, 0),
        Ok(None) => return Ok(()),
        // The kernel will fetch the page, we can't.
        Err(_) => (Peer::default(), address),
    };
    // The kernel refuses it, whatever is in it.
    if (peer.family == AF_INET && length < SHORTEST.0)
        || (peer.family == AF_INET6 && length < SHORTEST.1)
    {
        return Ok(());
    }

    let at = offsets();
    let socket = task::socket_of(fd);
    let sk = read(socket, at.socket_sk);
    let protocol = read(sk, at.sock_protocol);
    let is_mptcp = protocol == IPPROTO_MPTCP;
    let protocol = if is_mptcp { IPPROTO_TCP } else { protocol };
    if protocol == IPPROTO_TCP && read::<u32>(socket, at.socket_state) > SS_UNCONNECTED {
        return Ok(()); // asks how a connection stands that an earlier call has begun
    }
    let call = Call {
        // SAFETY: takes no argument.
        began_ns: unsafe { bpf_ktime_get_boot_ns() },
        sk,
        syn_sk: 0,
        source: [0; 16],
        destination: peer.address,
        source_port: 0,
        destination_port: peer.port,
        family: peer.family,
        protocol,
        closed: 0,
        is_mptcp: is_mptcp as u32,
        unread,
        messages: 0,
    };
    if CALLS.insert(bpf_get_current_pid_tgid(), call, 0).is_err() && protocol != IPPROTO_TCP {
        emit::count(counter::LOST);
    }
    Ok(())
}

/// The other half of [`sys_enter_connect`].
#[tracepoint]
pub fn sys_exit_connect(ctx: TracePointContext) -> u32 {
    let _ = try_exit(&ctx);
    0
}

#[inline(always)]
fn try_exit(ctx: &TracePointContext) -> Result<(), i32> {
    // SAFETY: the offset and type are those of the tracepoint's format.
    let result = unsafe { ctx.read_at::<i64>(RETURN)? };
    end_connect(result);
    Ok(())
}

/// Ends what [`begin`] has begun. A function of its own for the verifier, which goes through it once, and not once for
/// each way that leads here: on older kernels that takes seconds.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn end_connect(result: i64) -> u32 {
    let _ = try_end(result);
    0
}

#[inline(always)]
fn try_end(result: i64) -> Result<(), i32> {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: a copy is made before the entry is removed, by the thread that it belongs to.
    let Some(mut call) = (unsafe { CALLS.get(thread) }).copied() else {
        return Ok(());
    };
    let _ = CALLS.remove(thread);
    if call.unread != 0 {
        let Some(peer) = peer_at(call.unread)? else {
            return Ok(());
        };
        (call.family, call.destination, call.destination_port) =
            (peer.family, peer.address, peer.port);
    }
    if call.family == AF_INET && call.syn_sk == 0 {
        call.source = MAPPED;
    }

    let mut ends = Ends {
        family: call.family,
        protocol: call.protocol,
        source: call.source,
        destination: call.destination,
        source_port: call.source_port,
        destination_port: call.destination_port,
    };
    let stage = match (result, call.protocol) {
        _ if call.syn_sk != 0 && call.closed == 0 => return Ok(()),
        (0, IPPROTO_UDP) => {
            ends.read(call.sk);
            stage::CONNECTED
        }
        (_, 0 | IPPROTO_TCP | IPPROTO_UDP) if is_outcome(-result) => stage::REJECTED,
        _ => return Ok(()),
    };
    if exclude::takes(&ends.peer(), ends.protocol, None) {
        return Ok(());
    }
    // SAFETY: takes no argument.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    emit::connection(
        &ends,
        &task::current(),
        call.began_ns,
        now,
        stage,
        -result as u16,
    );
    Ok(())
}

#[inline(always)]
fn is_outcome(errno: i64) -> bool {
    errno > 0
        && errno <= LAST_ERRNO
        && !matches!(
            errno,
            EBADF | EFAULT | ENOTSOCK | EISCONN | EALREADY | EINPROGRESS
        )
}
