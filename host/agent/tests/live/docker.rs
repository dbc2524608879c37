//! The binary with a real Docker daemon. Events have name, image and id of the container from the first connection on, also for
//! containers that start later or run one command only.

use crate::{
    dockerd::{Dockerd, IMAGE},
    lightmon::Lightmon,
};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Connects from inside a container, where nobody listens, so the connection is refused.
const CONNECT: &str = "nc -w 5 127.0.13.1 9; true";

/// `provenance`: `exec` for a container that has started after lightmon, else `proc`.
fn check(event: &Value, name: &str, id: &str, provenance: &str) {
    assert_eq!(event["container"], name, "{event}");
    assert_eq!(event["containerProvenance"], provenance, "{event}");
    assert_eq!(event["processProvenance"], "exec", "{event}");
    assert_eq!(event["containerId"], id, "{event}");
    assert_eq!(event["containerImage"], IMAGE, "{event}");
    assert_eq!(event["procPath"], "/bin/busybox", "{event}");
    assert_eq!(
        event["procArgs"],
        serde_json::json!(["nc", "-w", "5", "127.0.13.1", "9"]),
        "{event}"
    );
    assert_eq!(event["outcome"], "refused", "{event}");
}

#[test]
#[ignore = "needs root and dockerd: make test runs it"]
fn containers_have_their_names() {
    let dockerd = Dockerd::start();
    let early = dockerd.docker(&["run", "--detach", "--name", "early", IMAGE, "sleep", "1000"]);
    let lightmon = Lightmon::start(&["-f", "json", "--docker-host", &dockerd.host()]);
    let next = || lightmon.event_to("127.0.13.1", 9);

    // The daemon is asked as soon as lightmon runs, and answers when it likes.
    let named = (0..100).any(|_| {
        dockerd.docker(&["exec", "early", "sh", "-c", CONNECT]);
        let event = next();
        assert_eq!(event["containerId"], early, "{event}");
        event["container"] == "early" && {
            check(&event, "early", &early, "proc");
            true
        }
    });
    assert!(named);

    let late = dockerd.docker(&[
        "run",
        "--detach",
        "--name",
        "late",
        IMAGE,
        "sh",
        "-c",
        &format!("{CONNECT}; sleep 1000"),
    ]);
    check(&next(), "late", &late, "exec");

    for i in 0..5 {
        let name = format!("once-{i}");
        dockerd.docker(&["run", "--rm", "--name", &name, IMAGE, "sh", "-c", CONNECT]);
        let event = next();
        let id = event["containerId"].as_str().unwrap();
        assert!(id.len() == 64 && id != early && id != late, "{event}");
        check(&event, &name, id, "exec");
    }

    dockerd.docker(&["rename", "late", "later"]);
    let renamed = (0..100).any(|_| {
        dockerd.docker(&["exec", "later", "sh", "-c", CONNECT]);
        let event = next();
        check(&event, event["container"].as_str().unwrap(), &late, "exec");
        event["container"] == "later"
    });
    assert!(renamed);

    let ended = lightmon.stop(Signal::SIGTERM);
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(ended.balance().lost, 0);
    assert!(
        ended.lines.iter().all(|line| !line.contains("127.0.13.1")),
        "reported twice"
    );
}
