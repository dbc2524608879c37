//! Events for tests: a realistic connection, and methods that change it.

use std::{net::SocketAddr, time::Duration};

use crate::{
    Kind, Outcome, Protocol,
    bindings::{self, Container, Parent, Process},
    event::ip,
};

/// An event to start from: `curl -s https://example.org/`, run by root from bash, connects to 93.184.215.14:443 over TCP
/// in 1.234 ms. It has no container and no tags.
pub fn event() -> Sample {
    Sample {
        event: bindings::Event {
            time_ns: 1_795_446_245_123_456_789, // 2026-11-23T15:04:05.123456789Z
            latency_ns: Some(1_234_000),
            source: ip([192, 168, 1, 100].into()),
            destination: ip([93, 184, 215, 14].into()),
            pid: 1234,
            tid: 1235,
            uid: 0,
            gid: 0,
            process: None,
            container: None,
            dname: None,
            tags: None,
            extra: None,
            source_port: 34567,
            destination_port: 443,
            errno: 0,
            kind: Kind::CONNECTION.0,
            protocol: Protocol::TCP.0,
            outcome: Outcome::ESTABLISHED.0,
        },
        process: Some(Process {
            user: "root".into(),
            comm: "curl".into(),
            path: Some("/usr/bin/curl".into()),
            args: Some(vec![
                "curl".into(),
                "-s".into(),
                "https://example.org/".into(),
            ]),
            parents: Some(vec![Parent {
                pid: 1000,
                comm: "bash".into(),
                path: Some("/usr/bin/bash".into()),
            }]),
        }),
        container: None,
    }
}

/// An event for a test, built from [`event`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Sample {
    pub(super) event: bindings::Event,
    process: Option<Process>,
    container: Option<Container>,
}

impl Sample {
    /// Sets the destination, such as `192.0.2.1:443` or `[2001:db8::1]:443`.
    ///
    /// # Panics
    /// If the text is not an address with a port.
    pub fn destination(mut self, address: &str) -> Self {
        let address = socket(address);
        self.event.destination = ip(address.ip());
        self.event.destination_port = address.port();
        self
    }

    /// Sets the source, such as `192.0.2.1:443` or `[2001:db8::1]:443`.
    ///
    /// # Panics
    /// If the text is not an address with a port.
    pub fn source(mut self, address: &str) -> Self {
        let address = socket(address);
        self.event.source = ip(address.ip());
        self.event.source_port = address.port();
        self
    }

    /// Sets when the connection began: time since 1970-01-01 UTC.
    pub fn time(mut self, time: Duration) -> Self {
        self.event.time_ns = u64::try_from(time.as_nanos()).expect("a time before 2554");
        self
    }

    /// Sets the time from the beginning of the connection to its outcome.
    pub fn latency(mut self, latency: Option<Duration>) -> Self {
        self.event.latency_ns = latency.map(|it| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX));
        self
    }

    /// Sets the transport protocol.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.event.protocol = protocol.0;
        self
    }

    /// Sets the outcome and its errno; 0 means no error.
    pub fn outcome(mut self, outcome: Outcome, errno: u16) -> Self {
        (self.event.outcome, self.event.errno) = (outcome.0, errno);
        self
    }

    /// Sets the kind of the event.
    pub fn kind(mut self, kind: Kind) -> Self {
        self.event.kind = kind.0;
        self
    }

    /// Sets the process id and the thread id.
    pub fn pid(mut self, pid: u32) -> Self {
        (self.event.pid, self.event.tid) = (pid, pid);
        self
    }

    /// Sets the user id and the user name; an empty name means that the uid has none.
    pub fn user(mut self, uid: u32, name: &str) -> Self {
        self.event.uid = uid;
        self.in_process(|process| process.user = name.into())
    }

    /// Sets the name of the process.
    pub fn comm(self, comm: &str) -> Self {
        self.in_process(|process| process.comm = comm.into())
    }

    /// Sets the path of the program.
    pub fn path(self, path: &str) -> Self {
        self.in_process(|process| process.path = Some(path.into()))
    }

    /// Sets the arguments, the program's name first.
    pub fn args<T: Into<String>>(self, args: impl IntoIterator<Item = T>) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        self.in_process(|process| process.args = Some(args))
    }

    /// Sets the ancestors, the nearest first.
    pub fn parents(self, parents: impl IntoIterator<Item = Parent>) -> Self {
        let parents = parents.into_iter().collect();
        self.in_process(|process| process.parents = Some(parents))
    }

    /// Removes path, arguments and ancestors, as for a process that ended before lightmon could read them.
    pub fn short_lived(self) -> Self {
        self.in_process(|process| {
            (process.path, process.args, process.parents) = (None, None, None)
        })
    }

    /// Removes the process.
    pub fn no_process(mut self) -> Self {
        self.process = None;
        self
    }

    /// Sets the container, without labels.
    pub fn container(mut self, id: &str, name: &str, image: &str) -> Self {
        self.container = Some(Container {
            id: id.into(),
            name: name.into(),
            image: image.into(),
            labels: None,
        });
        self
    }

    /// Adds a label to the container; creates a container if there is none.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        let container = self.container.get_or_insert_with(|| Container {
            id: "3f4e8d0c5b6a79881726354433221100ffeeddccbbaa99887766554433221100".into(),
            name: "web-server".into(),
            image: "nginx:1.27".into(),
            labels: None,
        });
        let labels = container.labels.get_or_insert_default();
        labels.push((key.into(), value.into()));
        self
    }

    /// Adds a tag, as an earlier plugin does.
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        let tags = self.event.tags.get_or_insert_default();
        tags.push((key.into(), value.into()));
        self
    }

    /// Sets the host name that was resolved to the destination address.
    pub fn dname(mut self, name: &str) -> Self {
        self.event.dname = Some(name.into());
        self
    }

    /// Adds a field that came after version 0.1 of the contract.
    pub fn extra(mut self, key: &str, value: &str) -> Self {
        let extra = self.event.extra.get_or_insert_default();
        extra.push((key.into(), value.into()));
        self
    }

    fn in_process(mut self, change: impl FnOnce(&mut Process)) -> Self {
        let process = self.process.get_or_insert_with(|| Process {
            user: String::new(),
            comm: String::new(),
            path: None,
            args: None,
            parents: None,
        });
        change(process);
        self
    }

    pub(crate) fn build(self) -> (bindings::Event, Option<Process>, Option<Container>) {
        (self.event, self.process, self.container)
    }
}

fn socket(address: &str) -> SocketAddr {
    address
        .parse()
        .unwrap_or_else(|_| panic!("`{address}` is not an address with a port"))
}
