//! TCP: every outcome, and every way to connect. Tests that need an unusual peer are in `wire`.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use lightmon_event::{Event, Outcome, Protocol};
use nix::{
    errno::Errno,
    libc,
    sys::socket::{self, MsgFlags, SockFlag, SockaddrStorage},
};

use crate::{
    monitor::{
        LOOPBACK, Monitor, assert_is_me, closed_port, connect, in_new_network, ip, listen,
        local_address, tcp, unanswered_port,
    },
    raw,
};

#[test]
#[ignore = "needs root: make test runs it"]
fn established() {
    let monitor = Monitor::start();
    for ip in LOOPBACK {
        let (_listener, address) = listen(ip);
        let stream = TcpStream::connect(address).unwrap();
        let event = monitor.to(address);
        assert_is_me(&event);
        assert_eq!(
            (event.protocol, event.outcome, event.errno),
            (Protocol::Tcp, Outcome::Established, None)
        );
        assert_eq!(event.source, stream.local_addr().unwrap());
    }
    assert_eq!(monitor.rest(&[]), []);
}

#[test]
#[ignore = "needs root: make test runs it"]
fn ipv4_mapped_is_reported_as_ipv4() {
    let monitor = Monitor::start();
    let (_listener, address) = listen(Ipv4Addr::LOCALHOST);
    let mapped = SocketAddr::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), address.port());
    let stream = TcpStream::connect(mapped).unwrap();
    let event = monitor.to(address);
    assert_is_me(&event);
    assert_eq!(event.outcome, Outcome::Established);
    assert_eq!(event.source, Event::canonical(stream.local_addr().unwrap()));
    assert_eq!(monitor.rest(&[address, mapped]), []);
}

#[test]
#[ignore = "needs root: make test runs it"]
fn refused() {
    let monitor = Monitor::start();
    for ip in LOOPBACK {
        let (_guard, address) = closed_port(ip);
        assert_eq!(
            TcpStream::connect(address).unwrap_err().raw_os_error(),
            Some(111)
        );
        let event = monitor.to(address);
        assert_is_me(&event);
        assert_eq!(
            (event.protocol, event.outcome, event.errno),
            (Protocol::Tcp, Outcome::Refused, Some(111))
        );
        assert_eq!(event.source.ip(), ip);
        assert_ne!(event.source.port(), 0);
    }
    assert_eq!(monitor.rest(&[]), []);
}

/// Connects without blocking and calls connect(2) until there is an outcome, as event loops do. There is one event, with that outcome.
#[test]
#[ignore = "needs root: make test runs it"]
fn non_blocking() {
    let monitor = Monitor::start();
    let (_listener, open) = listen(Ipv4Addr::LOCALHOST);
    let (_guard, closed) = closed_port(Ipv4Addr::LOCALHOST);
    for (address, outcome, errno) in [
        (open, Outcome::Established, None),
        (closed, Outcome::Refused, Some(111)),
    ] {
        let fd = tcp(address.ip(), SockFlag::SOCK_NONBLOCK);
        let connect = || connect(&fd, address);
        assert_eq!(connect(), Err(Errno::EINPROGRESS));
        let event = monitor.to(address);
        let again = [connect(), connect()];
        match outcome {
            Outcome::Established => assert_eq!(again, [Ok(()), Err(Errno::EISCONN)]),
            _ => assert_eq!(again[0], Err(Errno::ECONNREFUSED)),
        }
        assert_is_me(&event);
        assert_eq!(
            (event.protocol, event.outcome, event.errno),
            (Protocol::Tcp, outcome, errno)
        );
    }
    // A socket that was refused can connect again: the second `connect` above is a connection of its own.
    let rest = monitor.rest(&[open, closed]);
    assert_eq!(
        rest.iter()
            .map(|event| (event.destination, event.outcome))
            .collect::<Vec<_>>(),
        [(closed, Outcome::Refused)]
    );
}

/// The network has loopback only, and no other route.
#[test]
#[ignore = "needs root: make test runs it"]
fn network_unreachable() {
    in_new_network(|| {
        let address: SocketAddr = "203.0.113.7:4242".parse().unwrap();
        let monitor = Monitor::start();
        let unreachable = (Outcome::Unreachable, Some(Errno::ENETUNREACH as u16));
        assert_eq!(
            TcpStream::connect(address).unwrap_err().raw_os_error(),
            Some(Errno::ENETUNREACH as i32)
        );
        let event = monitor.to(address);
        assert_is_me(&event);
        assert_eq!(
            (event.protocol, (event.outcome, event.errno)),
            (Protocol::Tcp, unreachable)
        );
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        assert_eq!(
            socket.connect(address).unwrap_err().raw_os_error(),
            Some(Errno::ENETUNREACH as i32)
        );
        let event = monitor.to(address);
        assert_eq!(
            (event.protocol, (event.outcome, event.errno)),
            (Protocol::Udp, unreachable)
        );
        assert_eq!(monitor.rest(&[address]), []);
    });
}

/// No source port is free: the socket enters SYN_SENT and leaves it within the call, and only the call has the errno.
#[test]
#[ignore = "needs root: make test runs it"]
fn address_unavailable() {
    in_new_network(|| {
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "1024 1025").unwrap();
        let listener = TcpListener::bind("127.0.0.1:4243").unwrap();
        let address = listener.local_addr().unwrap();
        let monitor = Monitor::start();
        let mut streams = Vec::new();
        let error = loop {
            match TcpStream::connect(address) {
                Ok(stream) => streams.push(stream),
                Err(error) => break error,
            }
            assert_eq!(monitor.to(address).outcome, Outcome::Established);
        };
        assert_eq!(error.raw_os_error(), Some(Errno::EADDRNOTAVAIL as i32));
        let event = monitor.to(address);
        assert_eq!(
            (event.outcome, event.errno),
            (
                Outcome::AddressUnavailable,
                Some(Errno::EADDRNOTAVAIL as u16)
            )
        );
        assert_eq!(monitor.rest(&[address]), []);
    });
}

/// The peer does not answer, since the queue of its listener is full. The kernel sends one more SYN only.
#[test]
#[ignore = "needs root: make test runs it"]
fn timed_out() {
    in_new_network(|| {
        std::fs::write("/proc/sys/net/ipv4/tcp_syn_retries", "1").unwrap();
        let monitor = Monitor::start();
        let (_deaf, _filler, address) = unanswered_port(&monitor);
        assert_eq!(
            TcpStream::connect(address).unwrap_err().raw_os_error(),
            Some(Errno::ETIMEDOUT as i32)
        );
        let pending = monitor.to(address);
        assert_is_me(&pending);
        assert_eq!((pending.outcome, pending.errno), (Outcome::Pending, None));
        let event = monitor.to(address);
        assert_is_me(&event);
        assert_eq!(
            (event.outcome, event.errno),
            (Outcome::TimedOut, Some(Errno::ETIMEDOUT as u16))
        );
        assert_eq!(event.id(), pending.id());
        assert_eq!(monitor.rest(&[address]), []);
    });
}

/// The kernel skips the programs of plain tracepoints in a softirq that has interrupted a bpf(2) call. It skips any program in a softirq
/// that has interrupted the same program. Timers cause both here.
#[test]
#[ignore = "needs root: make test runs it"]
fn outcomes_in_softirqs() {
    const CONNECTIONS: usize = 256;
    in_new_network(|| {
        std::fs::write("/proc/sys/net/ipv4/tcp_syn_retries", "1").unwrap();
        let monitor = Monitor::start();
        let (_deaf, _filler, address) = unanswered_port(&monitor);
        let connecting: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let socket = tcp(address.ip(), SockFlag::SOCK_NONBLOCK);
                assert_eq!(connect(&socket, address), Err(Errno::EINPROGRESS));
                // Spread over time, so that each connection has a timer interrupt of its own.
                thread::sleep(Duration::from_millis(4));
                socket
            })
            .collect();
        let done = AtomicBool::new(false);
        let (mut timed_out, mut seen) = (0, Vec::new());
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
                scope.spawn(|| {
                    while !done.load(Relaxed) {
                        monitor.counters.connections().unwrap();
                        // Changes the state of a socket, which runs the programs and reports nothing.
                        drop(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
                    }
                });
            }
            while timed_out < CONNECTIONS {
                let Some(event) = monitor.try_to(address) else {
                    break;
                };
                timed_out += usize::from(event.outcome == Outcome::TimedOut);
                seen.push(event);
            }
            done.store(true, Relaxed);
        });
        // For the message of the assertion: the connections without the outcome, and what was reported instead.
        let is_ended = |event: &Event| {
            let same = |other: &&Event| other.kernel_time == event.kernel_time;
            let mut same = seen.iter().filter(same);
            same.any(|other| other.outcome == Outcome::TimedOut)
        };
        let seen: Vec<_> = seen.iter().filter(|event| !is_ended(event)).collect();
        assert_eq!(
            timed_out, CONNECTIONS,
            "no event, or another outcome: {seen:#?}"
        );
        drop(connecting);
        assert_eq!(monitor.rest(&[address]), []);
    });
}

/// The socket is closed before the peer answers.
#[test]
#[ignore = "needs root: make test runs it"]
fn aborted() {
    let monitor = Monitor::start();
    let (_deaf, _filler, address) = unanswered_port(&monitor);
    let connecting = tcp(address.ip(), SockFlag::SOCK_NONBLOCK);
    assert_eq!(connect(&connecting, address), Err(Errno::EINPROGRESS));
    drop(connecting);
    let event = monitor.to(address);
    assert_eq!((event.outcome, event.errno), (Outcome::Aborted, None));
    assert_is_me(&event);
    assert_eq!(monitor.rest(&[address]), []);
}

/// A process is killed while its connection is pending: the event has the process, and the outcome `aborted`.
#[test]
#[ignore = "needs root: make test runs it"]
fn killed_while_pending() {
    let monitor = Monitor::start();
    let (_deaf, _filler, address) = unanswered_port(&monitor);
    let script = format!("exec 3<>/dev/tcp/{}/{}", address.ip(), address.port());
    let mut child = Command::new("bash").args(["-c", &script]).spawn().unwrap();
    let pending = monitor.to(address);
    assert_eq!(
        (pending.pid, pending.outcome),
        (child.id(), Outcome::Pending)
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let event = monitor.to(address);
    assert_eq!((event.outcome, event.errno), (Outcome::Aborted, None));
    assert_eq!((event.id(), event.pid), (pending.id(), pending.pid));
    assert_eq!(event.process, pending.process);
    assert!(event.process.path.is_some());
    assert_eq!(monitor.rest(&[address]), []);
}

/// A route refuses the connection before a packet is sent.
#[test]
#[ignore = "needs root: make test runs it"]
fn denied_by_route() {
    in_new_network(|| {
        ip("route add prohibit 127.9.0.0/16 table local");
        ip("route add blackhole 127.10.0.0/16 table local");
        ip("route add unreachable 127.11.0.0/16 table local");
        let monitor = Monitor::start();
        for (net, outcome, errno) in [
            (9, Outcome::Denied, Errno::EACCES),
            (10, Outcome::Failed, Errno::EINVAL),
            (11, Outcome::Unreachable, Errno::EHOSTUNREACH),
        ] {
            let address = SocketAddr::new([127, net, 0, 1].into(), 4242);
            let error = TcpStream::connect(address).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno as i32));
            let event = monitor.to(address);
            assert_is_me(&event);
            assert_eq!((event.outcome, event.errno), (outcome, Some(errno as u16)));
            assert_eq!(further_event(&monitor, address), None);
        }
    });
}

/// Makes a later connection, and returns a further event to `address` that came before it, if any.
fn further_event(monitor: &Monitor, address: SocketAddr) -> Option<Event> {
    let (_listener, later) = listen(Ipv4Addr::LOCALHOST);
    let _stream = TcpStream::connect(later).unwrap();
    let event = monitor.next("at all", |it| [address, later].contains(&it.destination));
    (event.destination == address).then_some(event)
}

/// A program of the cgroup refuses the connection.
#[test]
#[ignore = "needs root: make test runs it"]
fn denied_by_cgroup() {
    let cgroup = Cgroup::make("denied");
    raw::deny_connect(&File::open(&cgroup.0).unwrap());
    let monitor = Monitor::start();
    let (_listener, address) = listen(Ipv4Addr::LOCALHOST);
    let script = format!(
        "echo $$ > {}/cgroup.procs; exec 3<>/dev/tcp/{}/{}",
        cgroup.0,
        address.ip(),
        address.port()
    );
    let mut child = Command::new("bash")
        .args(["-c", &script])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(!child.wait().unwrap().success());
    let event = monitor.to(address);
    assert_eq!(
        (event.pid, event.outcome, event.errno),
        (child.id(), Outcome::Denied, Some(Errno::EPERM as u16))
    );
    assert_eq!(monitor.rest(&[address]), []);
}

/// A cgroup of version 2. Removed when dropped.
struct Cgroup(String);

impl Cgroup {
    fn make(name: &str) -> Self {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let mount = mounts.lines().find(|line| line.contains(" cgroup2 "));
        let root = mount.unwrap().split(' ').nth(1).unwrap();
        let path = format!("{root}/lightmon-test-{}-{name}", std::process::id());
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// A process connects a socket that another process has created.
#[test]
#[ignore = "needs root: make test runs it"]
fn socket_of_another_process() {
    let monitor = Monitor::start();
    let (_listener, address) = listen(Ipv4Addr::LOCALHOST);
    let fd = tcp(address.ip(), SockFlag::empty());
    let child = raw::in_fork(|| {
        let _ = connect(&fd, address);
    });
    let event = monitor.to(address);
    assert_eq!((event.pid, event.outcome), (child, Outcome::Established));
    assert_eq!(event.process.parents[0].pid, std::process::id());
    assert_eq!(monitor.rest(&[address]), []);
}

/// io_uring connects without connect(2).
#[test]
#[ignore = "needs root: make test runs it"]
fn io_uring() {
    let monitor = Monitor::start();
    let (_listener, open) = listen(Ipv4Addr::LOCALHOST);
    let (_guard, closed) = closed_port(Ipv4Addr::LOCALHOST);
    for (address, result, outcome) in [
        (open, 0, Outcome::Established),
        (closed, -(Errno::ECONNREFUSED as i32), Outcome::Refused),
    ] {
        let fd = tcp(address.ip(), SockFlag::empty());
        assert_eq!(raw::io_uring_connect(fd.as_raw_fd(), address), result);
        let event = monitor.to(address);
        assert_eq!((event.pid, event.outcome), (std::process::id(), outcome));
        assert_eq!(
            event.process.path.as_deref(),
            std::env::current_exe().unwrap().to_str()
        );
    }
    assert_eq!(monitor.rest(&[open, closed]), []);
}

/// Whether this kernel supports MPTCP. If it does not, creating such a socket must fail.
pub(crate) fn supports_mptcp() -> bool {
    let socket = raw::socket(libc::AF_INET, libc::SOCK_STREAM, raw::IPPROTO_MPTCP);
    let is_there = Path::new("/proc/sys/net/mptcp").exists();
    match socket {
        Ok(_) => assert!(is_there),
        Err(error) => assert_eq!(
            (is_there, error.raw_os_error()),
            (false, Some(Errno::EPROTONOSUPPORT as i32))
        ),
    }
    is_there
}

/// The first subflow of an MPTCP socket.
#[test]
#[ignore = "needs root: make test runs it"]
fn mptcp() {
    if !supports_mptcp() {
        return;
    }
    let monitor = Monitor::start();
    let (_listener, open) = listen(Ipv4Addr::LOCALHOST);
    let (_guard, closed) = closed_port(Ipv4Addr::LOCALHOST);
    for (address, outcome) in [(open, Outcome::Established), (closed, Outcome::Refused)] {
        let fd = raw::socket(libc::AF_INET, libc::SOCK_STREAM, raw::IPPROTO_MPTCP).unwrap();
        let result = connect(&fd, address);
        assert_eq!(
            result.is_ok(),
            outcome == Outcome::Established,
            "{result:?}"
        );
        let event = monitor.to(address);
        assert_is_me(&event);
        assert_eq!((event.protocol, event.outcome), (Protocol::Tcp, outcome));
    }
    assert_eq!(monitor.rest(&[open, closed]), []);
}

/// The kernel begins further subflows. They belong to the process that has connected the socket.
#[test]
#[ignore = "needs root: make test runs it"]
fn mptcp_further_subflows() {
    if !supports_mptcp() {
        return;
    }
    in_new_network(|| {
        ip("addr add 10.1.0.1/24 dev lo");
        ip("addr add 10.2.0.1/24 dev lo");
        ip("mptcp limits set subflow 4 add_addr_accepted 4");
        ip("mptcp endpoint add 10.2.0.1 subflow");
        let monitor = Monitor::start();
        let mptcp = || raw::socket(libc::AF_INET, libc::SOCK_STREAM, raw::IPPROTO_MPTCP).unwrap();
        let listener = mptcp();
        let local = SockaddrStorage::from(SocketAddr::from(([10, 1, 0, 1], 0)));
        socket::bind(listener.as_raw_fd(), &local).unwrap();
        socket::listen(&listener, socket::Backlog::new(8).unwrap()).unwrap();
        let address = local_address(&listener);
        let ours = mptcp();
        connect(&ours, address).unwrap();
        let listener = TcpListener::from(listener);
        let (mut theirs, _) = listener.accept().unwrap();
        let mut ours = TcpStream::from(ours);
        // The kernel begins further subflows only after data have arrived on both sides.
        for _ in 0..3 {
            ours.write_all(b"x").unwrap();
            theirs.read_exact(&mut [0]).unwrap();
            theirs.write_all(b"x").unwrap();
            ours.read_exact(&mut [0]).unwrap();
        }
        for source in [[10, 1, 0, 1], [10, 2, 0, 1]] {
            let event = monitor.next(&format!("from {source:?}"), |event| {
                event.destination == address && event.source.ip() == IpAddr::from(source)
            });
            assert_is_me(&event);
            assert_eq!(event.outcome, Outcome::Established);
        }
        assert_eq!(monitor.rest(&[address]), []);
    });
}

/// TCP Fast Open: the first data connect the socket, with and without connect(2).
#[test]
#[ignore = "needs root: make test runs it"]
fn fast_open() {
    const MSG_FASTOPEN: MsgFlags = MsgFlags::from_bits_retain(libc::MSG_FASTOPEN);
    in_new_network(|| {
        // Enables client and server, the latter for each listener: Documentation/networking/ip-sysctl.rst.
        fs::write("/proc/sys/net/ipv4/tcp_fastopen", "1027").unwrap();
        let monitor = Monitor::start();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let (_guard, closed) = closed_port(Ipv4Addr::LOCALHOST);
        // The first connection requests a cookie. The second has it, and sends data with its SYN.
        for _ in 0..2 {
            let fd = tcp(open.ip(), SockFlag::empty());
            let to = SockaddrStorage::from(open);
            assert_eq!(
                socket::sendto(fd.as_raw_fd(), b"x", &to, MSG_FASTOPEN),
                Ok(1)
            );
            let event = monitor.to(open);
            assert_is_me(&event);
            assert_eq!(event.outcome, Outcome::Established);
            assert_eq!(event.source, local_address(&fd));
        }
        let fd = tcp(open.ip(), SockFlag::empty());
        socket::setsockopt(&fd, socket::sockopt::TcpFastOpenConnect, &true).unwrap();
        connect(&fd, open).unwrap();
        nix::unistd::write(&fd, b"x").unwrap();
        assert_eq!(monitor.to(open).outcome, Outcome::Established);

        let send = |address: SocketAddr| {
            let fd = tcp(address.ip(), SockFlag::empty());
            let to = SockaddrStorage::from(address);
            socket::sendto(fd.as_raw_fd(), b"x", &to, MSG_FASTOPEN)
        };
        assert_eq!(send(closed), Err(Errno::ECONNREFUSED));
        assert_eq!(monitor.to(closed).outcome, Outcome::Refused);
        let nowhere: SocketAddr = "203.0.113.8:4242".parse().unwrap();
        assert_eq!(send(nowhere), Err(Errno::ENETUNREACH));
        let event = monitor.to(nowhere);
        assert_is_me(&event);
        assert_eq!(event.outcome, Outcome::Unreachable);
        assert_eq!(monitor.rest(&[open, closed, nowhere]), []);
    });
}
