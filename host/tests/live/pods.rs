//! Pods of a real containerd: the pod, its namespace and the container stand on each connection of its processes.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    containerd::{Containerd, IMAGE},
    lightmon::Lightmon,
};

/// Containers that run one command, one after the other.
const SHORT_LIVED: usize = 50;

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

fn connect(address: &str) -> String {
    format!("nc -w 5 {address} 9; true")
}

#[test]
#[ignore = "needs root and containerd: make test runs it"]
fn pods_have_their_names() {
    let mut containerd = Containerd::start();
    let (uid, other) = (
        "1f0c7d5e-0001-4a4b-8c8d-000000000001",
        "1f0c7d5e-0002-4a4b-8c8d-000000000002",
    );
    let early = containerd.run_pod("early", uid);
    // Connects each second: one of them is after lightmon knows it.
    let script = "while true; do nc -w 5 127.0.18.1 9; sleep 1; done";
    let id = containerd.run(&early, "nginx", script);
    let socket = containerd.socket();
    // These pods have no addresses of their own, and their names do not depend on that.
    let lightmon = Lightmon::start(&["-f", "json", "--resolve-peers", "--cri-socket", &socket]);
    let event = (0..60)
        .map(|_| lightmon.event_to("127.0.18.1", 9))
        .find(|event| event["container"] != "")
        .expect("a name");
    check(&event, "early", uid, "nginx", &id);
    assert_eq!(event["containerProvenance"], "proc", "{event}");

    let late = containerd.run_pod("late", other);
    for i in 1..=SHORT_LIVED {
        let (name, address) = (format!("once-{i}"), format!("127.0.19.{i}"));
        let id = containerd.run(&late, &name, &connect(&address));
        let event = lightmon.event_to(&address, 9);
        check(&event, "late", other, &name, &id);
        assert_eq!(event["containerProvenance"], "exec", "{event}");
    }

    // It dies and comes back; what it had told stays right meanwhile.
    containerd.crash();
    check(
        &lightmon.event_to("127.0.18.1", 9),
        "early",
        uid,
        "nginx",
        &id,
    );
    containerd.resume();
    let script = "while true; do nc -w 5 127.0.18.2 9; sleep 1; done";
    let after = containerd.run(&late, "after", script);
    let event = (0..60)
        .map(|_| lightmon.event_to("127.0.18.2", 9))
        .find(|event| {
            assert_eq!(event["containerId"], *after, "{event}");
            event["container"] != ""
        })
        .expect("a name");
    check(&event, "late", other, "after", &after);
    let ended = lightmon.stop(Signal::SIGTERM);
    assert!(ended.status.success(), "{:?}", ended.messages);
}
