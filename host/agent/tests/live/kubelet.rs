//! A real kubelet beside a containerd, without an API server: it runs the pods whose manifests stand in a folder.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Child,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{containerd::Containerd, cri::IMAGE, dockerd::wait_until};

/// What the node is called.
const NODE: &str = "node1";

/// It would set these for the whole machine: it gets files to write into instead.
const SETTINGS: [&str; 6] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

pub(crate) struct Kubelet<'a> {
    containerd: &'a Containerd,
    daemon: Child,
}

impl<'a> Kubelet<'a> {
    /// Starts the kubelet. Its cgroups are below the cgroup of the test.
    pub(crate) fn start(containerd: &'a Containerd) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kubelet");
        let text = "is missing: make it with host/agent/tests/kubelet.sh target/kubelet";
        assert!(program.exists(), "{} {text}", program.display());
        let path = |name: &str| containerd.path(name);
        let settings = serde_json::json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "address": "127.0.0.1", "readOnlyPort": 0,
            "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs", "cgroupRoot": containerd.cgroup(),
            "failSwapOn": false, "makeIPTablesUtilChains": false, "oomScoreAdj": 0, "resolvConf": "",
            "volumePluginDir": path("plugins"),
            "evictionHard": {"memory.available": "10Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "staticPodPath": path("manifests"), "fileCheckFrequency": "1s",
        });
        fs::create_dir_all(path("manifests")).unwrap();
        fs::write(path("kubelet.yaml"), settings.to_string()).unwrap();
        for setting in SETTINGS {
            let (real, own) = (
                format!("/proc/sys/{setting}"),
                path(&setting.replace('/', "_")),
            );
            fs::write(&own, fs::read(&real).unwrap()).unwrap();
            let mount = containerd
                .inside("mount")
                .args(["--bind", &own, &real])
                .status();
            assert!(mount.unwrap().success(), "{real}");
        }
        let log = File::create(path("kubelet.log")).unwrap();
        let daemon = containerd
            .inside(program.to_str().unwrap())
            .args(["--config", &path("kubelet.yaml")])
            .args(["--root-dir", &path("kubelet"), "--cert-dir", &path("pki")])
            .args(["--hostname-override", NODE, "--container-runtime=remote"])
            .arg(format!(
                "--container-runtime-endpoint=unix://{}",
                containerd.socket()
            ))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { containerd, daemon }
    }

    /// Wants this pod of namespace `shop` to run, with a container for each script.
    pub(crate) fn want(&self, pod: &str, labels: &[(&str, &str)], scripts: &[(&str, &str)]) {
        let containers: Vec<_> = scripts
            .iter()
            .map(|(name, script)| {
                serde_json::json!({
                    "name": name, "image": IMAGE, "imagePullPolicy": "Never",
                    "command": ["/bin/sh", "-c", script],
                })
            })
            .collect();
        let labels: serde_json::Map<_, _> = labels
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.into()))
            .collect();
        let manifest = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod, "namespace": "shop", "labels": labels},
            "spec": {
                "containers": containers, "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": false, "enableServiceLinks": false,
            },
        });
        // As a whole: it looks at any time.
        let [half, whole] = ["half", "manifests"].map(|it| self.containerd.path(it));
        fs::write(&half, manifest.to_string()).unwrap();
        fs::rename(half, PathBuf::from(whole).join(format!("{pod}.json"))).unwrap();
    }

    /// What the kubelet calls a pod of a manifest.
    pub(crate) fn name_of(pod: &str) -> String {
        format!("{pod}-{NODE}")
    }

    /// Wants the pod no longer, and waits until no pod is left.
    pub(crate) fn remove_last(&self, pod: &str) {
        let manifest = self.containerd.path(&format!("manifests/{pod}.json"));
        fs::remove_file(manifest).unwrap();
        wait_until("the kubelet has ended the pod", || {
            self.containerd.cri.running_pods().is_ok_and(|it| it == 0)
        });
    }

    /// Returns the end of the kubelet's log.
    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(self.containerd.path("kubelet.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Kubelet<'_> {
    fn drop(&mut self) {
        let _ = kill(
            Pid::from_raw(self.daemon.id().cast_signed()),
            Signal::SIGTERM,
        );
        let _ = self.daemon.wait();
    }
}
