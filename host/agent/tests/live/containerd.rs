//! Starts a containerd for a test, which runs pods as for a kubelet. It has folders, a socket, a cgroup, and network and mount
//! namespaces of its own. The namespaces outlive it, like those of a node.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::{
    cgroups::Cgroups,
    cri::{Cri, IMAGE},
    dockerd::wait_until,
};

const BUSYBOX: &str = "/bin/busybox";

/// Debian's place for the programs that give a pod its network.
const CNI: &str = "/usr/lib/cni";

/// What daemons write outside of their folders is gone with the namespace.
const ROOM: &str = "set -e
ip link set lo up
for folder in /run /var/lib /var/log; do mount -t tmpfs tmpfs $folder; done
echo ready
exec sleep 1000000";

pub(crate) struct Containerd {
    folder: TempDir,
    /// Holds the namespaces.
    room: Child,
    daemon: Option<Child>,
    cgroups: Cgroups,
    pub(crate) cri: Cri,
}

impl Containerd {
    /// `suffix` tells the cgroups of the test's daemons apart.
    pub(crate) fn start(suffix: &str) -> Self {
        let bridge = Path::new(CNI).join("bridge");
        let text = "is missing: apt-get install containernetworking-plugins";
        assert!(bridge.exists(), "{} {text}", bridge.display());
        let folder = tempfile::Builder::new()
            .prefix("containerd")
            .tempdir()
            .unwrap();
        let cgroups = Cgroups::new(suffix);
        let mut room = Command::new("unshare")
            .args(["--net", "--mount", "--", BUSYBOX, "sh", "-c", ROOM])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let mut output = BufReader::new(room.stdout.take().unwrap());
        output.read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        let socket = folder.path().join("containerd.sock");
        let mut containerd = Self {
            cri: Cri::new(socket, &cgroups.path()),
            folder,
            room,
            daemon: None,
            cgroups,
        };
        containerd.resume();
        containerd.import_image();
        containerd
    }

    pub(crate) fn socket(&self) -> String {
        self.path("containerd.sock")
    }

    /// The cgroup of this test's daemons.
    pub(crate) fn cgroup(&self) -> String {
        self.cgroups.path()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A program in the network and with the mounts of the daemon; the child's pid is its own.
    pub(crate) fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let room = self.room.id().to_string();
        command.args(["--target", &room, "--net", "--mount", "--", program]);
        command.stdin(Stdio::null());
        command
    }

    /// Kills it as a crash would; its containers go on without it.
    pub(crate) fn crash(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    /// Starts it, again after a crash.
    pub(crate) fn resume(&mut self) {
        let config = format!(
            r#"version = 2
root = "{root}"
state = "{state}"
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI}"
    conf_dir = "{cni}"
"#,
            root = self.path("root"),
            state = self.path("state"),
            socket = self.socket(),
            opt = self.path("opt"),
            cni = self.path("cni"),
        );
        fs::write(self.path("config.toml"), config).unwrap();
        let network = serde_json::json!({
            "cniVersion": "0.4.0", "name": "pods", "plugins": [{
                "type": "bridge", "bridge": "cni0", "isGateway": true,
                "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.7.0/24"}]], "dataDir": self.path("ipam")},
            }],
        });
        fs::create_dir_all(self.path("cni")).unwrap();
        fs::write(self.path("cni/10-pods.conflist"), network.to_string()).unwrap();
        let log = File::create(self.path("log")).unwrap();
        let daemon = self
            .inside("containerd")
            .args(["--config", &self.path("config.toml")])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        wait_until("containerd answers", || self.cri.answers());
    }

    /// As `docker save` would have written it.
    fn import_image(&self) {
        let root = self.folder.path().join("image/root/bin");
        fs::create_dir_all(&root).unwrap();
        fs::copy(BUSYBOX, root.join("busybox")).unwrap();
        for name in ["sh", "nc", "sleep", "true"] {
            symlink("busybox", root.join(name)).unwrap();
        }
        let tar = |from: &str, names: &[&str], to: &str| {
            let from = self.path(from);
            let to = self.path(to);
            let status = Command::new("tar")
                .args(["-C", &from, "-cf", &to])
                .args(names)
                .status();
            assert!(status.unwrap().success());
        };
        tar("image/root", &["."], "image/layer.tar");
        let digest = Sha256::digest(fs::read(self.path("image/layer.tar")).unwrap());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        // A sandbox runs what its image says.
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux",
            "config": {"Cmd": ["/bin/sleep", "1000000"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
        });
        let manifest = serde_json::json!([
            {"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}
        ]);
        fs::write(self.path("image/config.json"), config.to_string()).unwrap();
        fs::write(self.path("image/manifest.json"), manifest.to_string()).unwrap();
        tar(
            "image",
            &["manifest.json", "config.json", "layer.tar"],
            "image.tar",
        );
        let output = Command::new("ctr")
            .args(["--address", &self.socket(), "--namespace", "k8s.io"])
            .args(["images", "import", &self.path("image.tar")])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
    }
}

/// Its pods first: they would outlive it.
impl Drop for Containerd {
    fn drop(&mut self) {
        if self.daemon.is_none() {
            self.resume();
        }
        for pod in self.cri.pods().unwrap_or_default() {
            let _ = self.cri.remove(&pod);
        }
        if let Some(mut daemon) = self.daemon.take() {
            let _ = kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM);
            let _ = daemon.wait();
        }
        let _ = self.room.kill();
        let _ = self.room.wait();
    }
}
