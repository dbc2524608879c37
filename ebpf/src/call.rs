//! connect(2) calls, and send calls that begin a connection: keeps what a call was asked for in [`CALLS`] until it returns.
//!
//! Reports the calls that fail before a SYN, and UDP sockets that get connected. If a SYN was sent, the state of the socket tells
//! the outcome instead, see `inet_sock_set_state`.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, generated::bpf_ktime_get_boot_ns};
use lightmon_common::{counter, stage};

use crate::{
    counters, emit,
    endpoints::{AF_INET, AF_INET6, Destination, Endpoints, IPPROTO_TCP, IPPROTO_UDP},
    errno::{EALREADY, EBADF, EFAULT, EINPROGRESS, EISCONN, ENOTSOCK, ErrnoSet, MAX_ERRNO},
    exclude,
    kernel::{offsets, read_or_zero},
    maps::{CALLS, Call},
    socket, task,
};

/// `SS_UNCONNECTED` of include/uapi/linux/net.h: no call has begun to connect this socket. Smaller values: not known.
const SS_UNCONNECTED: u32 = 1;

/// A programming error and not a connection, or a call about a connection that was reported before.
const NO_OUTCOME: ErrnoSet =
    ErrnoSet::of(&[EBADF, EFAULT, ENOTSOCK, EISCONN, EALREADY, EINPROGRESS]);

/// `sizeof(struct sockaddr_in)`.
const MIN_SOCKADDR_IN_BYTES: u32 = 16;

/// `SIN6_LEN_RFC2133` of include/net/ipv6.h.
const MIN_SOCKADDR_IN6_BYTES: u32 = 24;

/// [`Call::address_len`] of a call that sends datagrams. No address is that short.
const DATAGRAM: u32 = 0;

impl Call {
    /// A call that begins now.
    #[inline(always)]
    fn new(began_ns: u64, socket: u64, address: u64, address_len: u32) -> Self {
        Self {
            began_ns,
            socket,
            address,
            syn_sk: 0,
            is_closed: 0,
            address_len,
            endpoints: Endpoints::unknown(0),
        }
    }

    /// Whether the call sends datagrams.
    #[inline(always)]
    pub fn is_datagram(&self) -> bool {
        self.address_len == DATAGRAM
    }
}

/// The current thread begins a call that connects. Does as little as possible: most calls send a SYN, and then the socket tells
/// the rest.
#[inline(always)]
pub fn begin_connect(fd: u32, address: u64, address_len: u32) {
    if address_len < MIN_SOCKADDR_IN_BYTES {
        return; // the kernel refuses the call, whatever the address is
    }
    let at = offsets();
    let socket = socket::of_fd(fd);
    if read_or_zero::<u32>(socket, at.socket_state) > SS_UNCONNECTED {
        return; // asks for the state of a connection that an earlier call has begun
    }
    let sk = read_or_zero(socket, at.socket_sk);
    if !matches!(read_or_zero(sk, at.sock_family), 0 | AF_INET | AF_INET6) {
        return;
    }
    // SAFETY: takes no argument.
    let began_ns = unsafe { bpf_ktime_get_boot_ns() };
    let call = Call::new(began_ns, socket, address, address_len);
    let is_full = CALLS.insert(&bpf_get_current_pid_tgid(), &call, 0).is_err();
    if is_full && socket::protocol(sk) != IPPROTO_TCP {
        counters::count(counter::LOST);
    }
}

/// The current thread begins a call that sends datagrams. `address` points to the destination, or to the messages of sendmmsg(2).
#[inline(always)]
pub fn begin_send(socket: u64, address: u64, began_ns: u64) {
    let call = Call::new(began_ns, socket, address, DATAGRAM);
    if CALLS.insert(&bpf_get_current_pid_tgid(), &call, 0).is_err() {
        counters::count(counter::LOST);
    }
}

/// Notes that `sk` sends its SYN during a call of the current thread. Whether there is such a call.
#[inline(always)]
pub fn note_syn(sk: u64) -> bool {
    let Some(call) = CALLS.get_ptr_mut(&bpf_get_current_pid_tgid()) else {
        return false;
    };
    // SAFETY: the entry of this thread, which is in this call.
    unsafe { (*call).syn_sk = sk };
    true
}

/// Notes that `sk`, whose SYN was sent during a call of the current thread, was closed again during the same call: no port was
/// free, for example. Whether there is such a call, which then reports the connection. The endpoints are kept, since the exclude
/// rules were evaluated for them; they may differ from the address that the call was given.
#[inline(always)]
pub fn note_close(sk: u64, endpoints: &Endpoints) -> bool {
    let Some(call) = CALLS.get_ptr_mut(&bpf_get_current_pid_tgid()) else {
        return false;
    };
    // SAFETY: the entry of this thread, which is in this call.
    let call = unsafe { &mut *call };
    if call.syn_sk != sk {
        return false;
    }
    call.is_closed = 1;
    call.endpoints = *endpoints;
    true
}

/// The current thread ends a call that [`begin_connect`] has begun. A function of its own for the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn end_connect(result: i64) -> u32 {
    let _ = try_end_connect(result);
    0
}

#[inline(always)]
fn try_end_connect(result: i64) -> Result<(), i32> {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: the entry belongs to this thread, and is copied before it is removed.
    let Some(call) = (unsafe { CALLS.get(&thread) }).copied() else {
        return Ok(());
    };
    let _ = CALLS.remove(&thread);
    if call.syn_sk != 0 && call.is_closed == 0 {
        return Ok(()); // the state of the socket tells the outcome
    }
    let is_connected = result == 0;
    if !is_connected && !is_outcome(-result) {
        return Ok(());
    }
    let sk = read_or_zero(call.socket, offsets().socket_sk);
    let protocol = socket::protocol(sk);
    let stage = match protocol {
        IPPROTO_UDP if is_connected => stage::CONNECTED,
        0 | IPPROTO_TCP | IPPROTO_UDP if !is_connected => stage::REJECTED,
        _ => return Ok(()),
    };
    let endpoints = if call.is_closed != 0 {
        call.endpoints
    } else if is_connected {
        if read_or_zero::<u8>(sk, offsets().sock_state) != socket::TCP_ESTABLISHED as u8 {
            return Ok(()); // the call has disconnected the socket
        }
        let mut endpoints = Endpoints::unknown(protocol);
        endpoints.read(sk);
        endpoints
    } else {
        let Some(destination) = Destination::read_user(call.address)? else {
            return Ok(());
        };
        if destination.family == AF_INET6 && call.address_len < MIN_SOCKADDR_IN6_BYTES {
            return Ok(()); // as in `begin_connect`
        }
        Endpoints::to(&destination, protocol)
    };
    if exclude::is_excluded(&Destination::of(&endpoints), protocol, None) {
        return Ok(());
    }
    // SAFETY: takes no argument.
    let now_ns = unsafe { bpf_ktime_get_boot_ns() };
    let task = task::current();
    emit::connection(
        &endpoints,
        &task,
        call.began_ns,
        now_ns,
        stage,
        -result as u16,
    );
    Ok(())
}

#[inline(always)]
fn is_outcome(errno: i64) -> bool {
    errno > 0 && errno <= MAX_ERRNO && !NO_OUTCOME.contains(errno)
}
