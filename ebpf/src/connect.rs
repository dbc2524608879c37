//! `syscalls:sys_enter_connect` and `sys_exit_connect`: UDP sockets that get a peer, and what fails before a SYN.
//! TCP's own outcomes are `inet_sock_set_state`'s; a call that has sent a SYN is left to it.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user, generated::bpf_ktime_get_boot_ns},
    macros::tracepoint,
    programs::TracePointContext,
};
use lightmon_common::{counter, stage};

use crate::{
    emit::{self, Ends},
    kernel::{offsets, pointer, read},
    maps::{CALLS, Call},
    task,
};

// include/linux/socket.h, include/uapi/linux/in.h
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;
const IPPROTO_UDP: u16 = 17;
const IPPROTO_MPTCP: u16 = 262;

/// `SS_UNCONNECTED` of include/uapi/linux/net.h: no call has begun to connect this socket.
const SS_UNCONNECTED: u32 = 1;

// include/uapi/asm-generic/errno-base.h, errno.h: a mistake of the program, not a connection …
const EBADF: i64 = 9;
const EFAULT: i64 = 14;
const EINVAL: i64 = 22;
const ENOTSOCK: i64 = 88;
// … or a call about a connection that was reported before.
const EISCONN: i64 = 106;
const EALREADY: i64 = 114;
const EINPROGRESS: i64 = 115;
/// `MAX_ERRNO` that user space sees; above are the kernel's own, for calls that go on after a signal.
const LAST_ERRNO: i64 = 133;

/// The prefix of an IPv4-mapped address, RFC 4291 2.5.5.2.
const MAPPED: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];

// Fields of the tracepoints: `syscalls/sys_enter_connect/format`.
const FD: usize = 16;
const ADDRESS: usize = 24;
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
    let (fd, address) = unsafe { (ctx.read_at::<u64>(FD)? as u32, ctx.read_at::<u64>(ADDRESS)?) };
    let (peer, unread) = match peer_at(address) {
        Ok(Some(peer)) => (peer, 0),
        Ok(None) => return Ok(()),
        // The kernel will fetch the page, we can't.
        Err(_) => (Peer::default(), address),
    };

    let at = offsets();
    let socket = task::socket_of(fd).unwrap_or(0);
    let sk = pointer(socket, at.socket_sk).unwrap_or(0);
    let protocol = read::<u16>(sk, at.sock_protocol).unwrap_or(0);
    if protocol == IPPROTO_TCP
        && read::<u32>(socket, at.socket_state).is_some_and(|state| state != SS_UNCONNECTED)
    {
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
        protocol: if protocol == IPPROTO_MPTCP {
            IPPROTO_TCP
        } else {
            protocol
        },
        closed: 0,
        unread,
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
    // SAFETY: the offset and type are those of the tracepoint's format.
    let result = unsafe { ctx.read_at::<i64>(RETURN)? };

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
            read_ends(call.sk, &mut ends);
            stage::CONNECTED
        }
        (_, 0 | IPPROTO_TCP | IPPROTO_UDP) if is_outcome(-result) => stage::REJECTED,
        _ => return Ok(()),
    };
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

/// Where a call connects to.
#[derive(Default)]
struct Peer {
    family: u16,
    port: u16,
    address: [u8; 16],
}

/// Reads a `struct sockaddr_in` (port at 2, address at 4) or `sockaddr_in6` (port at 2, address at 8) from user memory;
/// none of another family.
#[inline(always)]
fn peer_at(at: u64) -> Result<Option<Peer>, i32> {
    // SAFETY: the helper fails where user memory is not readable.
    let peer = unsafe {
        let family = bpf_probe_read_user(at as *const u16)?;
        let address = match family {
            AF_INET => mapped(bpf_probe_read_user((at + 4) as *const [u8; 4])?),
            AF_INET6 => bpf_probe_read_user((at + 8) as *const [u8; 16])?,
            _ => return Ok(None),
        };
        let port = u16::from_be(bpf_probe_read_user((at + 2) as *const u16)?);
        Peer {
            family,
            port,
            address,
        }
    };
    Ok(Some(peer))
}

#[inline(always)]
fn is_outcome(errno: i64) -> bool {
    errno > 0
        && errno <= LAST_ERRNO
        && !matches!(
            errno,
            EBADF | EFAULT | EINVAL | ENOTSOCK | EISCONN | EALREADY | EINPROGRESS
        )
}

/// The ends as the kernel has them, which user memory can't forge.
#[inline(always)]
fn read_ends(sk: u64, ends: &mut Ends) {
    let at = offsets();
    let Some(family) = read::<u16>(sk, at.sock_family) else {
        return;
    };
    let (source, destination) = if family == AF_INET {
        (
            read(sk, at.sock_rcv_saddr).map(mapped),
            read(sk, at.sock_daddr).map(mapped),
        )
    } else {
        (read(sk, at.sock_v6_rcv_saddr), read(sk, at.sock_v6_daddr))
    };
    ends.family = family;
    ends.source = source.unwrap_or(ends.source);
    ends.destination = destination.unwrap_or(ends.destination);
    ends.source_port = read(sk, at.sock_num).unwrap_or(0);
    ends.destination_port = read(sk, at.sock_dport).map_or(ends.destination_port, u16::from_be);
}

#[inline(always)]
fn mapped(v4: [u8; 4]) -> [u8; 16] {
    let mut address = MAPPED;
    address[12] = v4[0];
    address[13] = v4[1];
    address[14] = v4[2];
    address[15] = v4[3];
    address
}
