use std::{net::IpAddr, sync::Arc};

use lightmon_event::{Container, Process};
use proptest::prelude::*;

use super::*;

fn expr(text: &str) -> Expr {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// The sample goes from `/usr/bin/curl` in container `web-server` to 93.184.215.14:443.
fn check(text: &str, expected: bool) {
    assert_eq!(expr(text).matches(&Event::sample()), expected, "{text}");
}

#[test]
fn each_key() {
    check("dport=443", true);
    check("dport=34567", false); // the source port
    check("dip=93.184.215.14", true);
    check("dip=93.184.0.0/16", true);
    check("dip=0.0.0.0/0", true);
    check("dip=::/0", false);
    check("dip=192.168.1.100", false); // the source address
    check("protocol=tcp", true);
    check("protocol=udp", false);
    check("uid=0", true);
    check("uid=1000", false);
    check("pid=1234", true);
    check("pid=1235", false); // the thread
    check("pid=1000", false); // the parent
    check("keyword=bin/curl", true);
    check("keyword=Curl", false);
    check("keyword='https://example.org'", false); // an argument
    check("keyword=bash", false); // the parent
    check("container=web", true);
    check("container=3f4e8d0c5b6a", false); // the id
    check("container=nginx", false); // the image
}

#[test]
fn keyword_matches_path_and_both_names() {
    let mut event = Event::sample();
    event.comm = "worker-thread".into();
    event.process = Arc::new(Process {
        comm: "postgres".into(),
        path: Some("/opt/pg/17/server".into()),
        ..Process::default()
    });
    for keyword in ["worker", "postgres", "pg/17"] {
        assert!(
            expr(&format!("keyword={keyword}")).matches(&event),
            "{keyword}"
        );
    }
    assert!(!expr("keyword=curl").matches(&event));
    event.process = Arc::new(Process::default());
    assert!(!expr("keyword=pg").matches(&event));
}

#[test]
fn container_needs_a_name() {
    let mut event = Event::sample();
    event.container = Some(Arc::new(Container {
        id: "web".into(),
        ..Container::default()
    }));
    assert!(!expr("container=web").matches(&event));
    event.container = None;
    assert!(!expr("container=web").matches(&event));
}

#[test]
fn mapped_addresses_are_ipv4_on_both_sides() {
    let mut event = Event::sample();
    for destination in ["10.0.0.1:80", "[::ffff:10.0.0.1]:80"] {
        event.destination = destination.parse().unwrap();
        for dip in [
            "10.0.0.1",
            "::ffff:10.0.0.1",
            "10.0.0.0/8",
            "::ffff:10.0.0.0/104",
            "::ffff:0:0/96",
        ] {
            assert!(
                expr(&format!("dip={dip}")).matches(&event),
                "{dip} {destination}"
            );
        }
        for dip in ["::/0", "::ffff:0:0/95", "::ffff:11.0.0.0/104", "::10.0.0.1"] {
            assert!(
                !expr(&format!("dip={dip}")).matches(&event),
                "{dip} {destination}"
            );
        }
    }
}

#[test]
fn and_binds_tighter_than_or() {
    check("dport=443 || dport=1 && dip=10.0.0.1", true);
    check("dport=1 && dip=10.0.0.1 || dport=443", true);
    check("dport=443 && dip=10.0.0.1 || dport=1", false);
    check("dport=1; dport=443 && keyword=curl", true);
    check("dport=1; dport=443 && keyword=wget", false);
    check("", false);
}

const VALUES: [(Key, &[&str]); 7] = [
    (Key::Dport, &["53", "80", "443"]),
    (
        Key::Dip,
        &[
            "10.0.0.1",
            "10.0.0.0/8",
            "10.128.0.0/9",
            "0.0.0.0/0",
            "fd00::1",
            "fd00::/64",
            "::/0",
        ],
    ),
    (Key::Protocol, &["tcp", "udp"]),
    (Key::Uid, &["0", "1000"]),
    (Key::Pid, &["1", "10", "100"]),
    (Key::Keyword, &["nginx", "bin/", "worker", "x y"]),
    (Key::Container, &["redis", "-1", "nginx"]),
];

prop_compose! {
    pub(crate) fn any_event()(
        address in prop::sample::select(vec!["10.0.0.1", "::ffff:10.0.0.1", "10.200.0.9", "8.8.8.8", "fd00::1", "fd00::2", "fe80::1"]),
        port in prop::sample::select(vec![53_u16, 80, 443]),
        protocol in prop::sample::select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Other(0)]),
        uid in prop::sample::select(vec![0, 1000, 10_000]),
        pid in prop::sample::select(vec![1, 10, 11]),
        path in prop::option::of(prop::sample::select(vec!["/usr/sbin/nginx", "/opt/x y"])),
        comm in prop::sample::select(vec!["nginx", "worker", ""]),
        name in prop::option::of(prop::sample::select(vec!["redis-1", "nginx", "db"])),
    ) -> Event {
        let mut event = Event::sample();
        event.destination = (address.parse::<IpAddr>().unwrap(), port).into();
        (event.protocol, event.uid, event.pid) = (protocol, uid, pid);
        event.comm = comm.into();
        event.process = Arc::new(Process { path: path.map(Arc::from), ..Process::default() });
        event.container = Some(Arc::new(Container { name: name.map(Arc::from), ..Container::default() }));
        event
    }
}

prop_compose! {
    pub(crate) fn any_condition()(key in 0..VALUES.len(), value in any::<prop::sample::Index>()) -> (&'static str, &'static str) {
        let (key, values) = VALUES[key];
        (key.as_str(), values[value.index(values.len())])
    }
}

/// Evaluates a condition by its text alone, without the types.
fn naive(event: &Event, key: &str, value: &str) -> bool {
    let bits = |address: &str| match address.parse::<IpAddr>().unwrap().to_canonical() {
        IpAddr::V4(address) => format!("4 {:032b}", address.to_bits()),
        IpAddr::V6(address) => format!("6 {:0128b}", address.to_bits()),
    };
    match key {
        "dport" => event.destination.port().to_string() == value,
        "dip" => {
            let (network, length) = value.split_once('/').unwrap_or((value, "128"));
            let network = bits(network);
            let length = 2 + length.parse::<usize>().unwrap();
            let length = length.min(network.len());
            bits(&event.destination.ip().to_string()).get(..length) == network.get(..length)
        }
        "protocol" => event.protocol.to_string() == value,
        "uid" => event.uid.to_string() == value,
        "pid" => event.pid.to_string() == value,
        "keyword" => {
            let path = event.process.path.as_deref().unwrap_or("");
            format!("{path}\0{}\0{}", event.process.comm, event.comm).contains(value)
        }
        _ => {
            let mut name = event.container.iter().flat_map(|container| &container.name);
            name.any(|name| name.contains(value))
        }
    }
}

proptest! {
    #[test]
    fn decides_as_the_naive_evaluation_does(
        event in any_event(),
        groups in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any_condition(), 1..4), 1..3), 0..3),
        space in " {0,2}",
        quote in prop::sample::select(vec!["'", "\""]),
    ) {
        let texts: Vec<String> = groups.iter().map(|group| {
            let conjunctions: Vec<String> = group.iter().map(|conditions| {
                let conditions: Vec<String> = conditions.iter()
                    .map(|(key, value)| format!("{key}{space}={quote}{value}{quote}"))
                    .collect();
                conditions.join(&format!("{space}&&{space}"))
            }).collect();
            conjunctions.join(&format!("{space}||{space}"))
        }).collect();
        let text = texts.join(&format!("{space};{space}"));
        let expected = groups.iter().any(|group| group.iter().any(|conditions| {
            conditions.iter().all(|(key, value)| naive(&event, key, value))
        }));
        prop_assert_eq!(expr(&text).matches(&event), expected, "{}", text);
    }
}
