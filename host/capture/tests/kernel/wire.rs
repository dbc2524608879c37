//! TCP with an unusual peer: the test plays the only other host of a network, and answers late, wrongly or never.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::fd::AsRawFd as _,
    thread,
    time::Duration,
};

use lightmon_event::{Outcome, Protocol};
use nix::{
    errno::Errno,
    sys::socket::{SockFlag, SockaddrStorage},
};

use crate::{
    monitor::{Monitor, assert_is_me, connect, in_new_network, ip, tcp},
    raw,
};

/// The address of the peer. Each test has a network number of its own, since each monitor sees the connections of all tests.
const fn peer(net: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, net, 2)
}

const fn local(net: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, net, 1)
}

/// How the peer answers a SYN to a port: packets in this order, each after a delay in milliseconds.
type Answer = &'static [(u64, Packet)];

#[derive(Clone, Copy)]
enum Packet {
    /// TCP with these flags. `ack`: acknowledges the SYN.
    Tcp { flags: u8, ack: bool },
    /// ICMP destination unreachable, with this code.
    Unreachable(u8),
}

const FIN_OR_RST: u8 = 0x04;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

const SYN_ACK: Packet = Packet::Tcp {
    flags: SYN | ACK,
    ack: true,
};
const RST: Packet = Packet::Tcp {
    flags: FIN_OR_RST | ACK,
    ack: true,
};

/// Runs the test in a network where the peer answers as this table of ports says. Other ports do not answer.
fn with_peer(net: u8, answers: &'static [(u16, Answer)], test: impl FnOnce() + Send + 'static) {
    in_new_network(move || {
        let mut tun = raw::tun("tun0");
        ip(&format!("addr add {}/24 dev tun0", local(net)));
        ip("link set tun0 up");
        // The thread ends with the process: its read(2) can't be interrupted.
        thread::spawn(move || {
            let mut packet = [0; 2048];
            while let Ok(len) = tun.read(&mut packet) {
                let Some(syn) = Syn::parse(&packet[..len]) else {
                    continue;
                };
                let answer = answers.iter().find(|(port, _)| *port == syn.port());
                for (after, packet) in answer.map_or(&[][..], |(_, answer)| answer) {
                    thread::sleep(Duration::from_millis(*after));
                    tun.write_all(&syn.answer(*packet)).unwrap();
                }
            }
        });
        test();
    });
}

/// An IPv4 packet with a TCP SYN (RFC 791, RFC 9293).
struct Syn<'a>(&'a [u8]);

impl<'a> Syn<'a> {
    fn parse(packet: &'a [u8]) -> Option<Self> {
        let is_tcp = packet.len() >= 40 && packet[0] == 0x45 && packet[9] == 6;
        (is_tcp && packet[33] & (SYN | ACK | FIN_OR_RST) == SYN).then_some(Self(packet))
    }

    fn port(&self) -> u16 {
        u16::from_be_bytes([self.0[22], self.0[23]])
    }

    fn answer(&self, answer: Packet) -> Vec<u8> {
        match answer {
            Packet::Tcp { flags, ack } => {
                let sequence = u32::from_be_bytes(self.0[24..28].try_into().unwrap());
                let mut tcp = Vec::new();
                tcp.extend(&self.0[22..24]); // source and destination swapped
                tcp.extend(&self.0[20..22]);
                // After a SYN by this peer, its RST has the next sequence number.
                let next = 1000 + u32::from(flags & SYN == 0 && !ack);
                tcp.extend(next.to_be_bytes());
                tcp.extend(if ack { sequence + 1 } else { 0 }.to_be_bytes());
                tcp.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
                let pseudo = [&self.0[16..20], &self.0[12..16], &[0, 6, 0, 20], &tcp[..]].concat();
                let sum = checksum(&pseudo);
                tcp[16..18].copy_from_slice(&sum.to_be_bytes());
                self.packet(6, &tcp)
            }
            Packet::Unreachable(code) => {
                let mut icmp = vec![3, code, 0, 0, 0, 0, 0, 0];
                icmp.extend(&self.0[..28]);
                let sum = checksum(&icmp);
                icmp[2..4].copy_from_slice(&sum.to_be_bytes());
                self.packet(1, &icmp)
            }
        }
    }

    /// An IPv4 packet to the sender of the SYN.
    fn packet(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0];
        packet.extend((20 + payload.len() as u16).to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
        packet.extend(&self.0[16..20]);
        packet.extend(&self.0[12..16]);
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(payload);
        packet
    }
}

/// The checksum of RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

/// Each answer, with the result of connect(2) and the reported outcome.
#[test]
#[ignore = "needs root: make test runs it"]
fn every_answer_has_its_outcome() {
    const MS: Duration = Duration::from_millis(1);
    const NET_UNREACHABLE: u16 = Errno::ENETUNREACH as u16;
    const HOST_UNREACHABLE: u16 = Errno::EHOSTUNREACH as u16;
    const REFUSED: u16 = Errno::ECONNREFUSED as u16;
    const RESET: u16 = Errno::ECONNRESET as u16;
    const CASES: &[(u16, Outcome, Option<u16>)] = &[
        (1, Outcome::Established, None),
        (2, Outcome::Refused, Some(REFUSED)),
        (3, Outcome::Unreachable, Some(NET_UNREACHABLE)),
        (4, Outcome::Unreachable, Some(HOST_UNREACHABLE)),
        (5, Outcome::Refused, Some(REFUSED)),
        (6, Outcome::Reset, Some(RESET)),
        (7, Outcome::Unreachable, Some(HOST_UNREACHABLE)),
    ];
    // Simultaneous open, then a reset by the peer: the only way to a reset before the connection is established.
    const CROSSED: Packet = Packet::Tcp {
        flags: SYN,
        ack: false,
    };
    const BROKEN: Packet = Packet::Tcp {
        flags: FIN_OR_RST,
        ack: false,
    };
    with_peer(
        0,
        &[
            (1, &[(9, SYN_ACK)]),
            (2, &[(3, RST)]),
            (3, &[(0, Packet::Unreachable(0))]),
            (4, &[(0, Packet::Unreachable(1))]),
            (5, &[(0, Packet::Unreachable(3))]),
            (6, &[(0, CROSSED), (1, BROKEN)]),
            (7, &[(0, Packet::Unreachable(13))]),
        ],
        || {
            let monitor = Monitor::start();
            let mut all = Vec::new();
            for (port, outcome, errno) in CASES {
                let address = SocketAddr::new(peer(0).into(), *port);
                all.push(address);
                let result = TcpStream::connect(address).map_err(|error| error.raw_os_error());
                let stream = result.as_ref().ok();
                let expect = errno.map(|errno| Some(i32::from(errno)));
                assert_eq!(result.as_ref().err().copied(), expect, "{port}");
                let event = monitor.to(address);
                assert_is_me(&event);
                assert_eq!(
                    (event.protocol, event.outcome, event.errno),
                    (Protocol::Tcp, *outcome, *errno),
                    "{port}"
                );
                if let Some(stream) = stream {
                    assert_eq!(event.source, stream.local_addr().unwrap());
                    assert!(event.latency.unwrap() >= 9 * MS, "{:?}", event.latency);
                }
                assert_eq!(event.source.ip(), local(0), "{port}: {}", event.source);
                assert_ne!(event.source.port(), 0);
            }
            assert_eq!(monitor.rest(&all), []);
        },
    );
}

/// No answer for a second: reported as pending, with both endpoints. Then the second SYN is answered.
#[test]
#[ignore = "needs root: make test runs it"]
fn late_answers_are_pending_first() {
    with_peer(1, &[(1, &[(2500, SYN_ACK)]), (2, &[(2500, RST)])], || {
        let monitor = Monitor::start();
        let addresses = [1, 2, 3].map(|port| SocketAddr::new(peer(1).into(), port));
        let sockets = addresses.map(|address| {
            let fd = tcp(address.ip(), SockFlag::SOCK_NONBLOCK);
            assert_eq!(connect(&fd, address), Err(Errno::EINPROGRESS));
            fd
        });
        let mut ids = Vec::new();
        for address in addresses {
            let event = monitor.to(address);
            assert_is_me(&event);
            assert_eq!((event.outcome, event.errno), (Outcome::Pending, None));
            assert_eq!(event.source.ip(), local(1));
            assert_ne!(event.source.port(), 0);
            assert!(event.latency.unwrap() >= Duration::from_secs(1));
            ids.push((event.id(), event.source));
        }
        // The pending connections do not delay the outcome of others.
        let mut sockets = sockets.into_iter();
        let (late, refused, never) = (sockets.next(), sockets.next(), sockets.next());
        for (address, outcome, n) in [
            (addresses[0], Outcome::Established, 0),
            (addresses[1], Outcome::Refused, 1),
        ] {
            let event = monitor.to(address);
            assert_eq!(event.outcome, outcome);
            assert_eq!((event.id(), event.source), ids[n]);
        }
        drop((late, refused, never));
        let event = monitor.to(addresses[2]);
        assert_eq!((event.outcome, event.errno), (Outcome::Aborted, None));
        assert_eq!((event.id(), event.source), ids[2]);
        assert_eq!(monitor.rest(&addresses), []);
    });
}

/// A connection that is younger than a second when lightmon ends is reported as pending, too.
#[test]
#[ignore = "needs root: make test runs it"]
fn connections_without_an_answer_at_the_end_are_pending() {
    with_peer(2, &[], || {
        let monitor = Monitor::start();
        let address = SocketAddr::new(peer(2).into(), 9);
        let fd = tcp(address.ip(), SockFlag::SOCK_NONBLOCK);
        assert_eq!(
            nix::sys::socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(address)),
            Err(Errno::EINPROGRESS)
        );
        let rest = monitor.rest(&[address]);
        assert_eq!(rest.len(), 1, "{rest:?}");
        assert_eq!(rest[0].outcome, Outcome::Pending);
    });
}

/// A signal interrupts a blocking connect(2). The connection continues in the kernel, and connect(2) is called again.
#[test]
#[ignore = "needs root: make test runs it"]
fn interrupted() {
    with_peer(3, &[(1, &[(300, SYN_ACK)])], || {
        raw::interrupt_by_sigusr1();
        let monitor = Monitor::start();
        let address = SocketAddr::new(peer(3).into(), 1);
        let fd = tcp(address.ip(), SockFlag::empty());
        let me = nix::unistd::gettid().as_raw();
        let interrupter = thread::spawn(move || {
            // Repeated, since the first signals may come before connect(2) is called.
            for _ in 0..20 {
                thread::sleep(Duration::from_millis(5));
                raw::signal_thread(me);
            }
        });
        assert_eq!(connect(&fd, address), Err(Errno::EINTR));
        interrupter.join().unwrap();
        assert_eq!(connect(&fd, address), Ok(()));
        let event = monitor.to(address);
        assert_is_me(&event);
        assert_eq!(event.outcome, Outcome::Established);
        assert_eq!(monitor.rest(&[address]), []);
    });
}
