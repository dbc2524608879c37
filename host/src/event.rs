//! The event: one connection with all that is known about it, as it travels through the pipeline.
//! Knows no stage; each border (kernel record, WIT record, JSON) converts from or to it in a file of its own.
//!
//! Shared parts ([`Process`], [`Container`]) are behind [`Arc`]: a thousand connections of one process hold it once.

use std::{fmt, net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::notice::Notice;

/// What a source brings, in the order in which it happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A connection, whose `process`, `user` and `container` a live source leaves for the enrich stage.
    Connection(Event),
    /// A connection of lightmon itself: counted, never reported.
    Own(Event),
    /// A process is made: nothing to report, but to remember.
    Fork(Fork),
    /// A process starts a program: likewise.
    Exec(Exec),
    /// A cgroup is made: its id stands for this path from now on.
    Cgroup {
        /// cgroup v2 id.
        id: u64,
        /// From the root of the hierarchy.
        path: Vec<u8>,
    },
    /// The source could not bring all that there was.
    Lost(Lost),
    /// A recording's notice: of another run, and passed on as it is.
    Notice(Notice),
}

/// What a source knows that it has missed, between two looks at its counters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lost {
    /// The look before.
    pub since: Timestamp,
    /// The look that found it.
    pub until: Timestamp,
    /// Connections that are not reported.
    pub connections: u64,
    /// Starts of processes and programs: their connections may lack path and arguments.
    pub processes: u64,
}

/// A process has made another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Fork {
    /// When, since boot.
    pub time: Duration,
    /// The new process, which runs its maker's program; `parents` holds the maker's pid only.
    pub process: Process,
    /// See [`Event::image`]; of both.
    pub image: u64,
}

/// A process has started a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Exec {
    /// When, since boot.
    pub time: Duration,
    /// The process with its new program; `parents` holds at most the parent's pid.
    pub process: Process,
    /// cgroup v2 id; 0 when not known.
    pub cgroup_id: u64,
    /// How often processes of this system were moved to another cgroup until then, where that is counted.
    pub moves: Option<Moves>,
    /// See [`Event::image`].
    pub image: u64,
}

/// A count of moves between cgroups: as long as it stays the same, no process has changed its cgroups.
pub type Moves = NonZeroU32;

/// One connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Wall-clock time at which the connection was begun.
    pub time: Timestamp,
    /// The same moment on the kernel's clock (CLOCK_BOOTTIME), since boot.
    pub kernel_time: Duration,
    /// What it is spoken over.
    pub protocol: Protocol,
    /// Own end; unspecified address and port 0 where the connection failed before the kernel chose them.
    pub source: SocketAddr,
    /// Peer. An IPv4-mapped IPv6 address has become its IPv4 address (see [`Event::canonical`]).
    pub destination: SocketAddr,
    /// How it ended.
    pub outcome: Outcome,
    /// The errno behind the outcome, where there is one.
    pub errno: Option<u16>,
    /// From the beginning to the outcome.
    pub latency: Option<Duration>,
    /// Thread group (what user space calls the process).
    pub pid: u32,
    /// The thread that connected.
    pub tid: u32,
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Name of the user, if the uid has one.
    pub user: Option<Arc<str>>,
    /// Name of the thread that connected.
    pub comm: Arc<str>,
    /// The process; only its pid and name when it was gone before it could be asked.
    pub process: Arc<Process>,
    /// The container that the process runs in, if it does.
    pub container: Option<Arc<Container>>,
    /// Where the kernel has put the arguments of the program that the process runs: another place after each exec, the same
    /// in a fork. Tells whether what is read later is still the same program; 0 when not known.
    pub image: u64,
    /// How it is known that the process is in that container.
    pub container_provenance: Option<Provenance>,
    /// The systemd unit that the process runs in, if it does, and not in a container.
    pub unit: Option<Arc<Unit>>,
    /// The container that the destination's address belongs to, when that was asked for and is known.
    pub peer: Option<Arc<Container>>,
    /// cgroup v2 id of the thread; 0 when not known.
    pub cgroup_id: u64,
    /// What plugins have tagged, in order; a key occurs once.
    pub tags: Vec<(String, String)>,
    /// The whole output line, when a plugin has written it.
    pub line: Option<String>,
}

/// A process: what it runs, and where it came from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// Thread group.
    pub pid: u32,
    /// When it started, since boot; with the pid it names a process for good. Not known without BTF.
    pub started: Option<Duration>,
    /// Name of the process (at most 15 bytes).
    pub comm: Arc<str>,
    /// Path of the program, as seen in the process's own mount namespace.
    pub path: Option<Arc<str>>,
    /// Arguments, the program's name first.
    pub args: Option<Arc<[Arc<str>]>>,
    /// Whether there are more arguments than `args` holds.
    pub args_cut: bool,
    /// Ancestors, the parent first; siblings share them.
    pub parents: Arc<[Parent]>,
    /// How path and arguments are known; `None`: they are not.
    pub provenance: Option<Provenance>,
}

/// How something is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Provenance {
    /// Seen when it started, by the kernel program.
    Exec,
    /// Read later, from /proc or the cgroup's folder.
    Proc,
}

impl Provenance {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Proc => "proc",
        }
    }
}

/// An ancestor of a process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parent {
    /// Thread group.
    pub pid: u32,
    /// When it started, since boot.
    pub started: Option<Duration>,
    /// Name of the process.
    pub comm: Arc<str>,
    /// Path of its program.
    pub path: Option<Arc<str>>,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// The full id, 64 hex digits with Docker.
    pub id: Arc<str>,
    /// Name, when the runtime has told it.
    pub name: Option<Arc<str>>,
    /// Image, when the runtime has told it.
    pub image: Option<Arc<str>>,
    /// The image's content, `sha256:` and 64 hex digits, when the runtime has told it.
    pub image_digest: Option<Arc<str>>,
    /// Who runs it: `docker`, `podman`, or what a CRI runtime calls itself, such as `containerd` and `cri-o`.
    pub runtime: Option<Arc<str>>,
    /// The Kubernetes pod that it is part of.
    pub pod: Option<Arc<Pod>>,
    /// Labels, sorted by key.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
}

/// A Kubernetes pod, seen from one of its containers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    /// Name of the pod.
    pub name: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its uid, which no other pod ever has; empty when not known.
    pub uid: Arc<str>,
    /// What the pod calls the container; empty for the sandbox that holds the pod's namespaces.
    pub container: Arc<str>,
    /// Labels of the pod, sorted by key.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
}

/// A systemd unit, by the name of its cgroup.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unit {
    /// Such as `nginx.service`; empty when the process is directly in the slice.
    pub name: Arc<str>,
    /// The slice around it, such as `system.slice`.
    pub slice: Arc<str>,
}

impl Container {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&Arc<str>> {
        let found = self
            .labels
            .binary_search_by(|(it, _)| (**it).cmp(key))
            .ok()?;
        Some(&self.labels[found].1)
    }

    /// The compose project that it was started by (docs.docker.com/reference/compose-file, labels).
    pub fn compose_project(&self) -> Option<&Arc<str>> {
        self.label("com.docker.compose.project")
    }

    /// What the compose project calls it.
    pub fn compose_service(&self) -> Option<&Arc<str>> {
        self.label("com.docker.compose.service")
    }
}

/// What a connection is spoken over.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Protocol {
    /// Stream.
    Tcp,
    /// Datagram.
    Udp,
    /// Any other, by its IANA number.
    Other(u8),
}

impl Protocol {
    /// From the IANA number.
    pub const fn from_number(number: u8) -> Self {
        match number {
            6 => Self::Tcp,
            17 => Self::Udp,
            other => Self::Other(other),
        }
    }

    /// The IANA number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Other(number) => number,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.pad("tcp"),
            Self::Udp => f.pad("udp"),
            Self::Other(number) => write!(f, "{number}"),
        }
    }
}

macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $text:literal,)*) => {
        /// How a connection ended. The number is the plugins' (`wit/`), the text everybody else's.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[repr(u8)]
        pub enum Outcome { $($(#[$doc])* $name = $code,)* }

        impl Outcome {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

outcomes! {
    /// TCP: the handshake is complete.
    Established = 1 "established",
    /// UDP: the socket has got its peer; nothing was sent yet.
    Connected = 2 "connected",
    /// The peer said no.
    Refused = 3 "refused",
    /// The peer broke it off.
    Reset = 4 "reset",
    /// Nobody answered.
    TimedOut = 5 "timed-out",
    /// No way to the host or its network.
    Unreachable = 6 "unreachable",
    /// Firewall, cgroup or security module said no.
    Denied = 7 "denied",
    /// The own address or port was in use or not available.
    AddressUnavailable = 8 "address-unavailable",
    /// Closed by its own process before an answer.
    Aborted = 9 "aborted",
    /// Any other errno.
    Failed = 10 "failed",
    /// TCP: no answer after a second; the outcome follows in an event with the same [`Event::id`].
    Pending = 11 "pending",
    /// UDP: the first datagram of a minute to this destination was sent, without connect(2).
    Sent = 12 "sent",
}

impl Outcome {
    /// What an errno (Linux numbers, include/uapi/asm-generic/errno.h) means for a connection that has failed.
    pub const fn from_errno(errno: u16) -> Self {
        match errno {
            111 => Self::Refused,                       // ECONNREFUSED
            104 => Self::Reset,                         // ECONNRESET
            110 => Self::TimedOut,                      // ETIMEDOUT
            100 | 101 | 112 | 113 => Self::Unreachable, // ENETDOWN ENETUNREACH EHOSTDOWN EHOSTUNREACH
            1 | 13 => Self::Denied,                     // EPERM EACCES
            98 | 99 => Self::AddressUnavailable,        // EADDRINUSE EADDRNOTAVAIL
            103 => Self::Aborted,                       // ECONNABORTED
            _ => Self::Failed,
        }
    }

    /// Whether the connection came about.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Established | Self::Connected | Self::Sent)
    }

    /// The outcome of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|outcome| outcome.as_str() == word)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// See [`Event::id`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Id {
    pub(crate) began: Duration,
    pub(crate) thread: u32,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.began.as_nanos(), self.thread)
    }
}

/// NUL-ended arguments, as the kernel keeps them, as texts. They need not be UTF-8.
pub fn split_args(bytes: &[u8]) -> Arc<[Arc<str>]> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    bytes
        .split(|byte| *byte == 0)
        .map(|arg| String::from_utf8_lossy(arg).into())
        .collect()
}

impl Event {
    /// Names the connection, from this boot of the kernel to the next: a thread begins no two at the same nanosecond.
    pub fn id(&self) -> Id {
        Id {
            began: self.kernel_time,
            thread: self.tid,
        }
    }

    /// Turns an IPv4-mapped IPv6 address into the IPv4 address that is on the wire; leaves others as they are.
    pub fn canonical(address: SocketAddr) -> SocketAddr {
        SocketAddr::new(address.ip().to_canonical(), address.port())
    }

    /// Adds a tag, or replaces the one of that key.
    pub fn tag(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let (key, value) = (key.into(), value.into());
        match self.tags.iter_mut().find(|(k, _)| *k == key) {
            Some(tag) => tag.1 = value,
            None => self.tags.push((key, value)),
        }
    }

    /// An event with every field filled, for tests of the stages: root's `curl` to 93.184.215.14:443, established.
    #[cfg(test)]
    pub(crate) fn sample() -> Self {
        Self {
            time: "2026-11-23T15:04:05.123456789Z"
                .parse()
                .expect("invariant: a valid time"),
            kernel_time: Duration::from_nanos(13_898_485_459_656),
            protocol: Protocol::Tcp,
            source: "192.168.1.100:34567"
                .parse()
                .expect("invariant: a valid address"),
            destination: "93.184.215.14:443"
                .parse()
                .expect("invariant: a valid address"),
            outcome: Outcome::Established,
            errno: None,
            latency: Some(Duration::from_micros(1234)),
            pid: 1234,
            tid: 1235,
            uid: 0,
            gid: 0,
            user: Some("root".into()),
            comm: "curl".into(),
            process: Arc::new(Process {
                pid: 1234,
                started: Some(Duration::from_secs(13_898)),
                comm: "curl".into(),
                path: Some("/usr/bin/curl".into()),
                args: Some(Arc::new([
                    "curl".into(),
                    "-s".into(),
                    "https://example.org/".into(),
                ])),
                args_cut: false,
                parents: Arc::new([Parent {
                    pid: 1000,
                    started: Some(Duration::from_secs(12_000)),
                    comm: "bash".into(),
                    path: Some("/usr/bin/bash".into()),
                }]),
                provenance: Some(Provenance::Exec),
            }),
            container: Some(Arc::new(Container {
                id: "3f4e8d0c5b6a79881726354433221100ffeeddccbbaa99887766554433221100".into(),
                name: Some("web-server".into()),
                image: Some("nginx:1.27".into()),
                labels: vec![("app".into(), "web".into())],
                ..Container::default()
            })),
            image: 0,
            container_provenance: Some(Provenance::Exec),
            unit: None,
            peer: None,
            cgroup_id: 4711,
            tags: vec![("country".into(), "US".into())],
            line: None,
        }
    }
}
