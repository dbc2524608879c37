//! The connections that the self-test makes, and what must be reported about each.
//!
//! Does not know what was reported: that is compared by [`Expectation`].

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd},
};

use lightmon_event::{Event, Outcome, Protocol};
use nix::{
    errno::Errno,
    sys::{
        prctl,
        socket::{
            self, AddressFamily, SockFlag, SockType, SockaddrStorage, setsockopt,
            sockopt::SendTimeout,
        },
        time::TimeVal,
    },
    unistd::{gettid, getuid},
};

use super::expectation::Expectation;
use crate::ebpf::requirements::Namespace;

/// How long a connection over loopback may take.
const CONNECT_TIMEOUT: TimeVal = TimeVal::new(1, 0);

/// A connection to make.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) name: &'static str,
    method: Method,
    /// The address that is passed to the kernel. An IPv4-mapped address must be reported as an IPv4 address.
    address: IpAddr,
    outcome: Outcome,
    /// Hooks that must be attached, named as in [`hooks`](fn@crate::ebpf::hooks), and [`BTF`].
    pub(super) needs: &'static [&'static str],
}

/// How the connection is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Method {
    /// TCP to a listener.
    Tcp,
    /// TCP to a port without a listener.
    TcpRefused,
    /// UDP with connect(2).
    UdpConnected,
    /// UDP with sendto(2), without connect(2).
    UdpSent,
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const MAPPED: IpAddr = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());

const SET_STATE: &str = "sock:inet_sock_set_state";
const ENTER_CONNECT: &str = "syscalls:sys_enter_connect";
pub(super) const EXIT_CONNECT: &str = "syscalls:sys_exit_connect";
const ENTER_SEND: &str = "syscalls:sys_enter_sendto";
const EXIT_SEND: &str = "syscalls:sys_exit_sendto";
/// Needed to read a socket and its errno.
pub(super) const BTF: &str = "BTF";

/// All attempts.
pub(super) const ATTEMPTS: [Attempt; 6] = {
    use {Method::*, Outcome::*};
    [
        attempt("TCP over IPv4", Tcp, V4, Established, &[SET_STATE]),
        attempt("TCP over IPv6", Tcp, V6, Established, &[SET_STATE]),
        attempt(
            "TCP to a mapped address",
            Tcp,
            MAPPED,
            Established,
            &[SET_STATE],
        ),
        attempt("refused TCP", TcpRefused, V4, Refused, &[SET_STATE, BTF]),
        attempt(
            "connected UDP",
            UdpConnected,
            V4,
            Connected,
            &[ENTER_CONNECT, EXIT_CONNECT, BTF],
        ),
        attempt(
            "unconnected UDP",
            UdpSent,
            V4,
            Sent,
            &[ENTER_SEND, EXIT_SEND, BTF],
        ),
    ]
};

const fn attempt(
    name: &'static str,
    method: Method,
    address: IpAddr,
    outcome: Outcome,
    needs: &'static [&'static str],
) -> Attempt {
    Attempt {
        name,
        method,
        address,
        outcome,
        needs,
    }
}

impl Attempt {
    /// Makes the connection. Returns source and destination, and the receiver of a datagram.
    ///
    /// # Errors
    /// If the machine does not allow the connection. That says nothing about the source of events.
    pub(super) fn run(&self) -> io::Result<([SocketAddr; 2], Option<UdpSocket>)> {
        let any_port = SocketAddr::new(self.address.to_canonical(), 0);
        // If the address is IPv4-mapped, the connecting socket is an IPv6 socket, and the peer is an IPv4 socket.
        let as_seen_by_caller = |peer: SocketAddr| SocketAddr::new(self.address, peer.port());
        match self.method {
            Method::Tcp => {
                let listener = TcpListener::bind(any_port).map_err(explain(any_port))?;
                let peer = as_seen_by_caller(listener.local_addr()?);
                let socket = tcp_socket(peer).map_err(explain(peer))?;
                connect(&socket, peer, None)?;
                Ok(([TcpStream::from(socket).local_addr()?, peer], None))
            }
            Method::TcpRefused => {
                // The peer is bound and does not listen, so that nobody else can listen on its port. The connecting socket is bound, so
                // that its port is known although the connection fails.
                let [closed, socket] = [bound_tcp_socket(any_port)?, bound_tcp_socket(any_port)?];
                let peer = as_seen_by_caller(local_address(closed.try_clone()?)?);
                connect(&socket, peer, Some(Errno::ECONNREFUSED))?;
                Ok(([local_address(socket)?, peer], None))
            }
            Method::UdpConnected => {
                let [receiver, socket] = [UdpSocket::bind(any_port)?, UdpSocket::bind(any_port)?];
                let peer = as_seen_by_caller(receiver.local_addr()?);
                socket.connect(peer)?;
                Ok(([socket.local_addr()?, peer], None))
            }
            Method::UdpSent => {
                let [receiver, socket] = [UdpSocket::bind(any_port)?, UdpSocket::bind(any_port)?];
                let peer = as_seen_by_caller(receiver.local_addr()?);
                socket.send_to(b"canary", peer)?;
                Ok(([socket.local_addr()?, peer], Some(receiver)))
            }
        }
    }

    /// What must be reported about a connection with these endpoints that this thread has made.
    pub(super) fn expectation(&self, endpoints: [SocketAddr; 2]) -> Expectation {
        let [source, destination] = endpoints.map(Event::canonical);
        let ids = (std::process::id(), gettid().as_raw().cast_unsigned());
        let comm = prctl::get_name().unwrap_or_default();
        Expectation {
            name: self.name,
            protocol: match self.method {
                Method::Tcp | Method::TcpRefused => Protocol::Tcp,
                Method::UdpConnected | Method::UdpSent => Protocol::Udp,
            },
            source,
            destination,
            outcome: self.outcome,
            errno: (self.method == Method::TcpRefused).then_some(Errno::ECONNREFUSED as u16),
            ids: Namespace::Pid.is_host().unwrap_or(false).then_some(ids),
            uid: getuid().as_raw(),
            comm: comm.to_string_lossy().into(),
            times_seen: 0,
            wrong: None,
        }
    }
}

fn tcp_socket(peer: SocketAddr) -> io::Result<OwnedFd> {
    let family = match peer {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // Limits connect(2) as well, see socket(7).
    setsockopt(&socket, SendTimeout, &CONNECT_TIMEOUT)?;
    Ok(socket)
}

fn bound_tcp_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = tcp_socket(address)?;
    socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket)
}

fn local_address(socket: OwnedFd) -> io::Result<SocketAddr> {
    TcpStream::from(socket).local_addr()
}

/// Connects. Any result other than the expected one is an error.
fn connect(socket: &OwnedFd, peer: SocketAddr, expected: Option<Errno>) -> io::Result<()> {
    let result = socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(peer)).err();
    match result {
        result if result == expected => Ok(()),
        Some(errno) => Err(errno.into()),
        None => Err(io::Error::other(
            "another process listens on the port of the self-test",
        )),
    }
}

/// Explains the error of a host without IPv6.
fn explain(address: SocketAddr) -> impl Fn(io::Error) -> io::Error {
    move |error| match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) if address.is_ipv6() => {
            io::Error::new(error.kind(), "this host has no IPv6")
        }
        _ => error,
    }
}
