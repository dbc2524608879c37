//! The connections that the canary makes.
//! Knows what must be reported of each; what was reported is [`Expectation`]'s business.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd},
};

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
use lightmon_event::{Event, Outcome, Protocol};

/// How long a connection to ourselves may take.
const PATIENCE: TimeVal = TimeVal::new(1, 0);

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) name: &'static str,
    way: Way,
    /// As the caller writes it: an IPv4-mapped address must come out as the IPv4 address.
    address: IpAddr,
    outcome: Outcome,
    /// Hooks as in [`ebpf::hooks`](crate::ebpf::hooks), and `BTF`.
    pub(super) needs: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// TCP to a listener.
    Tcp,
    /// TCP to a port that nobody listens on.
    TcpToNobody,
    /// UDP with connect(2).
    UdpConnected,
    /// UDP with sendto(2) alone.
    UdpSent,
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const MAPPED: IpAddr = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());

const STATE: &str = "sock:inet_sock_set_state";
const ENTER: &str = "syscalls:sys_enter_connect";
pub(super) const EXIT: &str = "syscalls:sys_exit_connect";
const ENTER_SEND: &str = "syscalls:sys_enter_sendto";
const EXIT_SEND: &str = "syscalls:sys_exit_sendto";
/// Without it neither sockets nor their errors can be read.
pub(super) const BTF: &str = "BTF";

/// All that must come out right.
pub(super) const ATTEMPTS: [Attempt; 6] = {
    use {Outcome::*, Way::*};
    [
        attempt("TCP over IPv4", Tcp, V4, Established, &[STATE]),
        attempt("TCP over IPv6", Tcp, V6, Established, &[STATE]),
        attempt(
            "TCP to a mapped address",
            Tcp,
            MAPPED,
            Established,
            &[STATE],
        ),
        attempt("refused TCP", TcpToNobody, V4, Refused, &[STATE, BTF]),
        attempt(
            "connected UDP",
            UdpConnected,
            V4,
            Connected,
            &[ENTER, EXIT, BTF],
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
    way: Way,
    address: IpAddr,
    outcome: Outcome,
    needs: &'static [&'static str],
) -> Attempt {
    Attempt {
        name,
        way,
        address,
        outcome,
        needs,
    }
}

/// Flies as often as it is asked to.
impl Attempt {
    /// Own and other end, and the receiver of a datagram. An error is the machine's, and says nothing about the source.
    pub(super) fn run(&self) -> io::Result<([SocketAddr; 2], Option<UdpSocket>)> {
        let any_port = SocketAddr::new(self.address.to_canonical(), 0);
        // Where `self.address` is mapped, the caller's socket is of IPv6 and its peer's of IPv4.
        let at = |peer: SocketAddr| SocketAddr::new(self.address, peer.port());
        match self.way {
            Way::Tcp => {
                let listener = TcpListener::bind(any_port).map_err(in_words(any_port))?;
                let peer = at(listener.local_addr()?);
                let socket = tcp_socket(peer).map_err(in_words(peer))?;
                connect(&socket, peer, None)?;
                Ok(([TcpStream::from(socket).local_addr()?, peer], None))
            }
            Way::TcpToNobody => {
                // Bound and not listening: nobody else can listen there meanwhile. The own end is bound as well, so that
                // it is known although the connection fails.
                let [nobody, socket] = [bound_tcp_socket(any_port)?, bound_tcp_socket(any_port)?];
                let peer = at(local_address(nobody.try_clone()?)?);
                connect(&socket, peer, Some(Errno::ECONNREFUSED))?;
                Ok(([local_address(socket)?, peer], None))
            }
            Way::UdpConnected => {
                let [receiver, socket] = [UdpSocket::bind(any_port)?, UdpSocket::bind(any_port)?];
                let peer = at(receiver.local_addr()?);
                socket.connect(peer)?;
                Ok(([socket.local_addr()?, peer], None))
            }
            Way::UdpSent => {
                let [receiver, socket] = [UdpSocket::bind(any_port)?, UdpSocket::bind(any_port)?];
                let peer = at(receiver.local_addr()?);
                socket.send_to(b"canary", peer)?;
                Ok(([socket.local_addr()?, peer], Some(receiver)))
            }
        }
    }

    pub(super) fn expectation(&self, ends: [SocketAddr; 2]) -> Expectation {
        let [source, destination] = ends.map(Event::canonical);
        let ids = (std::process::id(), gettid().as_raw().cast_unsigned());
        let comm = prctl::get_name().unwrap_or_default();
        Expectation {
            name: self.name,
            protocol: match self.way {
                Way::Tcp | Way::TcpToNobody => Protocol::Tcp,
                Way::UdpConnected | Way::UdpSent => Protocol::Udp,
            },
            source,
            destination,
            outcome: self.outcome,
            errno: (self.way == Way::TcpToNobody).then_some(Errno::ECONNREFUSED as u16),
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
    // Also how long connect(2) waits, socket(7).
    setsockopt(&socket, SendTimeout, &PATIENCE)?;
    Ok(socket)
}

fn bound_tcp_socket(to: SocketAddr) -> io::Result<OwnedFd> {
    let socket = tcp_socket(to)?;
    socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok(socket)
}

fn local_address(socket: OwnedFd) -> io::Result<SocketAddr> {
    TcpStream::from(socket).local_addr()
}

/// Connects; only the expected result is none of the machine's errors.
fn connect(socket: &OwnedFd, peer: SocketAddr, expected: Option<Errno>) -> io::Result<()> {
    let result = socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(peer)).err();
    match result {
        result if result == expected => Ok(()),
        Some(errno) => Err(errno.into()),
        None => Err(io::Error::other("somebody listens where nobody should")),
    }
}

/// What it means that a host without IPv6 has no such socket or address.
fn in_words(address: SocketAddr) -> impl Fn(io::Error) -> io::Error {
    move |error| match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) if address.is_ipv6() => {
            io::Error::new(error.kind(), "no IPv6 here")
        }
        _ => error,
    }
}
