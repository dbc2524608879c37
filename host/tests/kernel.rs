//! The real kernel program on real sockets: each test opens connections of its own and waits for their events.
//! Nothing here looks at what other processes do.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd},
    process::Command,
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use lightmon::{
    enrich::{Enrich, container::Containers},
    event::{Event, Outcome, Protocol},
    source::{
        MAX_BATCH, Next, Source as _, Stop,
        ebpf::{EbpfSource, Options},
    },
    stats::Stats,
};
use nix::{
    errno::Errno,
    sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6},
};

/// Generous: the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(20);

/// lightmon without its output: what the kernel program reports, enriched, until it is dropped.
struct Monitor {
    events: Receiver<Event>,
    stop: Stop,
    reader: Option<thread::JoinHandle<Stats>>,
}

impl Monitor {
    fn start() -> Self {
        let options = Options {
            object: std::env::var_os("LIGHTMON_EBPF_OBJECT").map(Into::into),
            report_own: true,
            ..Options::default()
        };
        let mut source = EbpfSource::open(&options).unwrap_or_else(|error| panic!("{error}"));
        assert!(source.degraded.is_empty(), "{:?}", source.degraded);
        let (stop, (sender, events)) = (Stop::new().unwrap(), mpsc::channel());
        let stop_too = stop.clone();
        let reader = thread::spawn(move || {
            let (stats, mut enrich) = (Stats::default(), Enrich::new(Containers::new()));
            let (mut records, mut events) = (Vec::new(), Vec::new());
            loop {
                let next = source
                    .next(&mut records, MAX_BATCH, &stop_too, &stats)
                    .unwrap();
                enrich.apply(records.drain(..), &mut events);
                for event in events.drain(..) {
                    let _ = sender.send(event);
                }
                if next == Next::End {
                    return stats;
                }
            }
        });
        Self {
            events,
            stop,
            reader: Some(reader),
        }
    }

    /// The next event to that destination.
    fn to(&self, destination: SocketAddr) -> Event {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self
                .events
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("no event to {destination}"));
            if event.destination == destination {
                return event;
            }
        }
    }

    /// Ends, and gives all further events to one of these destinations.
    fn rest(mut self, destinations: &[SocketAddr]) -> Vec<Event> {
        self.stop.set();
        let stats = self.reader.take().unwrap().join().unwrap();
        assert_eq!(stats.lost_kernel.into_inner(), 0);
        assert_eq!(stats.malformed.into_inner(), 0);
        self.events
            .try_iter()
            .filter(|event| destinations.contains(&event.destination))
            .collect()
    }
}

/// The event is ours, with all that identifies this test's process.
fn assert_is_me(event: &Event) {
    assert_eq!(event.pid, std::process::id());
    assert_eq!(event.tid, nix::unistd::gettid().as_raw() as u32);
    assert_eq!(event.uid, nix::unistd::getuid().as_raw());
    assert_eq!(event.gid, nix::unistd::getgid().as_raw());
    let comm = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
    assert_eq!(&*event.comm, comm.trim_end());
    assert_eq!(
        event.process.path.as_deref(),
        std::env::current_exe().unwrap().to_str()
    );
    let args: Vec<_> = std::env::args().collect();
    assert_eq!(
        event
            .process
            .args
            .as_ref()
            .unwrap()
            .iter()
            .map(|arg| &**arg)
            .collect::<Vec<_>>(),
        args
    );
    assert_eq!(
        event.process.parents[0].pid,
        nix::unistd::getppid().as_raw() as u32
    );
    assert!(!event.process.parents[0].comm.is_empty());
    assert!(event.time.duration_until(jiff::Timestamp::now()).as_secs() < 60);
    assert!(event.latency.is_some_and(|latency| latency < DEADLINE));
}

fn listen(ip: impl Into<IpAddr>) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((ip.into(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port that nobody listens on: bound, so that nobody else gets it, but deaf.
fn closed_port(ip: impl Into<IpAddr>) -> (OwnedFd, SocketAddr) {
    let ip = ip.into();
    let family = if ip.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let fd = socket::socket(family, SockType::Stream, SockFlag::empty(), None).unwrap();
    match ip {
        IpAddr::V4(ip) => socket::bind(
            fd.as_raw_fd(),
            &SockaddrIn::from(std::net::SocketAddrV4::new(ip, 0)),
        )
        .unwrap(),
        IpAddr::V6(ip) => socket::bind(
            fd.as_raw_fd(),
            &SockaddrIn6::from(std::net::SocketAddrV6::new(ip, 0, 0, 0)),
        )
        .unwrap(),
    }
    let name: socket::SockaddrStorage = socket::getsockname(fd.as_raw_fd()).unwrap();
    let port = name
        .as_sockaddr_in()
        .map(|a| a.port())
        .or(name.as_sockaddr_in6().map(|a| a.port()))
        .unwrap();
    (fd, SocketAddr::new(ip, port))
}

const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// Runs on a thread with a network of its own, where nothing but loopback is.
fn in_own_network(test: impl FnOnce() + Send + 'static) {
    let thread = thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        assert!(
            Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status()
                .unwrap()
                .success()
        );
        test();
    });
    thread.join().unwrap();
}

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

/// Connects without waiting, asks again until it is decided, as event loops do: one event, with the real outcome.
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
        let SocketAddr::V4(v4) = address else {
            unreachable!()
        };
        let fd = socket::socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::SOCK_NONBLOCK,
            None,
        )
        .unwrap();
        let connect = || socket::connect(fd.as_raw_fd(), &SockaddrIn::from(v4));
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
    // A refused socket may be connected anew: the second `connect` above was such a one, and is a connection of its own.
    let rest = monitor.rest(&[open, closed]);
    assert_eq!(
        rest.iter()
            .map(|event| (event.destination, event.outcome))
            .collect::<Vec<_>>(),
        [(closed, Outcome::Refused)]
    );
}

#[test]
#[ignore = "needs root: make test runs it"]
fn udp_connect() {
    let monitor = Monitor::start();
    for ip in LOOPBACK {
        let peer = UdpSocket::bind((ip, 0)).unwrap();
        let address = peer.local_addr().unwrap();
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.connect(address).unwrap();
        socket.send(b"x").unwrap();
        let event = monitor.to(address);
        assert_is_me(&event);
        assert_eq!(
            (event.protocol, event.outcome, event.errno),
            (Protocol::Udp, Outcome::Connected, None)
        );
        assert_eq!(event.source, socket.local_addr().unwrap());
    }
    assert_eq!(monitor.rest(&[]), []);
}

/// An address in a page that nobody has touched yet: the kernel program can't read it when the call begins.
#[test]
#[ignore = "needs root: make test runs it"]
fn address_in_a_page_that_is_not_there() {
    let monitor = Monitor::start();
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = peer.local_addr().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    // struct sockaddr_in, in a file that is mapped and not touched.
    let mut sockaddr = vec![2, 0];
    sockaddr.extend(address.port().to_be_bytes());
    sockaddr.extend([127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    std::fs::write(file.path(), sockaddr).unwrap();
    let script = format!(
        "import ctypes, mmap, socket\n\
         libc = ctypes.CDLL(None, use_errno=True)\n\
         file = open('{}')\n\
         libc.mmap.restype = ctypes.c_void_p\n\
         page = libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_PRIVATE, file.fileno(), 0)\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         assert libc.connect(s.fileno(), ctypes.c_void_p(page), 16) == 0\n",
        file.path().display()
    );
    let mut child = Command::new("python3")
        .args(["-c", &script])
        .spawn()
        .unwrap();
    assert!(child.wait().unwrap().success());
    let event = monitor.to(address);
    assert_eq!(event.pid, child.id());
    assert_eq!(
        (event.protocol, event.outcome),
        (Protocol::Udp, Outcome::Connected)
    );
    assert_eq!(monitor.rest(&[address]), []);
}

/// Nothing but loopback: there is no route to anywhere else.
#[test]
#[ignore = "needs root: make test runs it"]
fn network_unreachable() {
    in_own_network(|| {
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

/// No free port: the kernel goes to SYN_SENT and back within the call, and only the call knows why.
#[test]
#[ignore = "needs root: make test runs it"]
fn address_unavailable() {
    in_own_network(|| {
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

/// Nobody answers: the listener's queue is full, and the kernel asks once more only.
#[test]
#[ignore = "needs root: make test runs it"]
fn timed_out() {
    in_own_network(|| {
        std::fs::write("/proc/sys/net/ipv4/tcp_syn_retries", "1").unwrap();
        let monitor = Monitor::start();
        let (_deaf, _filler, address) = deaf_port(&monitor);
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

/// A listener whose queue is full, so that it answers nobody.
fn deaf_port(monitor: &Monitor) -> (OwnedFd, TcpStream, SocketAddr) {
    let fd = socket::socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::empty(),
        None,
    )
    .unwrap();
    socket::bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    socket::listen(&fd, socket::Backlog::new(0).unwrap()).unwrap();
    let name: SockaddrIn = socket::getsockname(fd.as_raw_fd()).unwrap();
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), name.port());
    let filler = TcpStream::connect(address).unwrap();
    assert_eq!(monitor.to(address).outcome, Outcome::Established);
    (fd, filler, address)
}

/// Closed before anybody has answered.
#[test]
#[ignore = "needs root: make test runs it"]
fn aborted() {
    let monitor = Monitor::start();
    let (_deaf, _filler, address) = deaf_port(&monitor);
    let SocketAddr::V4(v4) = address else {
        unreachable!()
    };
    let connecting = socket::socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_NONBLOCK,
        None,
    )
    .unwrap();
    let result = socket::connect(connecting.as_raw_fd(), &SockaddrIn::from(v4));
    assert_eq!(result, Err(Errno::EINPROGRESS));
    drop(connecting);
    let event = monitor.to(address);
    assert_eq!((event.outcome, event.errno), (Outcome::Aborted, None));
    assert_is_me(&event);
    assert_eq!(monitor.rest(&[address]), []);
}

/// What ends at once still has its path, arguments and parent: they come from its exec, not from /proc.
#[test]
#[ignore = "needs root: make test runs it"]
fn short_lived_processes() {
    let monitor = Monitor::start();
    let mut children = Vec::new();
    for i in 0..50u8 {
        let (_listener, address) = listen(Ipv4Addr::new(127, 0, 7, i));
        let script = format!("exec 3<>/dev/tcp/{}/{}", address.ip(), address.port());
        let mut child = Command::new("/bin/bash")
            .args(["-c", &script, "an argument", ""])
            .spawn()
            .unwrap();
        assert!(child.wait().unwrap().success());
        children.push((address, script, child.id()));
    }
    let bash = std::fs::canonicalize("/bin/bash").unwrap();
    for (address, script, pid) in children {
        let event = monitor.to(address);
        assert_eq!(event.pid, pid);
        assert_eq!(event.process.path.as_deref(), bash.to_str());
        let args = event.process.args.as_ref().unwrap();
        assert_eq!(
            args.iter().map(|arg| &**arg).collect::<Vec<_>>(),
            ["/bin/bash", "-c", &script, "an argument", ""]
        );
        assert_eq!(event.process.parents[0].pid, std::process::id());
        assert_eq!(&*event.comm, "bash");
    }
    let _ = std::io::stdout().flush();
}
