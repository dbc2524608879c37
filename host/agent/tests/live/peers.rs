//! --resolve-peers: a destination's address names the container or pod that has it, for as long as that runs. And --label, which puts
//! labels of containers and pods into the log.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    containerd::Containerd,
    cri::{Network, Pod},
    dockerd::{Dockerd, IMAGE, Kind},
    lightmon::Lightmon,
};

#[test]
#[ignore = "needs root and dockerd: make test runs it"]
fn containers_of_docker_at_their_addresses() {
    containers_at_their_addresses(Kind::Docker);
}

#[test]
#[ignore = "needs root and podman: make test runs it"]
fn containers_of_podman_at_their_addresses() {
    containers_at_their_addresses(Kind::Podman);
}

/// The address is the container's for as long as it runs.
fn containers_at_their_addresses(kind: Kind) {
    let dockerd = Dockerd::start_kind(kind);
    let sleep = ["sleep", "1000"];
    let run = |name: &str| {
        dockerd.docker(&[&["run", "--detach", "--name", name, IMAGE], &sleep[..]].concat())
    };
    let early = run("early");
    let host = dockerd.host();
    let lightmon = Lightmon::start(&["-f", "json", "--resolve-peers", "--docker-host", &host]);
    let address = |name: &str| {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        dockerd.docker(&["inspect", "--format", format, name])
    };
    let connects = |address: &str| {
        let script = format!("nc -w 5 {address} 9; true");
        dockerd.docker(&["run", "--rm", IMAGE, "sh", "-c", &script]);
        lightmon.event_to(address, 9)
    };
    let is_peer = |event: &Value, name: &str, id: &str| {
        event["peer"]["container"] == name && {
            assert_eq!(event["peer"]["containerId"], id, "{event}");
            let image = event["peer"]["containerImage"].as_str().unwrap();
            assert!(image.ends_with(IMAGE), "{event}");
            assert_eq!(event["outcome"], "refused", "{event}");
            true
        }
    };
    // A container in the host's network has no address of its own, so it is no peer.
    let run_host = ["run", "--detach", "--net", "host", "--name", "host", IMAGE];
    dockerd.docker(&[&run_host[..], &sleep].concat());
    let before = address("early");
    assert!((0..100).any(|_| is_peer(&connects(&before), "early", &early)));
    let format = "{{.NetworkSettings.Gateway}}";
    let bridge = dockerd.docker(&["inspect", "--format", format, "early"]);
    for address in [&*bridge, "127.0.21.1"] {
        let event = connects(address);
        assert!(event["peer"].is_null(), "{event}");
    }
    let other = run("other");
    assert!(is_peer(&connects(&address("other")), "other", &other));

    // Another one has its address now.
    dockerd.docker(&["kill", "early"]);
    let third = run("third");
    let at = address("third");
    assert!((0..100).any(|_| is_peer(&connects(&at), "third", &third)));
    dockerd.docker(&["start", "early"]);
    let at = address("early");
    assert!((0..100).any(|_| is_peer(&connects(&at), "early", &early)));

    let at = address("other");
    dockerd.docker(&["kill", "other"]);
    assert!((0..20).any(|_| connects(&at)["peer"].is_null()));
    assert_eq!(lightmon.stop(Signal::SIGTERM).balance().lost, 0);
}

#[test]
#[ignore = "needs root and containerd: make test runs it"]
fn pods_at_their_addresses() {
    let containerd = Containerd::start("peers");
    let cri = &containerd.cri;
    let [early, from, host] = [
        ("early", Network::Pod),
        ("from", Network::Pod),
        ("host", Network::Node),
    ]
    .map(|(name, network)| cri.run_pod(name, &format!("uid-of-{name}"), network));
    let client = cri.run(&from, "client", "sleep 1000000");
    cri.run(&early, "nginx", "sleep 1000000");
    cri.run(&host, "agent", "sleep 1000000");
    let socket = containerd.socket();
    let lightmon = Lightmon::start(&["-f", "json", "--resolve-peers", "--cri-socket", &socket]);
    let connects = |address: &str, port: u16| {
        cri.exec(&client, &format!("nc -w 1 {address} {port}; true"));
        lightmon.event_to(address, port)
    };
    let is_peer = |event: &Value, name: &str, pod: &Pod| {
        event["peer"]["containerId"] == *pod.id && {
            let peer = &event["peer"]["pod"];
            assert_eq!(peer["name"], name, "{event}");
            assert_eq!(peer["namespace"], "shop", "{event}");
            assert_eq!(event["outcome"], "refused", "{event}");
            true
        }
    };
    // Older than lightmon.
    let of_early = cri.address(&early);
    assert!((0..100).any(|_| is_peer(&connects(&of_early, 9), "early", &early)));
    // Addresses of the node belong to no container.
    assert_eq!(cri.address(&host), "");
    for address in ["10.88.7.1", "127.0.21.2"] {
        let event = connects(address, 9);
        assert!(event["peer"].is_null(), "{event}");
    }
    // Newer: it is known with its first container.
    let late = cri.run_pod("late", "uid-of-late", Network::Pod);
    cri.run(&late, "web", "sleep 1000000");
    let of_late = cri.address(&late);
    assert!((0..100).any(|_| is_peer(&connects(&of_late, 9), "late", &late)));
    // The pod has ended; its address may be another's soon. Nobody answers there: a port a time, since each is reported twice.
    cri.stop(&late.id).unwrap();
    assert!((1000..1020).any(|port| connects(&of_late, port)["peer"].is_null()));
    assert!(is_peer(&connects(&of_early, 9), "early", &early));
    assert_eq!(lightmon.stop(Signal::SIGTERM).balance().lost, 0);
}

/// The line of the log whose destination is that.
fn line_to(lightmon: &Lightmon, address: &str) -> Value {
    let is_it = |line: &str| serde_json::from_str::<Value>(line).unwrap()["dip"] == address;
    serde_json::from_str(&lightmon.line(is_it)).unwrap()
}

#[test]
#[ignore = "needs root, dockerd and containerd: make test runs it"]
fn labels_in_the_log() {
    let (dockerd, containerd) = (Dockerd::start(), Containerd::start("labels"));
    let [host, socket] = [dockerd.host(), containerd.socket()];
    let keys = ["--label", "app", "--label", "tier", "--label", "none"];
    let sockets = ["--docker-host", &host, "--cri-socket", &socket];
    let lightmon = Lightmon::start(&[&keys[..], &sockets].concat());
    let script = |address: &str| format!("nc -w 5 {address} 9; true");
    // Labels of the container come first, then labels of the pod (`app`).
    let pod = containerd.cri.run_pod("web", "uid-of-web", Network::Node);
    containerd.cri.run(&pod, "nginx", &script("127.0.21.3"));
    let line = line_to(&lightmon, "127.0.21.3");
    assert_eq!(line["container"], "nginx", "{line}");
    let expect = serde_json::json!({"app": "web", "tier": "front"});
    assert_eq!(line["labels"], expect, "{line}");
    let run = [
        "run", "--rm", "--net", "none", "--label", "app=shop", "--label", "secret=1",
    ];
    let command = ["sh", "-c", &script("127.0.21.4")];
    dockerd.docker(&[&run[..], &[IMAGE], &command].concat());
    let line = line_to(&lightmon, "127.0.21.4");
    assert_eq!(line["labels"], serde_json::json!({"app": "shop"}), "{line}");
    assert!(lightmon.stop(Signal::SIGTERM).status.success());
}
