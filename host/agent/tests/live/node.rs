//! A Kubernetes node: a real kubelet runs pods on a real containerd, with the names, labels and cgroups that it gives them.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    containerd::Containerd,
    cri::IMAGE,
    kubelet::Kubelet,
    lightmon::{Lightmon, command},
};

/// Connects repeatedly to port 9 of the address, where nobody listens.
fn beat(address: &str) -> String {
    format!("while true; do nc -w 5 {address} 9; sleep 1; done")
}

#[test]
#[ignore = "needs root, containerd and a kubelet: make test runs it"]
fn pods_of_a_kubelet() {
    let containerd = Containerd::start("node");
    let kubelet = Kubelet::start(&containerd);
    let socket = containerd.socket();
    let lightmon = Lightmon::start(&["-f", "json", "--cri-socket", &socket]);
    let labels = [("app", "web"), ("tier", "front")];
    let scripts = [
        ("nginx", beat("127.0.20.1")),
        ("sidecar", beat("127.0.20.2")),
    ];
    let scripts: Vec<_> = scripts.iter().map(|(name, it)| (*name, &**it)).collect();
    kubelet.want("web", &labels, &scripts);
    let mut uids = Vec::new();
    for (container, address) in [("nginx", "127.0.20.1"), ("sidecar", "127.0.20.2")] {
        // The very first one.
        let event = lightmon.event_to(address, 9);
        let log = || kubelet.log();
        assert_eq!(event["container"], container, "{event}\n{}", log());
        assert_eq!(event["containerImage"], IMAGE, "{event}");
        assert_eq!(event["containerRuntime"], "containerd", "{event}");
        assert_eq!(event["containerProvenance"], "exec", "{event}");
        let pod = &event["pod"];
        assert_eq!(pod["name"], Kubelet::name_of("web"), "{event}");
        assert_eq!(pod["namespace"], "shop", "{event}");
        assert_eq!(pod["container"], container, "{event}");
        for (key, value) in labels {
            assert_eq!(pod["labels"][key], value, "{event}");
        }
        // What the kubelet says to whoever asks the runtime.
        let of_kubelet = &event["labels"];
        assert_eq!(of_kubelet["io.kubernetes.container.name"], container);
        assert_eq!(of_kubelet["io.kubernetes.pod.uid"], pod["uid"], "{event}");
        uids.push(pod["uid"].clone());
    }
    assert_eq!(uids[0], uids[1]);
    assert!(uids[0].as_str().is_some_and(|uid| uid.len() >= 32));
    kubelet.remove_last("web");
    doctor_names_it(&socket);
    let ended = lightmon.stop(Signal::SIGTERM);
    assert!(ended.status.success(), "{:?}", ended.messages);
}

#[track_caller]
fn doctor_names_it(socket: &str) {
    let mut doctor = command(&["doctor", "--json", "--cri-socket", socket]);
    let output = doctor.output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let cri = checks.iter().find(|check| check["check"] == "CRI").unwrap();
    assert_eq!(cri["state"], "fine", "{cri}");
    let answers = format!("answers at {socket}: containerd ");
    let found = cri["found"].as_str().unwrap();
    assert!(found.starts_with(&answers), "{cri}");
}
