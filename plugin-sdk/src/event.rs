//! What a plugin sees: the events of a batch, with the process and container of each at hand.
//! Copies nothing; the indexes into the batch's tables stay in here.

use alloc::string::String;
use core::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use crate::bindings;

/// Events that come together, at most 256.
#[derive(Clone, Debug)]
pub struct Batch(pub(crate) bindings::Batch);

impl Batch {
    /// The events, in the order in which they happened.
    pub fn events(&self) -> impl ExactSizeIterator<Item = Event<'_>> {
        let Self(batch) = self;
        batch
            .events
            .iter()
            .enumerate()
            .map(move |(index, raw)| Event { index, raw, batch })
    }

    /// The processes of all events, each once, if [`Fields::PROCESS`](crate::Fields::PROCESS) was asked for.
    pub fn processes(&self) -> &[bindings::Process] {
        &self.0.processes
    }

    /// The containers of all events, each once, if [`Fields::CONTAINER`](crate::Fields::CONTAINER) was asked for.
    pub fn containers(&self) -> &[bindings::Container] {
        &self.0.containers
    }
}

/// One connection.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    pub(crate) index: usize,
    raw: &'a bindings::Event,
    batch: &'a bindings::Batch,
}

impl<'a> Event<'a> {
    /// The peer's address. IPv4 is IPv4, also where a program reached it through an IPv6 socket.
    pub fn destination(&self) -> IpAddr {
        address(self.raw.destination)
    }

    /// The peer's port.
    pub fn destination_port(&self) -> u16 {
        self.raw.destination_port
    }

    /// The own address; unspecified where the connection failed before the kernel chose one.
    pub fn source(&self) -> IpAddr {
        address(self.raw.source)
    }

    /// The own port; 0 where the connection failed before the kernel chose one.
    pub fn source_port(&self) -> u16 {
        self.raw.source_port
    }

    /// When the connection was begun, since 1970-01-01 UTC.
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.raw.time_ns)
    }

    /// From the beginning to the outcome, when it was measured.
    pub fn latency(&self) -> Option<Duration> {
        self.raw.latency_ns.map(Duration::from_nanos)
    }

    /// What it is spoken over.
    pub fn protocol(&self) -> Protocol {
        Protocol(self.raw.protocol)
    }

    /// How it ended.
    pub fn outcome(&self) -> Outcome {
        Outcome(self.raw.outcome)
    }

    /// The errno behind the outcome (Linux numbers), where there is one.
    pub fn errno(&self) -> Option<u16> {
        Some(self.raw.errno).filter(|errno| *errno != 0)
    }

    /// What kind of event it is.
    pub fn kind(&self) -> Kind {
        Kind(self.raw.kind)
    }

    /// Thread group: what user space calls the process.
    pub fn pid(&self) -> u32 {
        self.raw.pid
    }

    /// The thread that connected.
    pub fn tid(&self) -> u32 {
        self.raw.tid
    }

    /// Effective user id.
    pub fn uid(&self) -> u32 {
        self.raw.uid
    }

    /// Effective group id.
    pub fn gid(&self) -> u32 {
        self.raw.gid
    }

    /// The process that connected; needs [`Fields::PROCESS`](crate::Fields::PROCESS).
    pub fn process(&self) -> Option<&'a bindings::Process> {
        self.batch.processes.get(self.raw.process? as usize)
    }

    /// The container that it runs in, if it does; needs [`Fields::CONTAINER`](crate::Fields::CONTAINER).
    pub fn container(&self) -> Option<&'a bindings::Container> {
        self.batch.containers.get(self.raw.container? as usize)
    }

    /// The name that the destination was looked up by, when it is known; needs [`Fields::DNAME`](crate::Fields::DNAME).
    pub fn dname(&self) -> Option<&'a str> {
        self.raw.dname.as_deref()
    }

    /// The tags of earlier plugins, each key once; needs [`Fields::TAGS`](crate::Fields::TAGS).
    pub fn tags(&self) -> &'a [(String, String)] {
        self.raw.tags.as_deref().unwrap_or_default()
    }

    /// One tag of an earlier plugin; needs [`Fields::TAGS`](crate::Fields::TAGS).
    pub fn tag(&self, key: &str) -> Option<&'a str> {
        value(self.tags(), key)
    }

    /// A field that came after version 0.1 of the contract, such as `pod.name`, `pod.namespace` and `unit`: `wit/v0.1/plugin.wit` has all
    /// keys. Needs [`Fields::EXTRA`](crate::Fields::EXTRA); the pod's labels (`pod.labels/KEY`) need [`Fields::LABELS`](crate::Fields::LABELS) too.
    pub fn extra(&self, key: &str) -> Option<&'a str> {
        value(self.raw.extra.as_deref().unwrap_or_default(), key)
    }
}

impl bindings::Process {
    /// The arguments, the program's name first; needs [`Fields::ARGS`](crate::Fields::ARGS). Empty when not known.
    pub fn args(&self) -> &[String] {
        self.args.as_deref().unwrap_or_default()
    }

    /// The ancestors, the nearest first; needs [`Fields::PARENTS`](crate::Fields::PARENTS). Empty when not known.
    pub fn parents(&self) -> &[bindings::Parent] {
        self.parents.as_deref().unwrap_or_default()
    }
}

impl bindings::Container {
    /// The labels; needs [`Fields::LABELS`](crate::Fields::LABELS).
    pub fn labels(&self) -> &[(String, String)] {
        self.labels.as_deref().unwrap_or_default()
    }

    /// One label; needs [`Fields::LABELS`](crate::Fields::LABELS).
    pub fn label(&self, key: &str) -> Option<&str> {
        value(self.labels(), key)
    }
}

pub(crate) fn value<'a>(pairs: &'a [(String, String)], key: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value.as_str())
}

fn address(ip: bindings::Ip) -> IpAddr {
    Ipv6Addr::from_bits(u128::from(ip.hi) << 64 | u128::from(ip.lo)).to_canonical()
}

/// The way back: an IPv4 address is IPv4-mapped.
pub(crate) fn ip(address: IpAddr) -> bindings::Ip {
    let bits = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let bits = Ipv6Addr::to_bits(bits);
    bindings::Ip {
        hi: (bits >> 64) as u64,
        lo: bits as u64,
    }
}

/// What kind of event it is. An open set: a plugin gets those that [`Plugin::kinds`](crate::Plugin::kinds) names.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Kind(pub u8);

impl Kind {
    /// A connection, or the attempt at one.
    pub const CONNECTION: Self = Self(1);
}

/// What a connection is spoken over: an IANA number. An open set: expect others than the constants.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Protocol(pub u8);

impl Protocol {
    /// Stream.
    pub const TCP: Self = Self(6);
    /// Datagram.
    pub const UDP: Self = Self(17);
}

/// `tcp`, `udp`, or the number.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TCP => f.pad("tcp"),
            Self::UDP => f.pad("udp"),
            Self(number) => write!(f, "{number}"),
        }
    }
}

/// How a connection ended. An open set: expect others than the constants.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Outcome(pub u8);

macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident = $number:literal $word:literal,)*) => {
        impl Outcome {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// The word for it, the same as in lightmon's output; `unknown` for one that came after this version.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* _ => "unknown" }
            }
        }
    };
}

outcomes! {
    /// TCP: the handshake is complete.
    ESTABLISHED = 1 "established",
    /// UDP: the socket has got its peer; nothing was sent yet.
    CONNECTED = 2 "connected",
    /// The peer said no.
    REFUSED = 3 "refused",
    /// The peer broke it off.
    RESET = 4 "reset",
    /// Nobody answered.
    TIMED_OUT = 5 "timed-out",
    /// No way to the host or its network.
    UNREACHABLE = 6 "unreachable",
    /// Firewall, cgroup or security module said no.
    DENIED = 7 "denied",
    /// The own address or port was in use or not available.
    ADDRESS_UNAVAILABLE = 8 "address-unavailable",
    /// Closed by its own process before an answer.
    ABORTED = 9 "aborted",
    /// Any other errno.
    FAILED = 10 "failed",
    /// TCP: no answer after a second; the same connection comes again with its outcome.
    PENDING = 11 "pending",
    /// UDP: the first datagram of a minute to this destination was sent, without connect(2).
    SENT = 12 "sent",
}

impl Outcome {
    /// Whether the connection came about.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::ESTABLISHED | Self::CONNECTED | Self::SENT)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let ip = |hi, lo| address(bindings::Ip { hi, lo }).to_string();
        assert_eq!(ip(0, 0xffff_c0a8_0101), "192.168.1.1");
        assert_eq!(
            ip(0x2001_0db8_0000_0000, 0x8000_0000_0000_0001),
            "2001:db8::8000:0:0:1"
        );
        assert_eq!(ip(0, 1), "::1");
    }

    /// Plugins get their batches from the host, but an index out of range is no reason to trap.
    #[test]
    fn indexes_out_of_range() {
        let raw = bindings::Event {
            process: Some(1),
            container: Some(u32::MAX),
            ..crate::test::event().build().0
        };
        let batch = Batch(bindings::Batch {
            processes: vec![],
            containers: vec![],
            events: vec![raw],
        });
        let event = batch.events().next().unwrap();
        assert_eq!(event.process(), None);
        assert_eq!(event.container(), None);
    }

    #[test]
    fn open_sets() {
        assert_eq!(Outcome(5).to_string(), "timed-out");
        assert_eq!(Outcome(99).to_string(), "unknown");
        assert!(Outcome::CONNECTED.is_success() && !Outcome(0).is_success());
        assert_eq!(Protocol(132).to_string(), "132");
        assert_eq!(format!("{:>4}", Protocol::TCP), " tcp");
    }
}
