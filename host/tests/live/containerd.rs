//! A containerd of the test's own, asked to run pods as a kubelet would: own folders, own socket, own network and mount namespaces.

use std::{
    collections::HashMap,
    fs::{self, File},
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use lightmon::enrich::container::cri::grpc::Client;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use prost::Message;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::dockerd::wait_until;

/// What all containers run from: busybox, with its commands in /bin.
pub(crate) const IMAGE: &str = "localhost/bb:1";

const BUSYBOX: &str = "/bin/busybox";

pub(crate) struct Containerd {
    folder: TempDir,
    daemon: Option<Child>,
    runtime: Runtime,
    sandboxes: Vec<String>,
}

/// A pod that runs, without containers yet.
pub(crate) struct Pod {
    pub(crate) id: String,
    config: PodSandboxConfig,
}

impl Containerd {
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("containerd")
            .tempdir()
            .unwrap();
        let mut containerd = Self {
            folder,
            daemon: None,
            runtime: Runtime::new().unwrap(),
            sandboxes: Vec::new(),
        };
        containerd.resume();
        containerd.import_image();
        containerd
    }

    pub(crate) fn socket(&self) -> String {
        self.path("containerd.sock")
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
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
"#,
            root = self.path("root"),
            state = self.path("state"),
            socket = self.socket(),
            opt = self.path("opt"),
        );
        fs::write(self.path("config.toml"), config).unwrap();
        let log = File::create(self.path("log")).unwrap();
        // The network of the first one is that of its pods: those that come later join it.
        let daemon = Command::new("unshare")
            .args(["--net", "--mount", "--", BUSYBOX, "sh", "-c"])
            .arg(format!(
                "{BUSYBOX} ip link set lo up && exec containerd --config \"$1\""
            ))
            .args(["sh", &self.path("config.toml")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        wait_until("containerd answers", || {
            self.try_call::<Empty>("/runtime.v1.RuntimeService/Version", &Empty {})
                .is_ok()
        });
    }

    /// A pod with that name in the namespace `shop`, in the network that the daemon is in.
    pub(crate) fn run_pod(&mut self, name: &str, uid: &str) -> Pod {
        let config = PodSandboxConfig {
            metadata: Some(Metadata {
                name: name.into(),
                uid: uid.into(),
                namespace: "shop".into(),
            }),
            log_directory: self.path("logs"),
            labels: HashMap::from([("app".into(), name.into())]),
            linux: Some(LinuxPodSandbox {
                cgroup_parent: format!("/kubepods/besteffort/pod{uid}"),
                security: Some(SandboxSecurity {
                    namespaces: Some(HOST_NETWORK),
                }),
            }),
        };
        let request = RunPodSandbox {
            config: Some(config.clone()),
        };
        let id = self
            .call::<Id>("/runtime.v1.RuntimeService/RunPodSandbox", &request)
            .id;
        self.sandboxes.push(id.clone());
        Pod { id, config }
    }

    /// A container of a pod that runs this script; its id.
    pub(crate) fn run(&self, pod: &Pod, name: &str, script: &str) -> String {
        let request = CreateContainer {
            pod_sandbox_id: pod.id.clone(),
            config: Some(ContainerConfig {
                metadata: Some(ContainerMetadata { name: name.into() }),
                image: Some(Image {
                    image: IMAGE.into(),
                }),
                command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
                labels: HashMap::from([("tier".into(), "front".into())]),
                linux: Some(LinuxContainer {
                    security: Some(ContainerSecurity {
                        namespaces: Some(HOST_NETWORK),
                    }),
                }),
            }),
            sandbox: Some(pod.config.clone()),
        };
        let created: Id = self.call("/runtime.v1.RuntimeService/CreateContainer", &request);
        self.call::<Empty>("/runtime.v1.RuntimeService/StartContainer", &created);
        created.id
    }

    #[track_caller]
    fn call<A: Message + Default>(&self, method: &'static str, request: &impl Message) -> A {
        self.try_call(method, request).unwrap_or_else(|error| {
            let log = fs::read_to_string(self.path("log")).unwrap_or_default();
            panic!("{method}: {error}\n{log}")
        })
    }

    fn try_call<A: Message + Default>(
        &self,
        method: &'static str,
        request: &impl Message,
    ) -> Result<A, String> {
        let socket = PathBuf::from(self.socket());
        self.runtime.block_on(async {
            let (client, connection) = Client::connect(&socket)
                .await
                .map_err(|it| it.to_string())?;
            tokio::spawn(connection);
            let answer = client.call(method, request).await;
            answer.map_err(|it| it.to_string())
        })
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
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux",
            "config": {"Cmd": ["/bin/sleep", "1000"], "Env": ["PATH=/bin"]},
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
            .args([
                "--address",
                &self.socket(),
                "--namespace",
                "k8s.io",
                "images",
                "import",
            ])
            .arg(self.path("image.tar"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Its pods first: they would outlive it.
impl Drop for Containerd {
    fn drop(&mut self) {
        if self.daemon.is_none() {
            self.resume();
        }
        for id in std::mem::take(&mut self.sandboxes) {
            let pod = Id { id };
            let _ = self.try_call::<Empty>("/runtime.v1.RuntimeService/StopPodSandbox", &pod);
            let _ = self.try_call::<Empty>("/runtime.v1.RuntimeService/RemovePodSandbox", &pod);
        }
        if let Some(mut daemon) = self.daemon.take() {
            let _ = kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM);
            let _ = daemon.wait();
        }
    }
}

// What is used of the CRI v1 API, by the numbers in k8s.io/cri-api/pkg/apis/runtime/v1/api.proto.

/// 2 is NODE; the others have their own.
const HOST_NETWORK: Namespaces = Namespaces { network: 2, pid: 1 };

#[derive(Clone, PartialEq, Message)]
struct Empty {}

/// Of a sandbox or a container: both are the first field of their requests and answers.
#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct RunPodSandbox {
    #[prost(message, optional, tag = "1")]
    config: Option<PodSandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<Metadata>,
    #[prost(string, tag = "3")]
    log_directory: String,
    #[prost(map = "string, string", tag = "6")]
    labels: HashMap<String, String>,
    #[prost(message, optional, tag = "8")]
    linux: Option<LinuxPodSandbox>,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxPodSandbox {
    #[prost(string, tag = "1")]
    cgroup_parent: String,
    #[prost(message, optional, tag = "2")]
    security: Option<SandboxSecurity>,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxSecurity {
    #[prost(message, optional, tag = "1")]
    namespaces: Option<Namespaces>,
}

#[derive(Clone, PartialEq, Message)]
struct Namespaces {
    #[prost(int32, tag = "1")]
    network: i32,
    #[prost(int32, tag = "2")]
    pid: i32,
}

#[derive(Clone, PartialEq, Message)]
struct CreateContainer {
    #[prost(string, tag = "1")]
    pod_sandbox_id: String,
    #[prost(message, optional, tag = "2")]
    config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    sandbox: Option<PodSandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "2")]
    image: Option<Image>,
    #[prost(string, repeated, tag = "3")]
    command: Vec<String>,
    #[prost(map = "string, string", tag = "9")]
    labels: HashMap<String, String>,
    #[prost(message, optional, tag = "15")]
    linux: Option<LinuxContainer>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxContainer {
    #[prost(message, optional, tag = "2")]
    security: Option<ContainerSecurity>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerSecurity {
    #[prost(message, optional, tag = "3")]
    namespaces: Option<Namespaces>,
}
