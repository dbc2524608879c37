//! The input events of all benchmarks.

use std::{sync::Arc, time::Duration};

use bench_guest::PORT;
use lightmon_event::{Container, Event, Outcome, Parent, Process, Protocol, Provenance};

/// Events of eight processes in four containers to 32 addresses, with fifteen texts and lists each. Every sixteenth event is a DNS
/// request.
pub(crate) fn event(n: usize) -> Event {
    let process = |n: usize| {
        Arc::new(Process {
            pid: 4000 + n as u32,
            started: Some(Duration::from_nanos(13_898_485_459_656)),
            comm: "nginx".into(),
            path: Some("/usr/sbin/nginx".into()),
            args: Some(Arc::new(
                ["nginx:", "worker", "process", "-g", "daemon off;"].map(Into::into),
            )),
            parents: Arc::new([Parent {
                pid: 1,
                started: Some(Duration::from_nanos(10_000_000)),
                comm: "systemd".into(),
                path: Some("/usr/lib/systemd/systemd".into()),
            }]),
            provenance: Some(Provenance::Exec),
            args_cut: false,
        })
    };
    let container = |n: usize| {
        Arc::new(Container {
            id: format!("{n:064x}").into(),
            name: Some("shop-frontend-1".into()),
            image: Some("registry.example/shop/frontend:1.27.3".into()),
            labels: vec![("com.docker.compose.project".into(), "shop".into())],
            ..Container::default()
        })
    };
    thread_local! {
        static PROCESSES: std::cell::OnceCell<Vec<Arc<Process>>> = const { std::cell::OnceCell::new() };
        static CONTAINERS: std::cell::OnceCell<Vec<Arc<Container>>> = const { std::cell::OnceCell::new() };
    }
    let process =
        PROCESSES.with(|it| it.get_or_init(|| (0..8).map(process).collect())[n % 8].clone());
    let container =
        CONTAINERS.with(|it| it.get_or_init(|| (0..4).map(container).collect())[n % 4].clone());
    Event {
        time: jiff::Timestamp::from_nanosecond(1_795_446_245_123_456_789 + n as i128)
            .expect("a time"),
        kernel_time: Duration::from_nanos(17_107_084_769_658 + n as u64),
        protocol: Protocol::Tcp,
        source: ([10, 0, 0, 2], 40_000 + n as u16).into(),
        destination: (
            [(n % 32) as u8 * 7 + 1, 0, 113, 7],
            if n.is_multiple_of(16) { PORT } else { 443 },
        )
            .into(),
        outcome: Outcome::Established,
        errno: None,
        latency: Some(Duration::from_micros(1234)),
        pid: process.pid,
        tid: process.pid,
        uid: 33,
        gid: 33,
        user: Some("www-data".into()),
        comm: "nginx".into(),
        process,
        container: Some(container),
        exec_id: 0,
        container_provenance: Some(Provenance::Exec),
        unit: None,
        peer: None,
        cgroup_id: 7,
        tags: vec![("team".into(), "payments".into())],
        line: None,
    }
}
