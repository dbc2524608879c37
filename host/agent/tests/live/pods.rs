//! Pods of a real containerd, in each way in which a container can connect: started before and after lightmon, by exec, from the
//! network of the pod and of the node, two containers of a pod, short-lived, many at once, and while containerd restarts.

use std::{collections::HashSet, thread};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    containerd::Containerd,
    cri::{IMAGE, Network, Pod},
    lightmon::Lightmon,
    turn,
};

/// Containers that run one command, one after the other.
const SHORT_LIVED: usize = 200;

/// Containers that start at once.
const AT_ONCE: usize = 50;

/// Connects to port 9 of the address, where nobody listens, so the connection is refused.
fn connect(address: &str) -> String {
    format!("nc -w 5 {address} 9; true")
}

/// The same, and goes on.
fn connect_and_stay(address: &str) -> String {
    format!("{}; sleep 1000000", connect(address))
}

fn uid(number: usize) -> String {
    format!("1f0c7d5e-{number:04}-4a4b-8c8d-000000000001")
}

#[track_caller]
fn check(event: &Value, pod: &str, uid: &str, container: &str, id: &str) {
    assert_eq!(event["container"], container, "{event}");
    assert_eq!(event["containerId"], id, "{event}");
    assert_eq!(event["containerImage"], IMAGE, "{event}");
    assert_eq!(event["containerRuntime"], "containerd", "{event}");
    assert_eq!(event["labels"]["tier"], "front", "{event}");
    let expect = serde_json::json!({
        "name": pod, "namespace": "shop", "uid": uid, "container": container, "labels": {"app": pod},
    });
    assert_eq!(event["pod"], expect, "{event}");
}

/// Execs in a container until lightmon knows it. At any time, its events have the right name or none.
#[track_caller]
fn eventually(
    lightmon: &Lightmon,
    containerd: &Containerd,
    id: &str,
    name: &str,
    address: &str,
) -> Value {
    let events = (0..100).map(|_| {
        containerd.cri.exec(id, &connect(address));
        lightmon.event_to(address, 9)
    });
    let named = |event: &Value| {
        assert_eq!(event["containerId"], id, "{event}");
        let said = event["container"].as_str().unwrap();
        assert!(["", name].contains(&said), "{event}");
        said == name
    };
    let mut events = events;
    events.find(named).expect("a name")
}

#[test]
#[ignore = "needs root and containerd: make test runs it"]
fn pods_have_their_names() {
    let _turn = turn::wait();
    let mut containerd = Containerd::start("pods");
    let pods: Vec<Pod> = [
        ("early", Network::Pod),
        ("late", Network::Pod),
        ("host", Network::Node),
    ]
    .into_iter()
    .enumerate()
    .map(|(i, (name, network))| containerd.cri.run_pod(name, &uid(i), network))
    .collect();
    let [early, late, host] = &pods[..] else {
        panic!("three pods");
    };
    let nginx = containerd.cri.run(early, "nginx", "sleep 1000000");
    let socket = containerd.socket();
    let lightmon = Lightmon::start(&["-f", "json", "--cri-socket", &socket]);
    let event = eventually(&lightmon, &containerd, &nginx, "nginx", "127.0.18.1");
    check(&event, "early", &uid(0), "nginx", &nginx);
    assert_eq!(event["containerProvenance"], "proc", "{event}");

    // In the pod's network, twice, and in the node's.
    for (i, (pod, name, container)) in [
        (late, "late", "web"),
        (late, "late", "sidecar"),
        (host, "host", "agent"),
    ]
    .into_iter()
    .enumerate()
    {
        let address = format!("127.0.18.{}", 10 + i);
        let script = connect_and_stay(&address);
        let id = containerd.cri.run(pod, container, &script);
        let uid = if name == "late" { uid(1) } else { uid(2) };
        let event = lightmon.event_to(&address, 9);
        check(&event, name, &uid, container, &id);
        assert_eq!(event["containerProvenance"], "exec", "{event}");
        containerd.cri.exec(&id, &connect("127.0.18.20"));
        let event = lightmon.event_to("127.0.18.20", 9);
        check(&event, name, &uid, container, &id);
    }
    // To the node: the source is the address of the pod.
    let own = containerd.cri.address(late);
    let id = containerd.cri.run(late, "out", &connect("10.88.7.1"));
    let event = lightmon.event_to("10.88.7.1", 9);
    check(&event, "late", &uid(1), "out", &id);
    assert_eq!(event["saddr"], own, "{event}");

    for i in 1..=SHORT_LIVED {
        let (name, address) = (format!("once-{i}"), format!("127.0.19.{i}"));
        let id = containerd.cri.run(late, &name, &connect(&address));
        let event = lightmon.event_to(&address, 9);
        check(&event, "late", &uid(1), &name, &id);
        assert_eq!(event["containerProvenance"], "exec", "{event}");
    }
    at_once(&containerd, &lightmon, [late, host]);

    // A pod takes the place of another of its name.
    containerd.cri.remove(&host.id).unwrap();
    let heir = containerd.cri.run_pod("host", &uid(3), Network::Node);
    let id = containerd.cri.run(&heir, "agent", &connect("127.0.18.30"));
    let event = lightmon.event_to("127.0.18.30", 9);
    check(&event, "host", &uid(3), "agent", &id);

    // containerd restarts; meanwhile the known names stay right.
    let script = "while true; do nc -w 5 127.0.18.2 9; sleep 1; done";
    let beat = containerd.cri.run(early, "beat", script);
    check(
        &lightmon.event_to("127.0.18.2", 9),
        "early",
        &uid(0),
        "beat",
        &beat,
    );
    containerd.crash();
    check(
        &lightmon.event_to("127.0.18.2", 9),
        "early",
        &uid(0),
        "beat",
        &beat,
    );
    containerd.resume();
    let after = containerd.cri.run(late, "after", "sleep 1000000");
    let event = eventually(&lightmon, &containerd, &after, "after", "127.0.18.3");
    check(&event, "late", &uid(1), "after", &after);
    let event = eventually(&lightmon, &containerd, &nginx, "nginx", "127.0.18.4");
    check(&event, "early", &uid(0), "nginx", &nginx);
    let ended = lightmon.stop(Signal::SIGTERM);
    let balance = ended.balance();
    assert_eq!(balance.seen, balance.written, "{:?}", ended.messages);
    assert!(ended.status.success(), "{:?}", ended.messages);
}

fn at_once(containerd: &Containerd, lightmon: &Lightmon, pods: [&Pod; 2]) {
    let name = |i: usize| format!("swarm-{i}");
    thread::scope(|scope| {
        for lane in 0..5 {
            scope.spawn(move || {
                for i in (lane..AT_ONCE).step_by(5) {
                    let script = connect_and_stay("127.0.18.40");
                    containerd.cri.run(pods[i % 2], &name(i), &script);
                }
            });
        }
    });
    let names: HashSet<_> = (0..AT_ONCE)
        .map(|_| {
            let event = lightmon.event_to("127.0.18.40", 9);
            event["container"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(names, (0..AT_ONCE).map(name).collect());
}
