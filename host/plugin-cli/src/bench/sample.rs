//! Generates events that cost as much as real ones: 15 strings and lists in each, with recurring processes and containers.

use std::{sync::Arc, time::Duration};

use lightmon_event::{Container, Event, Outcome, Parent, Process, Protocol};

const EVENTS: usize = 512;
const PROCESSES: usize = 32;
const CONTAINERS: usize = 8;

/// Returns the same events each time.
pub(super) fn events() -> Vec<Event> {
    let processes: Vec<Arc<Process>> = (0..PROCESSES).map(|n| Arc::new(process(n))).collect();
    let containers: Vec<Arc<Container>> = (0..CONTAINERS).map(|n| Arc::new(container(n))).collect();
    (0..EVENTS)
        .map(|n| {
            // Neighbouring events have different processes, as on a busy host.
            let place = n * 37 % EVENTS;
            event(
                n,
                &processes[place % PROCESSES],
                &containers[place % CONTAINERS],
            )
        })
        .collect()
}

fn event(n: usize, process: &Arc<Process>, container: &Arc<Container>) -> Event {
    // Invariant of the literals: they are addresses and a time.
    let destination = match n % 5 {
        0 => format!("[2001:db8::{:x}]", n % 64),
        _ => format!("198.51.100.{}", n % 64),
    };
    let port = [443, 443, 53, 8080][n % 4];
    let parse = |address: String| address.parse().expect("invariant: an address");
    let start: jiff::Timestamp = "2026-11-23T15:04:05Z".parse().expect("invariant: a time");
    Event {
        time: start + jiff::SignedDuration::from_millis(n as i64),
        kernel_time: Duration::from_millis(1_000_000 + n as u64),
        protocol: if port == 53 {
            Protocol::Udp
        } else {
            Protocol::Tcp
        },
        source: parse(format!("192.0.2.10:{}", 32_768 + n)),
        destination: parse(format!("{destination}:{port}")),
        outcome: if n.is_multiple_of(9) {
            Outcome::Refused
        } else {
            Outcome::Established
        },
        errno: n.is_multiple_of(9).then_some(111),
        latency: Some(Duration::from_micros(100 + n as u64)),
        pid: process.pid,
        tid: process.pid,
        uid: 1000,
        gid: 1000,
        user: Some("user1".into()),
        comm: process.comm.clone(),
        process: process.clone(),
        container: (n % 7 < 4).then(|| container.clone()),
        exec_id: 0,
        container_provenance: None,
        unit: None,
        peer: None,
        cgroup_id: 4711,
        tags: match n % 2 {
            0 => vec![("country".to_owned(), "NL".to_owned())],
            _ => Vec::new(),
        },
        line: None,
    }
}

fn process(n: usize) -> Process {
    let comm: Arc<str> = format!("worker-{n}").into();
    Process {
        pid: 1000 + n as u32,
        started: Some(Duration::from_secs(n as u64)),
        comm: comm.clone(),
        path: Some(format!("/usr/lib/service/{comm}").into()),
        args: Some(Arc::new([
            comm,
            "--config".into(),
            "/etc/service.yaml".into(),
            format!("--shard={n}").into(),
        ])),
        args_cut: false,
        parents: Arc::new([Parent {
            pid: 1,
            started: None,
            comm: "init".into(),
            path: Some("/sbin/init".into()),
        }]),
        provenance: None,
    }
}

fn container(n: usize) -> Container {
    Container {
        id: format!("{n:064x}").into(),
        name: Some(format!("service-{n}").into()),
        image: Some("registry.example/service:1.4.2".into()),
        labels: ["app", "team", "tier"]
            .map(|key| (key.into(), format!("{key}-{n}").into()))
            .into(),
        ..Container::default()
    }
}
