//! What the users of the original lightmon write behind `-exclude` does here what it did there.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use lightmon_event::{Container, Event, Outcome, Process, Protocol, Stats};
use lightmon_filter::Exclude;

/// A connection like no other in the tables: what a row does not name, no expression matches.
fn event() -> Event {
    Event {
        time: "2026-01-02T03:04:05Z".parse().unwrap(),
        kernel_time: Duration::from_secs(1),
        protocol: Protocol::Tcp,
        source: "172.16.0.2:40000".parse().unwrap(),
        destination: "203.0.113.9:65000".parse().unwrap(),
        outcome: Outcome::Established,
        errno: None,
        latency: None,
        pid: 10,
        tid: 10,
        uid: 0,
        gid: 0,
        user: None,
        comm: "other".into(),
        process: Arc::new(Process::default()),
        container: None,
        exec_id: 0,
        container_provenance: None,
        unit: None,
        peer: None,
        cgroup_id: 0,
        tags: Vec::new(),
        line: None,
    }
}

fn to(dip: &str, dport: u16) -> Event {
    let destination = SocketAddr::new(dip.parse::<IpAddr>().unwrap(), dport);
    Event {
        destination,
        ..event()
    }
}

fn dport(dport: u16) -> Event {
    to("203.0.113.9", dport)
}

fn dip(dip: &str) -> Event {
    to(dip, 65000)
}

fn path(path: &str) -> Event {
    let process = Process {
        path: Some(path.into()),
        ..Process::default()
    };
    Event {
        process: Arc::new(process),
        ..event()
    }
}

fn container(name: &str) -> Event {
    let container = Container {
        name: Some(name.into()),
        ..Container::default()
    };
    Event {
        container: Some(Arc::new(container)),
        ..event()
    }
}

fn check(text: &str, event: Event, excluded: bool) {
    let exclude = Exclude::parse([text]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(exclude.matches(&event), excluded, "{text}");
    let (mut batch, stats) = (vec![event], Stats::default());
    exclude.retain(&mut batch, &stats);
    assert_eq!(batch.is_empty(), excluded, "{text}");
    assert_eq!(
        stats.excluded_host.load(Relaxed),
        u64::from(excluded),
        "{text}"
    );
}

#[test]
fn keys() {
    check("dport=80", dport(80), true);
    check("dport=80", dport(443), false);
    check("dip=\"10.0.0.1\"", dip("10.0.0.1"), true);
    check("dip=\"10.0.0.1\"", dip("10.0.0.2"), false);
    check("dip=\"192.168.1.0/24\"", dip("192.168.1.100"), true);
    check("dip=\"192.168.1.0/24\"", dip("10.0.0.1"), false);
    check("dip='fd00::/8'", dip("fd12:3456::1"), true);
    check("dip='fd00::/8'", dip("fe80::1"), false);
    check("dip='192.168.1.1'", dip("::ffff:192.168.1.1"), true);
    check("dip='0:0:0:0:0:0:0:1'", dip("::1"), true);
    check("keyword=\"nginx\"", path("/usr/sbin/nginx"), true);
    check(
        "keyword=\"nginx\"",
        Event {
            comm: "nginx".into(),
            ..event()
        },
        true,
    );
    check("keyword=\"nginx\"", path("/usr/sbin/apache"), false);
    check("container=\"redis\"", container("my-redis-1"), true);
    check("container=\"redis\"", container("postgres"), false);
    check("container=\"redis\"", event(), false);
}

#[test]
fn groups() {
    check("dip=\"192.168.1.0/24\";dport=53", to("8.8.8.8", 53), true);
    let event = Event {
        destination: dport(9000).destination,
        ..path("/usr/sbin/nginx")
    };
    check(
        "dport=80;dip=\"192.168.1.1\";keyword=\"nginx\"",
        event,
        true,
    );
    check("dport=80; dip='192.168.1.1'", to("192.168.1.1", 443), true);
    check(
        "keyword=\"nginx\";keyword=\"mysql\"",
        path("/usr/sbin/mysqld"),
        true,
    );
    check(
        "container=\"nginx\";container=\"redis\"",
        container("my-redis-1"),
        true,
    );
}

#[test]
fn and() {
    let text = "dip=\"10.0.0.1\" && dport=80; dip=\"10.0.0.1\" && dport=443";
    check(text, to("10.0.0.1", 443), true);
    check(text, to("10.0.0.1", 22), false);
    check("dport=80&&dip=\"10.0.0.1\"", to("10.0.0.1", 80), true);
    check("dport=80&&dip=\"10.0.0.1\"", to("10.0.0.2", 80), false);
}

#[test]
fn or() {
    check("keyword='qcloud'||dport='53'", dport(53), true);
    check(
        "dport=1 || dport=2 && dip=10.0.0.1",
        to("10.9.9.9", 1),
        true,
    );
    check(
        "dport=1 || dport=2 && dip=10.0.0.1",
        to("10.9.9.9", 2),
        false,
    );
    check("dport=80 || dport=81", dport(81), true);
    check("dport=80||dport=81", dport(81), true);
    check(
        "dport=82 || dip='127.0.0.1' && dport=80",
        to("127.0.0.1", 80),
        true,
    );
    check("dip='127.0.0.1/32' || dport=83", dport(83), true);
}

#[test]
fn values_and_spaces() {
    for text in [
        "dport='80'",
        "dport=\"80\"",
        "dport=80",
        "dport = 80",
        " dport=80 ",
        "dport=80;",
        "dport=80 ;; ",
    ] {
        check(text, dport(80), true);
        check(text, dport(81), false);
    }
    check("keyword=\"a;b\"", path("/opt/a;b/x"), true);
    check("keyword=\"a;b\"", path("/opt/b/x"), false);
    check("keyword='a && b || c'", path("/opt/a && b || c"), true);
    check("keyword='x=y' || dport=80", path("/opt/x=y"), true);
    check("keyword='x=y' || dport=80", dport(80), true);
}

#[test]
fn blank_excludes_nothing() {
    for text in ["", " ", "\n", ";"] {
        check(text, dport(80), false);
        assert!(Exclude::parse([text]).unwrap().is_empty());
    }
}

#[test]
fn repeated_expressions_exclude_what_any_of_them_matches() {
    let exclude = Exclude::parse(["dport=80", "dip=10.0.0.1"]).unwrap();
    assert!(exclude.matches(&dport(80)));
    assert!(exclude.matches(&dip("10.0.0.1")));
    assert!(!exclude.matches(&event()));
}

#[test]
fn expressions_that_the_original_ignored_are_errors() {
    let texts = [
        "dport=99999",
        "dport=",
        "dip=10.0.0.0/33",
        "dip=nonsense",
        "dip=127.0.0.300",
        "dprot=80",
        "dport=80 &&",
        "&& dport=80",
        "keyword=\"x",
        "keyword=''",
        "=80",
        "dport",
        "dport!=80",
        "dport>80",
        "(dport=80)",
        "dport=80,443",
    ];
    let errors = texts.map(|text| Exclude::parse([text]).expect_err(text).to_string());
    insta::assert_snapshot!(errors.join("\n"), @r#"
    exclude expression: port out of range
      dport=99999
            ^^^^^ expected a port, 0 to 65535
    exclude expression: value missing
      dport=
            ^ expected a port, 0 to 65535
    exclude expression: prefix length out of range
      dip=10.0.0.0/33
                   ^^ expected a prefix length, 0 to 32
    exclude expression: not an address
      dip=nonsense
          ^^^^^^^^ expected an address or a network, such as 10.0.0.0/8
    exclude expression: not an address
      dip=127.0.0.300
          ^^^^^^^^^^^ expected an address or a network, such as 10.0.0.0/8
    exclude expression: unknown key
      dprot=80
      ^^^^^ did you mean dport?
    exclude expression: condition missing
      dport=80 &&
                 ^ expected a condition, such as dport=80
    exclude expression: condition missing
      && dport=80
      ^^ expected a condition, such as dport=80
    exclude expression: quote not closed
      keyword="x
              ^ expected another " behind the value
    exclude expression: empty text would exclude everything
      keyword=''
              ^^ expected a part of the name, such as "nginx"
    exclude expression: key missing
      =80
      ^ expected dport, dip, protocol, uid, pid, keyword or container
    exclude expression: `=` missing
      dport
           ^ expected `=` and a value
    exclude expression: comparisons other than `=` are not in the language (yet)
      dport!=80
           ^^ expected `=` and a value
    exclude expression: comparisons other than `=` are not in the language (yet)
      dport>80
           ^ expected `=` and a value
    exclude expression: parentheses are not in the language (yet)
      (dport=80)
      ^ expected a condition, such as dport=80
    exclude expression: lists are not in the language (yet)
      dport=80,443
              ^ expected `&&`, `||`, `;` or the end
    "#);
}
