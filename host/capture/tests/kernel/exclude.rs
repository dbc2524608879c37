//! Exclude rules: the kernel program decides as the host does, and counts what it excludes.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd as _, OwnedFd},
    thread,
};

use lightmon_capture::{
    Next, Source as _,
    ebpf::{EbpfSource, Options},
};
use lightmon_common::exclude::MAX_RULES;
use lightmon_event::{Event, Outcome, Record, Stats};
use lightmon_filter::Exclude;
use lightmon_thread::Stop;
use nix::{
    errno::Errno,
    libc,
    sys::socket::{
        self, AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, sockopt::ReuseAddr,
    },
    unistd,
};
use proptest::{
    prelude::*,
    sample::select,
    strategy::{Strategy, ValueTree as _},
    test_runner::TestRunner,
};

use crate::{
    monitor::{
        Monitor, connect, in_new_network, ip, listen, local_address, options, tcp, unanswered_port,
    },
    raw,
    tcp::supports_mptcp,
};

/// Users that no other process of this machine has, since the rules apply to all processes.
const USERS: [u32; 3] = [77_001, 77_002, 77_003];

/// The first has a TCP listener.
const PORTS: [u16; 3] = [7701, 7702, 7703];

/// Includes unreachable addresses, and addresses that the kernel replaces by others.
const ADDRESSES: [&str; 7] = [
    "127.77.0.1",
    "127.77.0.9",
    "::ffff:127.77.0.1",
    "fd77::1",
    "0.0.0.0",
    "198.51.100.77",
    "2001:db8:77::1",
];

fn destinations() -> Vec<SocketAddr> {
    let addresses = ADDRESSES.map(|address| address.parse::<IpAddr>().unwrap());
    let all = |port| addresses.map(|address| SocketAddr::new(address, port));
    PORTS.into_iter().flat_map(all).collect()
}

/// Conditions that match connections of this test only.
fn conditions_of_this_test(children: [u32; 2]) -> Vec<String> {
    let [a, b, _] = USERS.map(|uid| format!("uid={uid}"));
    let [c, d] = children.map(|pid| format!("pid={pid}"));
    let ports = PORTS.map(|port| format!("dport={port}"));
    let networks = [
        "127.77.0.1",
        "127.77.0.0/29",
        "::ffff:127.77.0.0/112",
        "fd77::1",
        "fd77::/64",
        "198.51.100.77",
        "2001:db8:77::/48",
    ];
    let networks = networks.map(|network| format!("dip={network}"));
    [a, b, c, d]
        .into_iter()
        .chain(ports)
        .chain(networks)
        .collect()
}

/// Conditions that may also match connections of other processes. The kernel program cannot evaluate the last two.
fn conditions_of_any() -> Vec<String> {
    let mut conditions: Vec<String> = [
        "protocol=tcp",
        "protocol=udp",
        "uid=0",
        "dip=127.0.0.0/8",
        "dip=0.0.0.0/0",
        "dip=::/0",
        "keyword=kernel",
        "container=none",
    ]
    .map(str::to_owned)
    .into();
    conditions.push(format!("pid={}", std::process::id()));
    conditions
}

fn alternative(children: [u32; 2]) -> impl Strategy<Value = String> {
    let ours = select(conditions_of_this_test(children));
    let more = prop_oneof![ours.clone(), select(conditions_of_any())];
    (ours, prop::collection::vec(more, 0..3)).prop_map(|(ours, mut conditions)| {
        conditions.push(ours);
        conditions.join("&&")
    })
}

/// Connects and sends to each destination in several ways; failures are fine. Makes system calls only, so that a forked child can
/// call it.
fn connect_to_all(destinations: &[SocketAddr]) {
    for &to in destinations {
        let _ = connect(&tcp(to.ip(), SockFlag::empty()), to);

        let impatient = tcp(to.ip(), SockFlag::SOCK_NONBLOCK);
        let _ = connect(&impatient, to);
        let _ = connect(&impatient, to);

        // Two sockets with the same source port: if the first is connected, the second fails within its call.
        let [first, second] = [(); 2].map(|()| tcp(to.ip(), SockFlag::empty()));
        let any = match to {
            SocketAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
            SocketAddr::V6(_) => SocketAddr::from(([0; 16], 0)),
        };
        bind_again(&first, any);
        bind_again(&second, local_address(&first));
        let _ = connect(&first, to);
        let _ = connect(&second, to);

        let address = SockaddrStorage::from(to);
        let send = |fd: &OwnedFd, flags| {
            let _ = socket::sendto(fd.as_raw_fd(), b"x", &address, flags);
        };
        let fast_open = MsgFlags::from_bits_retain(libc::MSG_FASTOPEN);
        send(&tcp(to.ip(), SockFlag::empty()), fast_open);

        send(&udp(to), MsgFlags::empty());
        let _ = connect(&udp(to), to);
    }
}

fn bind_again(fd: &OwnedFd, address: SocketAddr) {
    socket::setsockopt(fd, ReuseAddr, &true).unwrap();
    socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
}

fn udp(to: SocketAddr) -> OwnedFd {
    let family = match to {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    socket::socket(family, SockType::Datagram, SockFlag::empty(), None).unwrap()
}

/// Connects in the ways that need more than system calls.
fn connect_otherwise(destinations: &[SocketAddr]) {
    let supports_mptcp = supports_mptcp();
    for &to in destinations {
        raw::io_uring_connect(tcp(to.ip(), SockFlag::empty()).as_raw_fd(), to);
        let _ = raw::sendmmsg(&udp(to), &[to]);
        if supports_mptcp {
            let family = if to.is_ipv4() {
                libc::AF_INET
            } else {
                libc::AF_INET6
            };
            let fd = raw::socket(family, libc::SOCK_STREAM, raw::IPPROTO_MPTCP).unwrap();
            let _ = connect(&fd, to);
        }
    }
}

/// The events that the expression does not exclude, as text without times. Must be the same, whether kernel or host decides.
fn remains(events: &[Event], exclude: &Exclude) -> Vec<String> {
    let mut remains: Vec<_> = events
        .iter()
        .filter(|event| !exclude.matches(event))
        .map(|event| {
            let Event {
                source,
                destination,
                protocol,
                outcome,
                errno,
                pid,
                tid,
                uid,
                ..
            } = event;
            format!("{protocol} {source} {destination} {outcome:?} {errno:?} {pid} {tid} {uid}")
        })
        .collect();
    remains.sort();
    remains
}

fn with_rules(exclude: &Exclude) -> Monitor {
    Monitor::with(&Options {
        exclude: exclude.rules(),
        ..options()
    })
}

/// Random expressions, and connections of several threads, processes and users. The events with the rules in the kernel are those that
/// the host alone would keep, and the counter of the kernel program is the difference.
#[test]
#[ignore = "needs root: make test runs it"]
fn kernel_decides_as_the_host_does() {
    const EXPRESSIONS: usize = 6;
    in_new_network(|| {
        ip("addr add fd77::1/128 dev lo");
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORTS[0])).unwrap();
        // Connections are not accepted, so the queue must hold all of them.
        socket::listen(&listener, socket::Backlog::new(4096).unwrap()).unwrap();
        let destinations = destinations();

        // Forked before the monitors start, so that the children do not keep their files open.
        let children = [None, Some(USERS[1])].map(|user| {
            let (go, start) = unistd::pipe().unwrap();
            let child = raw::fork(|| {
                raw::keep_only(&go);
                unistd::read(&go, &mut [0]).unwrap();
                if let Some(user) = user {
                    raw::become_user(user);
                }
                connect_to_all(&destinations);
            });
            (child, start)
        });
        let pids = children.each_ref().map(|(pid, _)| *pid);

        // The first expression is known to match some events and not others. The further ones are random.
        let mut expressions = vec![conditions_of_this_test(pids)];
        expressions[0].retain(|condition| !condition.contains("port"));
        let (mut random, any) = (
            TestRunner::default(),
            prop::collection::vec(alternative(pids), 1..5),
        );
        expressions.extend((0..EXPRESSIONS).map(|_| any.new_tree(&mut random).unwrap().current()));
        let excludes: Vec<Exclude> = expressions
            .iter()
            .map(|alternatives| Exclude::parse(alternatives).unwrap())
            .collect();

        let everything = Monitor::start();
        let monitors: Vec<Monitor> = excludes.iter().map(with_rules).collect();
        for (child, start) in children {
            unistd::write(&start, b"x").unwrap();
            raw::wait(child);
        }
        connect_to_all(&destinations);
        connect_otherwise(&destinations);
        thread::scope(|scope| {
            scope.spawn(|| {
                raw::become_user(USERS[0]);
                connect_to_all(&destinations);
            });
        });

        let mut reported: Vec<_> = destinations
            .iter()
            .map(|it| Event::canonical(*it))
            .collect();
        // The kernel replaces 0.0.0.0 by this address.
        reported.extend(PORTS.map(|port| SocketAddr::from(([127, 0, 0, 1], port))));
        let everything = everything.rest(&reported);
        assert!(everything.len() > 500, "{}", everything.len());
        for ((alternatives, exclude), monitor) in expressions.iter().zip(&excludes).zip(monitors) {
            let counters = monitor.counters.clone();
            let from_kernel = monitor.rest(&reported);
            let remaining = remains(&everything, exclude);
            assert_eq!(
                remains(&from_kernel, exclude),
                remaining,
                "{alternatives:?}"
            );

            let is_for_host = |it: &&String| it.contains("keyword") || it.contains("container");
            let for_kernel = alternatives.iter().filter(|it| !is_for_host(it));
            let for_kernel = Exclude::parse(for_kernel).unwrap();
            let excluded = everything.iter().filter(|event| for_kernel.matches(event));
            // A connection that is reported twice (pending, then its outcome) counts once.
            let excluded: HashSet<String> = excluded.map(|event| event.id().to_string()).collect();
            assert_eq!(
                counters.excluded().unwrap(),
                excluded.len() as u64,
                "{alternatives:?}"
            );
        }
        // Guards the test itself: some events are excluded, and some are not.
        let remaining = remains(&everything, &excludes[0]).len();
        assert!((1..everything.len()).contains(&remaining), "{remaining}");
    });
}

/// Without the rule it would be reported twice: as pending, and with its outcome.
#[test]
#[ignore = "needs root: make test runs it"]
fn pending_connection_is_excluded_once() {
    in_new_network(|| {
        let everything = Monitor::start();
        let (_listener, _filler, address) = unanswered_port(&everything);
        // No other test has this user.
        let user = 77_009;
        let exclude = Exclude::parse([format!("uid={user}")]).unwrap();
        let monitor = with_rules(&exclude);
        let counters = monitor.counters.clone();
        let connecting = thread::spawn(move || {
            raw::become_user(user);
            let connecting = tcp(address.ip(), SockFlag::SOCK_NONBLOCK);
            assert_eq!(connect(&connecting, address), Err(Errno::EINPROGRESS));
            connecting
        });
        let connecting = connecting.join().unwrap();
        assert_eq!(everything.to(address).outcome, Outcome::Pending);
        drop(connecting);
        assert_eq!(everything.to(address).outcome, Outcome::Aborted);
        assert_eq!(monitor.rest(&[address]), []);
        assert_eq!(counters.excluded().unwrap(), 1);
    });
}

/// The verifier of an old kernel accepts the maximum number of rules. The last rule works like the first, and one more is left to the
/// host.
#[test]
#[ignore = "needs root: make test runs it"]
fn maximum_number_of_rules() {
    let (_listener, address) = listen(Ipv4Addr::LOCALHOST);
    let (_other, other) = listen(Ipv4Addr::LOCALHOST);
    let me = std::process::id();
    let to = |address: SocketAddr| {
        let (ip, port) = (address.ip(), address.port());
        format!("dip={ip} && dport={port} && protocol=tcp && uid=0 && pid={me}")
    };
    let nobody =
        |port| format!("dip=192.0.2.0/24 && dport={port} && protocol=udp && uid=77 && pid=1");
    let mut alternatives: Vec<String> = (1..MAX_RULES as u16).map(nobody).collect();
    alternatives.extend([to(address), to(other)]);
    let exclude = Exclude::parse(alternatives).unwrap();
    let monitor = with_rules(&exclude);
    let counters = monitor.counters.clone();
    for address in [address, other] {
        TcpStream::connect(address).unwrap();
    }
    assert!(exclude.matches(&monitor.to(other)));
    assert_eq!(monitor.rest(&[address, other]), []);
    assert_eq!(counters.excluded().unwrap(), 1);
}

/// lightmon's own connections are counted separately, whatever the rules are.
#[test]
#[ignore = "needs root: make test runs it"]
fn connections_from_self_are_not_excluded() {
    let (_listener, address) = listen(Ipv4Addr::LOCALHOST);
    let mut source = EbpfSource::open(&Options {
        report_self: false,
        exclude: Exclude::parse([format!("pid={}", std::process::id())])
            .unwrap()
            .rules(),
        ..options()
    })
    .unwrap();
    TcpStream::connect(address).unwrap();
    let (stop, stats, mut batch) = (Stop::new().unwrap(), Stats::default(), Vec::new());
    stop.set();
    while source.next(&mut batch, usize::MAX, &stop, &stats).unwrap() != Next::End {}
    let is_ours = |record: &&Record| matches!(record, Record::FromSelf(event) if event.destination == address);
    assert_eq!(batch.iter().filter(is_ours).count(), 1);
    assert_eq!(source.counters().excluded().unwrap(), 0);
}
