//! Generates events and notices for property tests. Hostile text is more likely than in real events.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
};

use crate::{
    Container, Event, Lost, LostIn, Notice, Outcome, Parent, Pod, Process, Protocol, Provenance,
    Unit,
};

/// Any text, often with characters that are special to a terminal, a table or JSON.
pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z/]{0,12}",
        any::<String>(),
        vec(
            prop_oneof![
                Just("\n"),
                Just("\r"),
                Just("\t"),
                Just("\0"),
                Just("\x1b[2J"),
                Just("\u{9b}1m"),
                Just("\x7f"),
                Just("|"),
                Just("\u{202e}"),
                Just("\u{2066}"),
                Just("\u{200b}"),
                Just("\u{2028}"),
                Just("\u{e0041}"),
                Just("\""),
                Just("\\"),
                Just(" | 12:00:00 | root "),
                Just("日本"),
                Just("e\u{301}"),
                Just("👩\u{200d}🚀"),
                Just("a b"),
            ],
            0..8
        )
        .prop_map(|parts| parts.concat()),
    ]
}

fn shared() -> impl Strategy<Value = Arc<str>> {
    text().prop_map(Into::into)
}

fn nanoseconds() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_nanos)
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
        Just(IpAddr::from([0; 4])),
        Just(IpAddr::from([0; 16])),
    ];
    (ip, any::<u16>()).prop_map(|address| Event::canonical(address.into()))
}

fn process() -> impl Strategy<Value = Process> {
    let parent = (
        any::<u32>(),
        option::of(nanoseconds()),
        shared(),
        option::of(shared()),
    )
        .prop_map(|(pid, started, comm, path)| Parent {
            pid,
            started,
            comm,
            path,
        });
    (
        option::of(nanoseconds()),
        shared(),
        option::of(shared()),
        option::of(vec(shared(), 0..4)),
        any::<bool>(),
        vec(parent, 0..3),
        provenance(),
    )
        .prop_map(
            |(started, comm, path, args, args_cut, parents, provenance)| Process {
                pid: 0,
                started,
                comm,
                path,
                args: args.map(Into::into),
                args_cut,
                parents: parents.into(),
                provenance,
            },
        )
}

fn provenance() -> impl Strategy<Value = Option<Provenance>> {
    option::of(proptest::sample::select(
        &[Provenance::Exec, Provenance::Proc][..],
    ))
}

fn container() -> impl Strategy<Value = Container> {
    let some = || {
        text()
            .prop_filter("an unknown text is None", |text| !text.is_empty())
            .prop_map(Arc::from)
    };
    (
        some(),
        option::of(some()),
        option::of(shared()),
        (option::of(shared()), option::of(shared())),
        option::of(pod()),
        btree_map(shared(), shared(), 0..3),
    )
        .prop_map(
            |(id, name, image, (image_digest, runtime), pod, labels)| Container {
                id,
                name,
                image,
                image_digest,
                runtime,
                pod: pod.map(Arc::new),
                labels: labels.into_iter().collect(),
            },
        )
}

fn pod() -> impl Strategy<Value = Pod> {
    let labels = btree_map(shared(), shared(), 0..3);
    (shared(), shared(), shared(), shared(), labels).prop_map(
        |(name, namespace, uid, container, labels)| Pod {
            name,
            namespace,
            uid,
            container,
            labels: labels.into_iter().collect(),
        },
    )
}

/// A peer with what JSON has of it: no digest and no labels.
fn peer() -> impl Strategy<Value = Container> {
    container().prop_map(|container| Container {
        image_digest: None,
        labels: Vec::new(),
        ..container
    })
}

fn unit() -> impl Strategy<Value = Unit> {
    (shared(), shared())
        .prop_filter("an unknown text is None", |(name, slice)| {
            !name.is_empty() || !slice.is_empty()
        })
        .prop_map(|(name, slice)| Unit { name, slice })
}

fn time() -> impl Strategy<Value = Timestamp> {
    let seconds = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
    (seconds, 0..1_000_000_000).prop_map(|(second, nanosecond)| {
        Timestamp::new(second, nanosecond).unwrap_or(Timestamp::MAX)
    })
}

/// A notice of any kind.
pub fn notice() -> impl Strategy<Value = Notice> {
    let place = prop_oneof![Just(LostIn::Kernel), Just(LostIn::Output)];
    let fields = prop::collection::btree_map(text(), text(), 0..4);
    prop_oneof![
        (place, time(), time(), any::<u64>(), any::<u64>()).prop_map(
            |(place, since, until, connections, processes)| Notice::Lost {
                place,
                lost: Lost {
                    since,
                    until,
                    connections,
                    processes,
                },
            }
        ),
        (time(), text()).prop_map(|(time, reason)| Notice::Blind { time, reason }),
        time().prop_map(|time| Notice::Sighted { time }),
        (time(), text(), text(), fields).prop_map(|(time, plugin, report, fields)| {
            Notice::Report {
                time,
                plugin,
                report,
                fields: fields.into_iter().collect(),
            }
        }),
    ]
}

/// An event as the identity stage and plugins may leave it, without a plugin's line.
pub fn event() -> impl Strategy<Value = Event> {
    let protocol = prop_oneof![Just(6), Just(17), any::<u8>()].prop_map(Protocol::from_number);
    let ids = (
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
        any::<u64>(),
    );
    (
        (time(), nanoseconds(), protocol, address(), address()),
        (
            proptest::sample::select(Outcome::ALL),
            option::of(any::<u16>()),
            option::of(nanoseconds()),
        ),
        ids,
        (
            option::of(shared()),
            shared(),
            process(),
            option::of(container()),
            provenance(),
            option::of(unit()),
            option::of(peer()),
        ),
        btree_map(text(), text(), 0..3),
    )
        .prop_map(
            |(
                (time, kernel_time, protocol, source, destination),
                (outcome, errno, latency),
                ids,
                who,
                tags,
            )| {
                let (pid, tid, uid, gid, cgroup_id) = ids;
                let (user, comm, process, container, container_provenance, unit, peer) = who;
                Event {
                    time,
                    kernel_time,
                    protocol,
                    source,
                    destination,
                    outcome,
                    errno,
                    latency,
                    pid,
                    tid,
                    uid,
                    gid,
                    user,
                    comm,
                    process: Arc::new(Process { pid, ..process }),
                    container: container.map(Arc::new),
                    exec_id: 0,
                    container_provenance,
                    unit: unit.map(Arc::new),
                    peer: peer.map(Arc::new),
                    cgroup_id,
                    tags: tags.into_iter().collect(),
                    line: None,
                }
            },
        )
}
