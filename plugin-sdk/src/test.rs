//! Runs a plugin in its own tests: natively, without a host. Gives it what the host would give it, and no more: a field
//! that the plugin forgot to ask for is absent here too.
//!
//! ```
//! # use lightmon_plugin::{Config, Event, Plugin, Verdict};
//! # struct Mark;
//! # impl Plugin for Mark {
//! #     fn new(_: &Config) -> Result<Self, String> { Ok(Self) }
//! #     fn on_event(&mut self, e: &Event) -> Verdict { Verdict::keep().tag("port", e.destination_port().to_string()) }
//! # }
//! # lightmon_plugin::register!(Mark);
//! use lightmon_plugin::test::{Harness, event};
//!
//! let mut plugin = Harness::<Mark>::new("{}").unwrap();
//! assert_eq!(plugin.event(event().destination("[2001:db8::1]:80")), Verdict::keep().tag("port", "80"));
//! ```

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use crate::{
    Actions, Batch, Config, Fields, Outcome, Plugin, Protocol, Verdict,
    bindings::{self, Container, Parent, Process},
    register::Registered,
};

/// A plugin under test.
#[derive(Debug)]
pub struct Harness<P> {
    /// The plugin itself.
    pub plugin: P,
}

impl<P: Plugin> Harness<P> {
    /// Makes the plugin from its settings, a JSON object.
    ///
    /// # Errors
    /// What the user would see.
    pub fn new(settings: &str) -> Result<Self, String> {
        let plugin = P::new(&Config::from_json(settings)?)?;
        Ok(Self { plugin })
    }

    /// Gives it one event.
    pub fn event(&mut self, event: Sample) -> Verdict {
        let mut verdicts = self.batch([event]);
        verdicts.pop().expect("invariant: one verdict an event")
    }

    /// Gives it a batch of events; the verdicts are in the same order.
    ///
    /// # Panics
    /// When the plugin decides on an event that the batch does not have.
    pub fn batch(&mut self, events: impl IntoIterator<Item = Sample>) -> Vec<Verdict> {
        let batch = self.make_batch(events);
        let mut actions = Actions::default();
        self.plugin.on_batch(&batch, &mut actions);
        actions.verdicts(batch.0.events.len())
    }

    /// The batch as the host would make it for this plugin.
    pub fn make_batch(&self, events: impl IntoIterator<Item = Sample>) -> Batch {
        let needs = self.plugin.needs();
        let mut batch = bindings::Batch {
            processes: vec![],
            containers: vec![],
            events: vec![],
        };
        for sample in events {
            let (mut event, process, container) = sample.build();
            event.process = process
                .and_then(|process| project_process(process, needs))
                .map(|process| index(&mut batch.processes, process));
            event.container = container
                .and_then(|container| project_container(container, needs))
                .map(|container| index(&mut batch.containers, container));
            event.tags = event.tags.filter(|_| needs.contains(Fields::TAGS));
            event.dname = event.dname.filter(|_| needs.contains(Fields::DNAME));
            event.extra = event.extra.filter(|_| needs.contains(Fields::EXTRA));
            batch.events.push(event);
        }
        Batch(batch)
    }
}

/// The manifest that [`register!`](crate::register) has made.
///
/// # Panics
/// When it is no JSON, because the schema of the settings is none.
pub fn manifest<P: Registered>() -> serde_json::Value {
    serde_json::from_slice(P::MANIFEST).expect("the manifest's `config` is JSON")
}

fn index<T: PartialEq>(table: &mut Vec<T>, item: T) -> u32 {
    let at = table
        .iter()
        .position(|known| *known == item)
        .unwrap_or_else(|| {
            table.push(item);
            table.len() - 1
        });
    u32::try_from(at).expect("invariant: a test has fewer than 2^32 events")
}

fn project_process(mut process: Process, needs: Fields) -> Option<Process> {
    process.args = process.args.filter(|_| needs.contains(Fields::ARGS));
    process.parents = process.parents.filter(|_| needs.contains(Fields::PARENTS));
    needs
        .intersects(Fields::PROCESS | Fields::ARGS | Fields::PARENTS)
        .then_some(process)
}

fn project_container(mut container: Container, needs: Fields) -> Option<Container> {
    container.labels = container.labels.filter(|_| needs.contains(Fields::LABELS));
    needs
        .intersects(Fields::CONTAINER | Fields::LABELS)
        .then_some(container)
}

/// An event to build upon: root's `curl -s https://example.org/`, started by bash, reaches 93.184.215.14:443 by TCP
/// in 1.234 ms; no container, no tags.
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
            kind: 1,
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
    event: bindings::Event,
    process: Option<Process>,
    container: Option<Container>,
}

impl Sample {
    /// The peer, `192.0.2.1:443` or `[2001:db8::1]:443`.
    ///
    /// # Panics
    /// When it is no address with a port.
    pub fn destination(mut self, address: &str) -> Self {
        let address = socket(address);
        self.event.destination = ip(address.ip());
        self.event.destination_port = address.port();
        self
    }

    /// The own end, in the same form.
    ///
    /// # Panics
    /// When it is no address with a port.
    pub fn source(mut self, address: &str) -> Self {
        let address = socket(address);
        self.event.source = ip(address.ip());
        self.event.source_port = address.port();
        self
    }

    /// When it was begun, since 1970-01-01 UTC.
    pub fn time(mut self, time: Duration) -> Self {
        self.event.time_ns = u64::try_from(time.as_nanos()).expect("a time before 2554");
        self
    }

    /// How long it took.
    pub fn latency(mut self, latency: Option<Duration>) -> Self {
        self.event.latency_ns = latency.map(|it| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX));
        self
    }

    /// What it is spoken over.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.event.protocol = protocol.0;
        self
    }

    /// How it ended, with its errno or 0.
    pub fn outcome(mut self, outcome: Outcome, errno: u16) -> Self {
        (self.event.outcome, self.event.errno) = (outcome.0, errno);
        self
    }

    /// Process id, also of the thread.
    pub fn pid(mut self, pid: u32) -> Self {
        (self.event.pid, self.event.tid) = (pid, pid);
        self
    }

    /// User id, and the name if it has one.
    pub fn user(mut self, uid: u32, name: &str) -> Self {
        self.event.uid = uid;
        self.in_process(|process| process.user = name.into())
    }

    /// Name of the process.
    pub fn comm(self, comm: &str) -> Self {
        self.in_process(|process| process.comm = comm.into())
    }

    /// Path of the program.
    pub fn path(self, path: &str) -> Self {
        self.in_process(|process| process.path = Some(path.into()))
    }

    /// Arguments, the program's name first.
    pub fn args<T: Into<String>>(self, args: impl IntoIterator<Item = T>) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        self.in_process(|process| process.args = Some(args))
    }

    /// Ancestors, the nearest first.
    pub fn parents(self, parents: impl IntoIterator<Item = Parent>) -> Self {
        let parents = parents.into_iter().collect();
        self.in_process(|process| process.parents = Some(parents))
    }

    /// A process that was gone before it could be asked: only its user and name are known.
    pub fn short_lived(self) -> Self {
        self.in_process(|process| {
            (process.path, process.args, process.parents) = (None, None, None)
        })
    }

    /// No process at all.
    pub fn no_process(mut self) -> Self {
        self.process = None;
        self
    }

    /// The container.
    pub fn container(mut self, id: &str, name: &str, image: &str) -> Self {
        self.container = Some(Container {
            id: id.into(),
            name: name.into(),
            image: image.into(),
            labels: None,
        });
        self
    }

    /// Adds a label to the container, which is made if there is none.
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

    /// Adds a tag, as an earlier plugin would.
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        let tags = self.event.tags.get_or_insert_default();
        tags.push((key.into(), value.into()));
        self
    }

    /// The name that the destination was looked up by.
    pub fn dname(mut self, name: &str) -> Self {
        self.event.dname = Some(name.into());
        self
    }

    /// Adds a field that came after version 0.1.
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
        .unwrap_or_else(|_| panic!("`{address}` is no address with a port"))
}

fn ip(address: IpAddr) -> bindings::Ip {
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
