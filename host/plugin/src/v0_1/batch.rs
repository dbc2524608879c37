//! Converts events to the records of the contract: each process and each container once. Copies no text.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{Batch, Container, Event, Fields, Ip, PackedEvent, Parent, Process, extra};

/// The `kind` of a connection. All events are connections.
pub(crate) const CONNECTION: u8 = 1;

/// The tables of one batch, without the fields that the plugin does not need.
#[derive(Default)]
pub(crate) struct BatchTables<'a> {
    processes: Vec<Process<'a>>,
    containers: Vec<Container<'a>>,
    events: Vec<PackedEvent<'a>>,
}

impl<'a> BatchTables<'a> {
    pub(crate) fn new(
        events: impl ExactSizeIterator<Item = &'a lightmon_event::Event>,
        needs: Fields,
    ) -> Self {
        let needs = Needs::from(needs);
        let mut tables = Self {
            events: Vec::with_capacity(events.len()),
            ..Self::default()
        };
        // The event or container that each row was made from.
        let mut processes: Vec<&lightmon_event::Event> = Vec::new();
        let mut containers: Vec<&Arc<lightmon_event::Container>> = Vec::new();
        for event in events {
            let process = needs.process.then(|| {
                find_or(&mut processes, event, is_same_process, || {
                    tables.processes.push(process(event, needs));
                })
            });
            let container = event.container.as_ref().filter(|_| needs.container);
            let container = container.map(|shared| {
                find_or(&mut containers, shared, Arc::ptr_eq, || {
                    tables.containers.push(container_record(shared, needs));
                })
            });
            tables.events.push(PackedEvent(Event {
                process,
                container,
                tags: list(&event.tags, needs.tags),
                extra: needs
                    .extra
                    .then(|| extra::pairs(event, needs.labels))
                    .flatten(),
                ..scalars(event)
            }));
        }
        tables
    }

    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch {
            processes: &self.processes,
            containers: &self.containers,
            events: &self.events,
        }
    }
}

/// [`Fields`] and the fields that they imply.
#[derive(Clone, Copy)]
struct Needs {
    process: bool,
    args: bool,
    parents: bool,
    container: bool,
    labels: bool,
    tags: bool,
    extra: bool,
}

impl From<Fields> for Needs {
    fn from(fields: Fields) -> Self {
        let has = |field| (fields & field) == field;
        let (args, parents) = (has(Fields::ARGS), has(Fields::PARENTS));
        let labels = has(Fields::LABELS);
        Self {
            process: has(Fields::PROCESS) || args || parents,
            args,
            parents,
            container: has(Fields::CONTAINER) || labels,
            labels,
            tags: has(Fields::TAGS),
            extra: has(Fields::EXTRA),
        }
    }
}

/// The index of the row that was made from `item`. If there is none, `make` makes it. A batch has few rows, and the latest are the
/// most likely ones, so the search starts at the end.
fn find_or<'a, T>(
    made: &mut Vec<&'a T>,
    item: &'a T,
    is_same: impl Fn(&T, &T) -> bool,
    make: impl FnOnce(),
) -> u32 {
    let index = made.iter().rposition(|other| is_same(other, item));
    let index = index.unwrap_or_else(|| {
        make();
        made.push(item);
        made.len() - 1
    });
    index as u32
}

/// The row of a process also holds two fields of the event: the user, and the name of the thread that connected.
fn is_same_process(a: &lightmon_event::Event, b: &lightmon_event::Event) -> bool {
    Arc::ptr_eq(&a.process, &b.process) && a.user == b.user && a.comm == b.comm
}

fn process(event: &lightmon_event::Event, needs: Needs) -> Process<'_> {
    let process = &*event.process;
    let parents = list(&process.parents, needs.parents);
    Process {
        user: event.user.as_deref().unwrap_or_default(),
        comm: &event.comm,
        path: process.path.as_deref(),
        args: process.args.as_deref().filter(|_| needs.args),
        parents: parents.map(|parents| parents.iter().map(parent).collect()),
    }
}

fn parent(parent: &lightmon_event::Parent) -> Parent<'_> {
    Parent {
        pid: parent.pid,
        comm: &parent.comm,
        path: parent.path.as_deref(),
    }
}

fn container_record(container: &lightmon_event::Container, needs: Needs) -> Container<'_> {
    Container {
        id: &container.id,
        name: container.name.as_deref().unwrap_or_default(),
        image: container.image.as_deref().unwrap_or_default(),
        labels: list(&container.labels, needs.labels),
    }
}

/// `None` in place of an empty list: an empty list costs a call into the plugin.
fn list<T>(items: &[T], is_needed: bool) -> Option<&[T]> {
    (is_needed && !items.is_empty()).then_some(items)
}

/// The event with its fields of fixed size.
fn scalars(event: &lightmon_event::Event) -> Event<'_> {
    Event {
        time: event.time.as_nanosecond().clamp(0, u64::MAX.into()) as u64,
        latency: event.latency.map(nanoseconds),
        source: ip(event.source.ip()),
        destination: ip(event.destination.ip()),
        pid: event.pid,
        tid: event.tid,
        uid: event.uid,
        gid: event.gid,
        process: None,
        container: None,
        dname: None,
        tags: None,
        extra: None,
        source_port: event.source.port(),
        destination_port: event.destination.port(),
        errno: event.errno.unwrap_or(0),
        kind: CONNECTION,
        protocol: event.protocol.number(),
        outcome: event.outcome as u8,
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn ip(address: IpAddr) -> Ip {
    let address = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let bits = address.to_bits();
    Ip {
        hi: (bits >> 64) as u64,
        lo: bits as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Fields {
        Fields::ARGS | Fields::PARENTS | Fields::LABELS | Fields::TAGS | Fields::EXTRA
    }

    #[test]
    fn fields_that_are_not_needed_are_left_out() {
        let mut event = lightmon_event::Event::sample();
        let container = Arc::make_mut(event.container.as_mut().expect("has a container"));
        container.runtime = Some("docker".into());
        let tables = BatchTables::new([&event].into_iter(), Fields::default());
        assert!(tables.processes.is_empty() && tables.containers.is_empty());
        let row = &tables.events[0].0;
        assert_eq!((row.process, row.container, row.tags), (None, None, None));
        assert!(row.extra.is_none());
        assert_eq!((row.source.hi, row.source.lo), (0, 0xffff_c0a8_0164));
        assert_eq!((row.source_port, row.destination_port), (34567, 443));
        assert_eq!(row.time, 1_795_446_245_123_456_789);
        assert_eq!(row.latency, Some(1_234_000));
        assert_eq!((row.kind, row.protocol, row.outcome), (1, 6, 1));

        let tables = BatchTables::new([&event].into_iter(), Fields::PROCESS | Fields::CONTAINER);
        assert_eq!(tables.processes[0].path, Some("/usr/bin/curl"));
        assert!(tables.processes[0].args.is_none() && tables.processes[0].parents.is_none());
        assert_eq!(tables.containers[0].name, "web-server");
        assert!(tables.containers[0].labels.is_none());

        let tables = BatchTables::new([&event].into_iter(), all());
        assert_eq!(tables.processes[0].args.map(<[_]>::len), Some(3));
        assert_eq!(tables.processes[0].parents.as_ref().map(Vec::len), Some(1));
        assert_eq!(tables.containers[0].labels.map(<[_]>::len), Some(1));
        assert_eq!(tables.events[0].0.tags.map(<[_]>::len), Some(1));
        assert_eq!(tables.events[0].0.extra.as_ref().map(Vec::len), Some(1));
    }

    #[test]
    fn shared_processes_and_containers_have_one_row() {
        let one = lightmon_event::Event::sample();
        let other_user = lightmon_event::Event {
            user: Some("www-data".into()),
            ..one.clone()
        };
        let other_process = lightmon_event::Event {
            process: Arc::new((*one.process).clone()),
            container: None,
            ..one.clone()
        };
        let events = [&one, &other_user, &one.clone(), &other_process];
        let tables = BatchTables::new(events.into_iter(), all());
        let indexes: Vec<_> = tables
            .events
            .iter()
            .map(|PackedEvent(row)| (row.process, row.container))
            .collect();
        assert_eq!(
            indexes,
            [
                (Some(0), Some(0)),
                (Some(1), Some(0)),
                (Some(0), Some(0)),
                (Some(2), None)
            ]
        );
        assert_eq!(tables.processes[1].user, "www-data");
    }

    #[test]
    fn addresses() {
        for (address, hi, lo) in [
            ("0.0.0.0", 0, 0xffff_0000_0000),
            ("10.1.2.3", 0, 0xffff_0a01_0203),
            ("::1", 0, 1),
            ("2001:db8::2", 0x2001_0db8_0000_0000, 2),
        ] {
            let ip = ip(address.parse().expect("an address"));
            assert_eq!((ip.hi, ip.lo), (hi, lo), "{address}");
        }
    }
}
