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
    ends::{AF_INET, AF_INET6, Ends, IPPROTO_MPTCP, IPPROTO_TCP, IPPROTO_UDP, peer_at},
    errno::{EALREADY, EBADF, EFAULT, EINPROGRESS, EISCONN, ENOTSOCK, Errnos, LAST_ERRNO},
    exclude,
    kernel::{field, offsets, read},
    maps::{CALLS, Call},
    task, waiting,
};

/// `SS_UNCONNECTED` of include/uapi/linux/net.h: no call has begun to connect this socket. What is not known is less.
const SS_UNCONNECTED: u32 = 1;

/// `TCP_ESTABLISHED` of include/net/tcp_states.h: of a datagram socket, that it has a peer (net/ipv4/datagram.c).
const CONNECTED: u8 = 1;

/// A mistake of the program, not a connection; or a call about a connection that was reported before.
const NO_OUTCOME: Errnos = Errnos::of(&[EBADF, EFAULT, ENOTSOCK, EISCONN, EALREADY, EINPROGRESS]);

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
    // SAFETY: the offsets and types are those of the tracepoint's format.
    let (fd, address, length) = unsafe {
        (
            field::<u64>(&ctx, FD) as u32,
            field(&ctx, ADDRESS),
            field::<u64>(&ctx, LENGTH) as u32,
        )
    };
    if !waiting::answer(fd) {
        begin(fd, address, length);
    }
    0
}

/// Remembers what the current call, connect(2) or one that sends with the first SYN, is asked for. As little as can be: most
/// calls send a SYN, after which the socket tells all.
#[inline(always)]
pub fn begin(fd: u32, address: u64, length: u32) {
    if length < SHORTEST.0 {
        return; // the kernel refuses it, whatever is in it
    }
    let at = offsets();
    let socket = task::socket_of(fd);
    if read::<u32>(socket, at.socket_state) > SS_UNCONNECTED {
        return; // asks how a connection stands that an earlier call has begun
    }
    let sk = read(socket, at.socket_sk);
    if !matches!(read(sk, at.sock_family), 0 | AF_INET | AF_INET6) {
        return;
    }
    // SAFETY: takes no argument.
    let began_ns = unsafe { bpf_ktime_get_boot_ns() };
    let call = Call::new(began_ns, socket, address, length);
    if CALLS.insert(&bpf_get_current_pid_tgid(), &call, 0).is_err() && protocol_of(sk) != IPPROTO_TCP
    {
        emit::count(counter::LOST);
    }
}

/// The other half of [`sys_enter_connect`].
#[tracepoint]
pub fn sys_exit_connect(ctx: TracePointContext) -> u32 {
    // SAFETY: the offset and type are those of the tracepoint's format.
    end_connect(unsafe { field(&ctx, RETURN) })
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
    let Some(call) = (unsafe { CALLS.get(&thread) }).copied() else {
        return Ok(());
    };
    let _ = CALLS.remove(&thread);
    if call.syn_sk != 0 && call.closed == 0 {
        return Ok(()); // the socket's state tells the outcome
    }
    let is_connected = result == 0;
    if !is_connected && !is_outcome(-result) {
        return Ok(());
    }
    let sk = read(call.socket, offsets().socket_sk);
    let protocol = protocol_of(sk);
    let stage = match protocol {
        IPPROTO_UDP if is_connected => stage::CONNECTED,
        0 | IPPROTO_TCP | IPPROTO_UDP if !is_connected => stage::REJECTED,
        _ => return Ok(()),
    };
    let ends = if call.closed != 0 {
        call.ends
    } else if is_connected {
        if read::<u8>(sk, offsets().sock_state) != CONNECTED {
            return Ok(()); // it has taken away the socket's peer
        }
        let mut ends = Ends::unknown(protocol);
        ends.read(sk);
        ends
    } else {
        match peer_at(call.address)? {
            // As in `begin`.
            Some(peer) if peer.family == AF_INET6 && call.length < SHORTEST.1 => return Ok(()),
            Some(peer) => Ends::to(&peer, protocol),
            None => return Ok(()),
        }
    };
    if exclude::takes(&ends.peer(), protocol, None) {
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

/// 0 where it is not known.
#[inline(always)]
fn protocol_of(sk: u64) -> u16 {
    match read(sk, offsets().sock_protocol) {
        IPPROTO_MPTCP => IPPROTO_TCP,
        protocol => protocol,
    }
}

#[inline(always)]
fn is_outcome(errno: i64) -> bool {
    errno > 0 && errno <= LAST_ERRNO && !NO_OUTCOME.has(errno)
}
