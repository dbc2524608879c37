//! The event: one connection with all that is known about it, as it goes through the pipeline.
//! Knows no stage. Each border (kernel record, WIT record, JSON) converts events in a file of its own.
//!
//! Shared parts ([`Process`], [`Container`]) are behind [`Arc`]: a thousand connections of one process share one [`Process`].

use std::{borrow::Cow, fmt, net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;

#[cfg(any(test, feature = "testing"))]
use crate::Parent;
use crate::{Container, Outcome, Process, Protocol, Provenance, Unit};

/// One connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Wall-clock time at which the connection began.
    pub time: Timestamp,
    /// The same time on the kernel's clock (CLOCK_BOOTTIME), since boot.
    pub kernel_time: Duration,
    /// The transport protocol.
    pub protocol: Protocol,
    /// Source. Unspecified address and port 0 if the connection failed before the kernel chose them.
    pub source: SocketAddr,
    /// Destination. An IPv4-mapped IPv6 address is stored as IPv4 (see [`Event::canonical`]).
    pub destination: SocketAddr,
    /// How it ended.
    pub outcome: Outcome,
    /// The errno behind the outcome, if there is one.
    pub errno: Option<u16>,
    /// Time from the beginning to the outcome.
    pub latency: Option<Duration>,
    /// Process id: the kernel's thread group id (tgid).
    pub pid: u32,
    /// Id of the thread that connected: the kernel's pid.
    pub tid: u32,
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Name of the user, if the uid has a name.
    pub user: Option<Arc<str>>,
    /// Name of the thread that connected.
    pub comm: Arc<str>,
    /// The process. Has only pid and name if it had ended before more could be read.
    pub process: Arc<Process>,
    /// The container that the process runs in, if any.
    pub container: Option<Arc<Container>>,
    /// Identifies the executable image by the address of its arguments (`mm->arg_start`), which differs after each exec and is the
    /// same in a forked child. Tells whether what is read later belongs to the same program; 0 if not known.
    pub exec_id: u64,
    /// How it is known that the process runs in that container.
    pub container_provenance: Option<Provenance>,
    /// The systemd unit that the process runs in, if any. Only outside of containers.
    pub unit: Option<Arc<Unit>>,
    /// The container at the destination, if peers are resolved and the container is known.
    pub peer: Option<Arc<Container>>,
    /// cgroup v2 id of the thread; 0 if not known.
    pub cgroup_id: u64,
    /// Tags of plugins, in the order in which they were set. No key occurs twice.
    pub tags: Vec<(String, String)>,
    /// The whole line to write, if a plugin has set it.
    pub line: Option<String>,
}

/// (uid_t)-1, which stands for no user in the kernel, and here for an id that is not known.
pub const NO_ID: u32 = u32::MAX;

/// The id of a connection. See [`Event::id`].
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

impl Event {
    /// Identifies the connection until the next boot: no thread begins two connections in the same nanosecond.
    pub fn id(&self) -> Id {
        Id {
            began: self.kernel_time,
            thread: self.tid,
        }
    }

    /// Converts an IPv4-mapped IPv6 address to the IPv4 address that is on the wire. Other addresses stay as they are.
    pub fn canonical(address: SocketAddr) -> SocketAddr {
        SocketAddr::new(address.ip().to_canonical(), address.port())
    }

    /// The user's name, or else the uid; `None` if neither is known.
    pub fn user_name(&self) -> Option<Cow<'_, str>> {
        match (&self.user, self.uid) {
            (Some(name), _) => Some(Cow::Borrowed(name)),
            (None, NO_ID) => None,
            (None, uid) => Some(Cow::Owned(uid.to_string())),
        }
    }

    /// Adds a tag, or replaces the value of the tag with that key.
    pub fn tag(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let (key, value) = (key.into(), value.into());
        match self.tags.iter_mut().find(|(k, _)| *k == key) {
            Some(tag) => tag.1 = value,
            None => self.tags.push((key, value)),
        }
    }

    /// An event with nearly every field set, for tests: root's `curl` to 93.184.215.14:443, established.
    #[cfg(any(test, feature = "testing"))]
    pub fn sample() -> Self {
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
            exec_id: 0,
            container_provenance: Some(Provenance::Exec),
            unit: None,
            peer: None,
            cgroup_id: 4711,
            tags: vec![("country".into(), "US".into())],
            line: None,
        }
    }
}
