//! Opens connections and accepts them.

use std::{
    ffi::{OsStr, OsString},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    errno::Errno,
    libc,
    sys::socket::{
        self, AddressFamily, Backlog, MsgFlags, SockFlag, SockType, SockaddrStorage, setsockopt,
        sockopt,
    },
    unistd::close,
};

use crate::kind::Kind;

/// The first argument of a process of the kind `exec`; the second is the address.
pub(crate) const CONNECT: &str = "connect";

/// The destination of a process's connections: one port on all addresses of the loopback device.
///
/// The process accepts each connection before it opens the next one, so the listener's backlog never fills. If a backlog is
/// full, the kernel drops SYNs, and sends them again a second later.
pub(crate) struct Peer {
    kind: Kind,
    socket: OwnedFd,
    port: u16,
}

impl Peer {
    /// Opens it on this port, or on a free one.
    pub(crate) fn open(kind: Kind, port: Option<u16>) -> anyhow::Result<Self> {
        let any: IpAddr = match kind.is_ipv6() {
            true => Ipv6Addr::UNSPECIFIED.into(),
            false => Ipv4Addr::UNSPECIFIED.into(),
        };
        let ty = match kind {
            Kind::Udp | Kind::UdpSend => SockType::Datagram,
            Kind::Tcp | Kind::Tcp6 | Kind::Refused | Kind::Exec => SockType::Stream,
        };
        let (socket, port) =
            bound(any, port.unwrap_or(0), ty).context("open the other end of the connections")?;
        if matches!(kind, Kind::Tcp | Kind::Tcp6 | Kind::Exec) {
            socket::listen(&socket, Backlog::MAXCONN).context("listen")?;
        }
        Ok(Self { kind, socket, port })
    }

    /// The destination port of all connections.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Opens a connection to this address and closes it. `program` is the path of this program. Returns the time of the call that
    /// opens it. With `exec`, returns the lifetime of the process, as seen by its parent.
    ///
    /// # Errors
    /// If the outcome is not the one of this kind.
    pub(crate) fn connect(&self, to: IpAddr, program: &Path) -> anyhow::Result<Duration> {
        let to = SocketAddr::new(to, self.port);
        match self.kind {
            Kind::Tcp | Kind::Tcp6 => {
                let socket = tcp_socket(to)?;
                let (result, time) = timed_connect(&socket, to);
                result?;
                self.accept()?;
                Ok(time)
            }
            Kind::Refused => match timed_connect(&tcp_socket(to)?, to) {
                (Err(Errno::ECONNREFUSED), time) => Ok(time),
                (Err(error), _) => Err(error.into()),
                (Ok(()), _) => bail!("somebody has accepted it"),
            },
            Kind::Udp => {
                let socket = socket_for(to.ip(), SockType::Datagram)?;
                let (result, time) = timed_connect(&socket, to);
                result?;
                Ok(time)
            }
            Kind::UdpSend => {
                let (socket, to) = (
                    socket_for(to.ip(), SockType::Datagram)?,
                    SockaddrStorage::from(to),
                );
                let start = Instant::now();
                // The datagram is never read. If the receiver's buffer is full, the kernel drops it.
                socket::sendto(socket.as_raw_fd(), b"load", &to, MsgFlags::empty())?;
                Ok(start.elapsed())
            }
            Kind::Exec => {
                let start = Instant::now();
                let status = Command::new(program)
                    .args([CONNECT, &to.to_string()])
                    .status()
                    .with_context(|| format!("start {}", program.display()))?;
                let time = start.elapsed();
                ensure!(status.success(), "its process has ended with {status}");
                self.accept()?;
                Ok(time)
            }
        }
    }

    fn accept(&self) -> Result<(), Errno> {
        close(socket::accept(self.socket.as_raw_fd())?)
    }
}

/// Returns the address if these are the arguments of a process of the kind `exec`.
pub(crate) fn connect_of(args: &[OsString]) -> Option<SocketAddr> {
    match args {
        [_, command, to] if command == OsStr::new(CONNECT) => to.to_str()?.parse().ok(),
        _ => None,
    }
}

/// Does what a process of the kind `exec` is started for: see [`connect_of`].
pub(crate) fn connect(to: SocketAddr) -> anyhow::Result<()> {
    tcp_socket(to)
        .and_then(|socket| timed_connect(&socket, to).0)
        .with_context(|| format!("connect to {to}"))
}

/// Makes close send RST, so that no socket stays in TIME_WAIT.
fn tcp_socket(to: SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = socket_for(to.ip(), SockType::Stream)?;
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&socket, sockopt::Linger, &at_once)?;
    Ok(socket)
}

/// Connects. Measures only the call.
fn timed_connect(socket: &OwnedFd, to: SocketAddr) -> (Result<(), Errno>, Duration) {
    let to = SockaddrStorage::from(to);
    let start = Instant::now();
    let result = socket::connect(socket.as_raw_fd(), &to);
    (result, start.elapsed())
}

/// Binds a socket to this port, or to a free one for 0. Only this machine can reach it.
fn bound(any: IpAddr, port: u16, ty: SockType) -> Result<(OwnedFd, u16), Errno> {
    let socket = socket_for(any, ty)?;
    setsockopt(&socket, sockopt::BindToDevice, &"lo".into())?;
    let address = SockaddrStorage::from(SocketAddr::new(any, port));
    socket::bind(socket.as_raw_fd(), &address)?;
    let address: SockaddrStorage = socket::getsockname(socket.as_raw_fd())?;
    let port = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(address), _) => address.port(),
        (_, Some(address)) => address.port(),
        _ => unreachable!("invariant: of the family that it was opened with"),
    };
    Ok((socket, port))
}

fn socket_for(address: IpAddr, ty: SockType) -> Result<OwnedFd, Errno> {
    let family = match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    socket::socket(family, ty, SockFlag::SOCK_CLOEXEC, None)
}
