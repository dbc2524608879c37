//! The events of a batch, each with its process and container. Copies nothing: an [`Event`] borrows from its [`Batch`].

use alloc::string::String;
use core::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use crate::bindings;

/// The events that lightmon delivers in one call, at most 256.
#[derive(Clone, Debug)]
pub struct Batch(pub(crate) bindings::Batch);

impl Batch {
    /// The events, oldest first.
    pub fn events(&self) -> impl ExactSizeIterator<Item = Event<'_>> {
        let Self(batch) = self;
        batch
            .events
            .iter()
            .enumerate()
            .map(move |(index, raw)| Event { index, raw, batch })
    }

    /// The processes of all events, each once; needs [`Fields::PROCESS`](crate::Fields::PROCESS).
    pub fn processes(&self) -> &[bindings::Process] {
        &self.0.processes
    }

    /// The containers of all events, each once; needs [`Fields::CONTAINER`](crate::Fields::CONTAINER).
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
    /// The destination address. An IPv4 address is `IpAddr::V4`, even if the program used an IPv6 socket.
    pub fn destination(&self) -> IpAddr {
        address(self.raw.destination)
    }

    /// The destination port.
    pub fn destination_port(&self) -> u16 {
        self.raw.destination_port
    }

    /// The source address; unspecified if the connection failed before the kernel chose one.
    pub fn source(&self) -> IpAddr {
        address(self.raw.source)
    }

    /// The source port; 0 if the connection failed before the kernel chose one.
    pub fn source_port(&self) -> u16 {
        self.raw.source_port
    }

    /// When the connection began: time since 1970-01-01 UTC.
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.raw.time_ns)
    }

    /// Time from the beginning of the connection to its outcome; none if it was not measured.
    pub fn latency(&self) -> Option<Duration> {
        self.raw.latency_ns.map(Duration::from_nanos)
    }

    /// The transport protocol.
    pub fn protocol(&self) -> Protocol {
        Protocol(self.raw.protocol)
    }

    /// How the connection ended.
    pub fn outcome(&self) -> Outcome {
        Outcome(self.raw.outcome)
    }

    /// The Linux errno that caused the outcome; none if there was no error.
    pub fn errno(&self) -> Option<u16> {
        Some(self.raw.errno).filter(|errno| *errno != 0)
    }

    /// The kind of the event.
    pub fn kind(&self) -> Kind {
        Kind(self.raw.kind)
    }

    /// Process id (the thread group id of the kernel).
    pub fn pid(&self) -> u32 {
        self.raw.pid
    }

    /// Id of the thread that connected.
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

    /// The container of the process; none outside of containers. Needs [`Fields::CONTAINER`](crate::Fields::CONTAINER).
    pub fn container(&self) -> Option<&'a bindings::Container> {
        self.batch.containers.get(self.raw.container? as usize)
    }

    /// The host name that was resolved to the destination address, if known; needs [`Fields::DNAME`](crate::Fields::DNAME).
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

    /// A field that was added after version 0.1 of the contract, such as `pod.name`, `pod.namespace` and `unit`.
    /// `wit/v0.1/plugin.wit` lists all keys. Needs [`Fields::EXTRA`](crate::Fields::EXTRA). Labels of the pod
    /// (`pod.labels/KEY`) need [`Fields::LABELS`](crate::Fields::LABELS) too.
    pub fn extra(&self, key: &str) -> Option<&'a str> {
        value(self.raw.extra.as_deref().unwrap_or_default(), key)
    }
}

impl bindings::Process {
    /// The arguments, the program's name first; needs [`Fields::ARGS`](crate::Fields::ARGS). Empty if not known.
    pub fn args(&self) -> &[String] {
        self.args.as_deref().unwrap_or_default()
    }

    /// The ancestors, the nearest first; needs [`Fields::PARENTS`](crate::Fields::PARENTS). Empty if not known.
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

/// Converts an address to the contract's form, in which an IPv4 address is IPv4-mapped.
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

/// The kind of an event. Later versions may add kinds; a plugin receives only those that
/// [`Plugin::kinds`](crate::Plugin::kinds) returns.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Kind(pub u8);

impl Kind {
    /// A connection or a connection attempt.
    pub const CONNECTION: Self = Self(1);
}

/// A transport protocol, by its IANA number. Expect numbers other than the constants.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Protocol(pub u8);

impl Protocol {
    /// Transmission Control Protocol.
    pub const TCP: Self = Self(6);
    /// User Datagram Protocol.
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

/// How a connection ended. Later versions may add outcomes: expect numbers other than the constants.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Outcome(pub u8);

macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident = $number:literal $word:literal,)*) => {
        impl Outcome {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// The word for the outcome in lightmon's output; `unknown` for a number that this version does not know.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* _ => "unknown" }
            }
        }
    };
}

outcomes! {
    /// TCP: the handshake is complete.
    ESTABLISHED = 1 "established",
    /// UDP: connect(2) set the destination of the socket; no datagram was sent yet.
    CONNECTED = 2 "connected",
    /// The destination refused the connection.
    REFUSED = 3 "refused",
    /// The destination reset the connection.
    RESET = 4 "reset",
    /// The destination did not answer in time.
    TIMED_OUT = 5 "timed-out",
    /// There is no route to the host or its network.
    UNREACHABLE = 6 "unreachable",
    /// A firewall, a cgroup program or a security module denied the connection.
    DENIED = 7 "denied",
    /// The source address or port was in use or not available.
    ADDRESS_UNAVAILABLE = 8 "address-unavailable",
    /// The process closed the socket before an answer arrived.
    ABORTED = 9 "aborted",
    /// Any other errno.
    FAILED = 10 "failed",
    /// TCP: no answer after one second. A second event reports the outcome of the same connection.
    PENDING = 11 "pending",
    /// UDP: the process sent a datagram without connect(2), the first one to this destination within a minute.
    SENT = 12 "sent",
}

impl Outcome {
    /// Whether the connection succeeded.
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

    /// A wrong index from the host must not make the plugin trap.
    #[test]
    fn an_index_out_of_range_is_none() {
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
    fn unknown_numbers_are_accepted() {
        assert_eq!(Outcome(5).to_string(), "timed-out");
        assert_eq!(Outcome(99).to_string(), "unknown");
        assert!(Outcome::CONNECTED.is_success() && !Outcome(0).is_success());
        assert_eq!(Protocol(132).to_string(), "132");
        assert_eq!(format!("{:>4}", Protocol::TCP), " tcp");
    }
}
