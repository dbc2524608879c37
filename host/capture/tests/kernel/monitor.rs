//! A monitor (source and identity) to test with, and destinations to connect to.

use std::{
    cell::RefCell,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd as _, OwnedFd},
    process::Command,
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use lightmon_capture::{
    MAX_BATCH, Next, Source as _,
    ebpf::{Counters, EbpfSource, Options},
};
use lightmon_event::{Event, Outcome, Stats};
use lightmon_identity::{Identity, container::Containers};
use lightmon_thread::Stop;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrStorage};

/// Long, since the machine may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Settings to test with: connections of this process are reported like all others.
pub(crate) fn options() -> Options {
    Options {
        object: std::env::var_os("LIGHTMON_EBPF_OBJECT").map(Into::into),
        report_self: true,
        ..Options::default()
    }
}

/// Opens the live source. All hooks must be attached.
fn source(options: &Options) -> EbpfSource {
    let source = EbpfSource::open(options).unwrap_or_else(|error| panic!("{error}"));
    assert!(source.degraded.is_empty(), "{:?}", source.degraded);
    source
}

/// Runs source and identity on a thread, until it is dropped.
pub(crate) struct Monitor {
    events: Receiver<Event>,
    /// The counters of the kernel program.
    pub(crate) counters: Counters,
    /// Events that came while another one was awaited.
    others: RefCell<Vec<Event>>,
    stop: Stop,
    reader: Option<thread::JoinHandle<Stats>>,
}

impl Monitor {
    pub(crate) fn start() -> Self {
        Self::with(&options())
    }

    pub(crate) fn with(options: &Options) -> Self {
        let mut source = source(options);
        let counters = source.counters();
        let (stop, (sender, events)) = (Stop::new().unwrap(), mpsc::channel());
        let stop_too = stop.clone();
        let migrations = source.cgroup_migrations();
        let mut identity =
            Identity::new(Containers::new()).counting_migrations(move || migrations.now());
        // Reads the processes that run already.
        while identity.due().is_some() {
            identity.apply([], &mut Vec::new());
        }
        let reader = thread::spawn(move || {
            let stats = Stats::default();
            let (mut records, mut events) = (Vec::new(), Vec::new());
            loop {
                source.wake_by(identity.due());
                let next = source
                    .next(&mut records, MAX_BATCH, &stop_too, &stats)
                    .unwrap();
                identity.apply(records.drain(..), &mut events);
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
            counters,
            others: RefCell::default(),
            stop,
            reader: Some(reader),
        }
    }

    /// Waits for the next event to this destination.
    pub(crate) fn to(&self, destination: SocketAddr) -> Event {
        self.next(&format!("to {destination}"), |event| {
            event.destination == destination
        })
    }

    /// Waits for the next event that matches.
    pub(crate) fn next(&self, what: &str, matches: impl Fn(&Event) -> bool) -> Event {
        self.try_next(matches)
            .unwrap_or_else(|| panic!("no event {what}"))
    }

    /// Waits for the next event to this destination. `None` if there is none before the deadline.
    pub(crate) fn try_to(&self, destination: SocketAddr) -> Option<Event> {
        self.try_next(|event| event.destination == destination)
    }

    fn try_next(&self, matches: impl Fn(&Event) -> bool) -> Option<Event> {
        let mut others = self.others.borrow_mut();
        if let Some(at) = others.iter().position(&matches) {
            return Some(others.remove(at));
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).ok()?;
            if matches(&event) {
                return Some(event);
            }
            others.push(event);
        }
    }

    /// Ends the monitor, and returns all further events to these destinations.
    pub(crate) fn rest(mut self, destinations: &[SocketAddr]) -> Vec<Event> {
        let stats = self.end().unwrap();
        assert_eq!(stats.lost_kernel.into_inner(), 0);
        assert_eq!(stats.malformed.into_inner(), 0);
        let others = std::mem::take(self.others.get_mut()).into_iter();
        others
            .chain(self.events.try_iter())
            .filter(|event| destinations.contains(&event.destination))
            .collect()
    }

    fn end(&mut self) -> Option<Stats> {
        self.stop.set();
        self.reader.take()?.join().ok()
    }
}

/// Detaches the hooks, which would slow down the other tests.
impl Drop for Monitor {
    fn drop(&mut self) {
        self.end();
    }
}

/// Asserts that the event is of this thread and has its process, path, arguments and parent.
pub(crate) fn assert_is_me(event: &Event) {
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

pub(crate) fn listen(ip: impl Into<IpAddr>) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((ip.into(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port without a listener. The socket occupies the port, so that no other process gets it.
pub(crate) fn closed_port(ip: impl Into<IpAddr>) -> (OwnedFd, SocketAddr) {
    let ip = ip.into();
    let fd = tcp(ip, SockFlag::empty());
    socket::bind(
        fd.as_raw_fd(),
        &SockaddrStorage::from(SocketAddr::new(ip, 0)),
    )
    .unwrap();
    let address = local_address(&fd);
    (fd, address)
}

/// A TCP socket of the family of this address.
pub(crate) fn tcp(ip: IpAddr, flags: SockFlag) -> OwnedFd {
    let family = if ip.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    socket::socket(family, SockType::Stream, flags, None).unwrap()
}

pub(crate) fn connect(fd: &OwnedFd, address: SocketAddr) -> nix::Result<()> {
    socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(address))
}

pub(crate) fn local_address(fd: &OwnedFd) -> SocketAddr {
    let name: SockaddrStorage = socket::getsockname(fd.as_raw_fd()).unwrap();
    match (name.as_sockaddr_in(), name.as_sockaddr_in6()) {
        (Some(v4), _) => SocketAddr::V4((*v4).into()),
        (_, Some(v6)) => SocketAddr::V6((*v6).into()),
        _ => panic!("{name:?}"),
    }
}

pub(crate) const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// Runs the test on a thread in a new network namespace, which has nothing but loopback.
pub(crate) fn in_new_network(test: impl FnOnce() + Send + 'static) {
    let thread = thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        ip("link set lo up");
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// ip(8), of iproute2 or busybox.
pub(crate) fn ip(arguments: &str) {
    let mut ip = Command::new("ip");
    assert!(
        ip.args(arguments.split(' ')).status().unwrap().success(),
        "ip {arguments}"
    );
}

/// A port that does not answer: the queue of its listener is full.
pub(crate) fn unanswered_port(monitor: &Monitor) -> (OwnedFd, TcpStream, SocketAddr) {
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
