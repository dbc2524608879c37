//! The canary: real connections over the loopback device, of which is known what must be reported. Whoever reads the
//! source compares; a source that is blind to them is blind to others' too.
//!
//! ```text
//! Canary::fly ──► Expectations ──► saw(event) … ──► missing: nothing, or what did not come and what came wrong
//! ```

pub mod watch;

use std::{
    collections::VecDeque,
    fmt::Debug,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
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

use crate::{
    event::{Event, Outcome, Protocol},
    source::ebpf::{self, Degraded, requirements::Namespace},
};

/// How long a connection to ourselves may take.
const PATIENCE: TimeVal = TimeVal::new(1, 0);

/// Unconnected UDP is reported once a minute and destination: no port is used again before.
const PORT_REST: Duration = Duration::from_secs(75);

/// One of the canary's connections, and what it needs to be seen.
#[derive(Debug)]
struct Flight {
    name: &'static str,
    way: Way,
    /// As the caller writes it: an IPv4-mapped address must come out as the IPv4 address.
    address: IpAddr,
    outcome: Outcome,
    /// Hooks as in [`ebpf::hooks`], and `BTF`.
    needs: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
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
const EXIT: &str = "syscalls:sys_exit_connect";
const ENTER_SEND: &str = "syscalls:sys_enter_sendto";
const EXIT_SEND: &str = "syscalls:sys_exit_sendto";
/// Without it neither sockets nor their errors can be read.
const BTF: &str = "BTF";

/// All that must come out right.
const FLIGHTS: [Flight; 6] = {
    use {Outcome::*, Way::*};
    [
        flight("TCP over IPv4", Tcp, V4, Established, &[STATE]),
        flight("TCP over IPv6", Tcp, V6, Established, &[STATE]),
        flight(
            "TCP to a mapped address",
            Tcp,
            MAPPED,
            Established,
            &[STATE],
        ),
        flight("refused TCP", TcpToNobody, V4, Refused, &[STATE, BTF]),
        flight(
            "connected UDP",
            UdpConnected,
            V4,
            Connected,
            &[ENTER, EXIT, BTF],
        ),
        flight(
            "unconnected UDP",
            UdpSent,
            V4,
            Sent,
            &[ENTER_SEND, EXIT_SEND, BTF],
        ),
    ]
};

const fn flight(
    name: &'static str,
    way: Way,
    address: IpAddr,
    outcome: Outcome,
    needs: &'static [&'static str],
) -> Flight {
    Flight {
        name,
        way,
        address,
        outcome,
        needs,
    }
}

/// Flies as often as it is asked to.
#[derive(Debug)]
pub struct Canary {
    flights: Vec<&'static Flight>,
    /// Flights that the source can't see anyway, and why.
    grounded: Vec<String>,
    /// Receivers whose ports must not be used again yet.
    resting: VecDeque<(Instant, UdpSocket)>,
}

/// What must be reported about one flight.
#[derive(Clone, Debug)]
struct Expectation {
    name: &'static str,
    protocol: Protocol,
    source: SocketAddr,
    destination: SocketAddr,
    outcome: Outcome,
    errno: Option<u16>,
    /// Process and thread; not comparable from within another pid namespace than the kernel's own.
    ids: Option<(u32, u32)>,
    uid: u32,
    comm: Arc<str>,
    times_seen: u32,
    wrong: Option<String>,
}

/// What must be reported about all flights of one round, and what was so far.
#[derive(Clone, Debug)]
pub struct Expectations {
    expected: Vec<Expectation>,
    grounded: Vec<String>,
}

impl Canary {
    /// For a source that could not attach all of its hooks (see [`EbpfSource::degraded`](ebpf::EbpfSource::degraded)).
    pub fn new(degraded: &[Degraded]) -> Self {
        let is_there = |need: &str| {
            (need == BTF || ebpf::hooks().any(|(hook, _)| hook == need))
                && degraded.iter().all(|degraded| degraded.hook != need)
        };
        let (mut flights, mut grounded) = (Vec::new(), Vec::new());
        for flight in &FLIGHTS {
            match flight.needs.iter().find(|need| !is_there(need)) {
                None => flights.push(flight),
                Some(need) => grounded.push(format!("{}: without {need}", flight.name)),
            }
        }
        Self {
            flights,
            grounded,
            resting: VecDeque::new(),
        }
    }

    /// Makes the connections, from the calling thread; takes milliseconds, or some seconds where loopback is broken.
    pub fn fly(&mut self) -> Expectations {
        while self
            .resting
            .front()
            .is_some_and(|(since, _)| since.elapsed() > PORT_REST)
        {
            self.resting.pop_front();
        }
        let (mut expected, mut grounded) = (Vec::new(), self.grounded.clone());
        for flight in &self.flights {
            match flight.fly() {
                Ok((ends, receiver)) => {
                    expected.push(flight.expectation(ends));
                    self.resting
                        .extend(receiver.map(|socket| (Instant::now(), socket)));
                }
                Err(error) => grounded.push(format!("{}: {error}", flight.name)),
            }
        }
        Expectations { expected, grounded }
    }
}

impl Flight {
    /// Own and other end, and the receiver of a datagram. An error is the machine's, and says nothing about the source.
    fn fly(&self) -> io::Result<([SocketAddr; 2], Option<UdpSocket>)> {
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

    fn expectation(&self, ends: [SocketAddr; 2]) -> Expectation {
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

impl Expectation {
    /// Whether the event is about this flight: its destination is our own, and so is its source or its thread.
    fn is_about(&self, event: &Event) -> bool {
        event.protocol == self.protocol
            && event.destination == self.destination
            && (event.source == self.source || self.ids == Some((event.pid, event.tid)))
            // The outcome of the same connection follows.
            && event.outcome != Outcome::Pending
    }

    fn saw(&mut self, event: &Event) {
        self.times_seen += 1;
        let wrong = [
            differs("source", &event.source, &self.source),
            differs("outcome", &event.outcome, &self.outcome),
            differs("errno", &event.errno, &self.errno),
            self.ids
                .and_then(|(pid, _)| differs("pid", &event.pid, &pid)),
            self.ids
                .and_then(|(_, tid)| differs("tid", &event.tid, &tid)),
            differs("uid", &event.uid, &self.uid),
            differs("comm", &event.comm, &self.comm),
        ];
        let wrong: Vec<_> = wrong.into_iter().flatten().collect();
        if !wrong.is_empty() {
            self.wrong.get_or_insert(wrong.join(", "));
        }
    }

    fn missing(&self) -> Option<String> {
        let Self {
            name,
            destination,
            times_seen,
            wrong,
            ..
        } = self;
        match (times_seen, wrong) {
            (0, _) => Some(format!("{name} to {destination} was not seen")),
            (_, Some(wrong)) => Some(format!("{name} to {destination} came wrong: {wrong}")),
            (1, None) => None,
            (n, None) => Some(format!("{name} to {destination} came {n} times")),
        }
    }
}

fn differs<T: Debug + PartialEq>(what: &str, is: &T, expected: &T) -> Option<String> {
    (is != expected).then(|| format!("{what} is {is:?} instead of {expected:?}"))
}

impl Expectations {
    /// Compares an event; says whether it was one of the canary's.
    pub fn saw(&mut self, event: &Event) -> bool {
        let flight = self.expected.iter_mut().find(|it| it.is_about(event));
        flight.map(|it| it.saw(event)).is_some()
    }

    /// Whether all have been seen, right or wrong.
    pub fn are_all_seen(&self) -> bool {
        self.expected.iter().all(|flight| flight.times_seen > 0)
    }

    /// How many connections were made.
    pub const fn made(&self) -> usize {
        self.expected.len()
    }

    /// Flights that could not be made, or can't be seen, and why; no fault of what was flown.
    pub fn grounded(&self) -> &[String] {
        &self.grounded
    }

    /// What did not come, came wrong or came more than once; empty: all is well.
    pub fn missing(&self) -> Vec<String> {
        self.expected
            .iter()
            .filter_map(Expectation::missing)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn canary(flights: &[&'static str]) -> Canary {
        Canary {
            flights: FLIGHTS
                .iter()
                .filter(|flight| flights.contains(&flight.name))
                .collect(),
            grounded: Vec::new(),
            resting: VecDeque::new(),
        }
    }

    /// What a source that sees all reports.
    pub(super) fn right(expectation: &Expectation) -> Event {
        let (pid, tid) = expectation.ids.unwrap_or((1, 1));
        Event {
            protocol: expectation.protocol,
            source: expectation.source,
            destination: expectation.destination,
            outcome: expectation.outcome,
            errno: expectation.errno,
            pid,
            tid,
            uid: expectation.uid,
            comm: expectation.comm.clone(),
            ..Event::sample()
        }
    }

    #[test]
    fn all_that_was_flown_must_come_once() {
        let all = FLIGHTS.map(|flight| flight.name);
        let mut expectations = canary(&all).fly();
        let made = expectations.made();
        assert_eq!(
            made + expectations.grounded().len(),
            FLIGHTS.len(),
            "{:?}",
            expectations.grounded()
        );
        assert!(
            made >= 4,
            "IPv4 is everywhere: {:?}",
            expectations.grounded()
        );
        for expectation in &expectations.expected {
            assert_ne!(expectation.source.port(), 0);
            assert!(expectation.source.ip().is_loopback(), "{expectation:?}");
        }
        assert!(!expectations.are_all_seen());
        assert_eq!(expectations.missing().len(), made);
        for expectation in expectations.clone().expected {
            assert!(expectations.saw(&right(&expectation)));
        }
        assert!(expectations.are_all_seen());
        assert_eq!(expectations.missing(), [""; 0]);
        let again = right(&expectations.expected[0]);
        assert!(expectations.saw(&again));
        let [twice] = expectations.missing().try_into().unwrap();
        assert!(twice.ends_with(" came 2 times"), "{twice}");
    }

    #[test]
    fn what_comes_wrong_is_told() {
        let expectations = canary(&["refused TCP"]).fly();
        let right = right(&expectations.expected[0]);
        let check = |wrong: Event, text: &str| {
            let mut expectations = expectations.clone();
            assert!(expectations.saw(&wrong), "{text}");
            let [missing] = expectations.missing().try_into().unwrap();
            assert!(missing.contains(text), "{missing}");
        };
        let wrong = |change: fn(&mut Event)| {
            let mut event = right.clone();
            change(&mut event);
            event
        };
        check(
            wrong(|event| event.outcome = Outcome::Failed),
            "outcome is Failed instead of Refused",
        );
        check(
            wrong(|event| event.errno = None),
            "errno is None instead of Some(111)",
        );
        check(wrong(|event| event.pid += 1), "pid is ");
        check(wrong(|event| event.tid += 1), "tid is ");
        check(wrong(|event| event.uid += 1), "uid is ");
        check(
            wrong(|event| event.comm = "other".into()),
            "comm is \"other\"",
        );
        check(wrong(|event| event.source.set_port(1)), "source is ");
    }

    #[test]
    fn what_is_anothers_is_left_alone() {
        let mut expectations = canary(&["TCP over IPv4"]).fly();
        let right = right(&expectations.expected[0]);
        let others: [fn(&mut Event); 4] = [
            |event| event.destination.set_port(1),
            |event| event.protocol = Protocol::Udp,
            |event| event.outcome = Outcome::Pending,
            // Somebody else has found the open port.
            |event| {
                event.source.set_port(1);
                event.tid += 1;
            },
        ];
        for change in others {
            let mut event = right.clone();
            change(&mut event);
            assert!(!expectations.saw(&event), "{event:?}");
        }
        assert_eq!(expectations.missing().len(), 1);
        assert!(expectations.missing()[0].ends_with(" was not seen"));
    }

    #[test]
    fn what_a_source_can_not_see_is_not_flown() {
        let degraded = |hook: &str| Degraded {
            hook: hook.to_owned(),
            lost: "",
            reason: String::new(),
        };
        let names = |canary: &Canary| -> Vec<_> {
            canary.flights.iter().map(|flight| flight.name).collect()
        };
        let whole = names(&Canary::new(&[]));
        assert!(whole.contains(&"connected UDP") && whole.contains(&"refused TCP"));
        let part = Canary::new(&[degraded(EXIT)]);
        assert!(!names(&part).contains(&"connected UDP"));
        assert!(
            part.grounded
                .contains(&format!("connected UDP: without {EXIT}"))
        );
        let tcp = names(&Canary::new(&[degraded(BTF)]));
        assert_eq!(
            tcp,
            ["TCP over IPv4", "TCP over IPv6", "TCP to a mapped address"]
        );
    }

    #[test]
    fn no_destination_of_unconnected_udp_is_used_again_soon() {
        let mut canary = canary(&["unconnected UDP"]);
        let mut destinations: Vec<_> = (0..500)
            .map(|_| canary.fly().expected[0].destination)
            .collect();
        destinations.sort();
        destinations.dedup();
        assert_eq!(destinations.len(), 500);
    }
}
