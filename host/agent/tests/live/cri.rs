//! The CRI v1 API as a kubelet would call it: pods, their containers, commands in them.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use lightmon_identity::container::cri::grpc::connect;
use prost::Message;
use tokio::{runtime::Runtime, time::timeout};
use tonic::{
    client::Grpc,
    codegen::http::{Uri, uri::PathAndQuery},
};
use tonic_prost::ProstCodec;

/// How long the runtime may take to answer a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// What all containers run from: busybox, with its commands in /bin.
pub(crate) const IMAGE: &str = "localhost/bb:1";

/// A runtime's socket.
pub(crate) struct Cri {
    socket: PathBuf,
    /// The cgroup that all pods are below.
    cgroup: String,
    runtime: Runtime,
}

/// A pod that runs, without containers yet.
pub(crate) struct Pod {
    pub(crate) id: String,
    config: PodSandboxConfig,
}

/// Whose network a pod has.
#[derive(Clone, Copy)]
pub(crate) enum Network {
    /// A network namespace of its own, with an address.
    Pod = 0,
    /// The node's.
    Node = 2,
}

impl Cri {
    pub(crate) fn new(socket: PathBuf, cgroup: &str) -> Self {
        Self {
            socket,
            cgroup: cgroup.into(),
            runtime: Runtime::new().unwrap(),
        }
    }

    pub(crate) fn answers(&self) -> bool {
        self.try_call::<Empty>("/runtime.v1.RuntimeService/Version", &Empty {})
            .is_ok()
    }

    /// A pod with that name in the namespace `shop`.
    pub(crate) fn run_pod(&self, name: &str, uid: &str, network: Network) -> Pod {
        let config = PodSandboxConfig {
            metadata: Some(Metadata {
                name: name.into(),
                uid: uid.into(),
                namespace: "shop".into(),
            }),
            log_directory: "/var/log/pods".into(),
            labels: HashMap::from([("app".into(), name.into())]),
            linux: Some(LinuxPodSandbox {
                cgroup_parent: format!("{}/kubepods/besteffort/pod{uid}", self.cgroup),
                security: Some(SandboxSecurity {
                    namespaces: Some(Namespaces {
                        network: network as i32,
                        pid: 1,
                    }),
                }),
            }),
        };
        let request = RunPodSandbox {
            config: Some(config.clone()),
        };
        let id: Id = self.call("/runtime.v1.RuntimeService/RunPodSandbox", &request);
        Pod { id: id.id, config }
    }

    /// A container of a pod that runs this script; its id.
    pub(crate) fn run(&self, pod: &Pod, name: &str, script: &str) -> String {
        let linux = pod.config.linux.as_ref().unwrap();
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
                        namespaces: linux.security.clone().unwrap().namespaces,
                    }),
                }),
            }),
            sandbox: Some(pod.config.clone()),
        };
        let created: Id = self.call("/runtime.v1.RuntimeService/CreateContainer", &request);
        self.call::<Empty>("/runtime.v1.RuntimeService/StartContainer", &created);
        created.id
    }

    /// Runs this script in a container that runs already.
    pub(crate) fn exec(&self, container: &str, script: &str) {
        let request = ExecSync {
            container_id: container.into(),
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        };
        self.call::<Empty>("/runtime.v1.RuntimeService/ExecSync", &request);
    }

    /// The pod's address; empty if it has the node's network.
    pub(crate) fn address(&self, pod: &Pod) -> String {
        let id = Id { id: pod.id.clone() };
        let answer: Status = self.call("/runtime.v1.RuntimeService/PodSandboxStatus", &id);
        let network = answer.status.and_then(|status| status.network);
        network.unwrap_or_default().ip
    }

    /// The ids of all pods that there are.
    pub(crate) fn pods(&self) -> Result<Vec<String>, String> {
        let list: Pods = self.try_call("/runtime.v1.RuntimeService/ListPodSandbox", &Empty {})?;
        Ok(list.items.into_iter().map(|it| it.id).collect())
    }

    /// How many of them run.
    pub(crate) fn running_pods(&self) -> Result<usize, String> {
        let list: Pods = self.try_call("/runtime.v1.RuntimeService/ListPodSandbox", &Empty {})?;
        Ok(list.items.iter().filter(|it| it.state == READY).count())
    }

    /// Stops a pod and its containers.
    pub(crate) fn stop(&self, pod: &str) -> Result<(), String> {
        let id = Id { id: pod.into() };
        self.try_call::<Empty>("/runtime.v1.RuntimeService/StopPodSandbox", &id)
            .map(drop)
    }

    /// Stops and removes a pod with its containers.
    pub(crate) fn remove(&self, pod: &str) -> Result<(), String> {
        self.stop(pod)?;
        let id = Id { id: pod.into() };
        self.try_call::<Empty>("/runtime.v1.RuntimeService/RemovePodSandbox", &id)
            .map(drop)
    }

    #[track_caller]
    fn call<A: Message + Default + 'static>(
        &self,
        method: &'static str,
        request: &(impl Message + Clone + 'static),
    ) -> A {
        self.try_call(method, request)
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_call<A: Message + Default + 'static>(
        &self,
        method: &'static str,
        request: &(impl Message + Clone + 'static),
    ) -> Result<A, String> {
        self.runtime.block_on(async {
            let (connection, driver) = connect(&self.socket).await.map_err(|it| it.to_string())?;
            tokio::spawn(driver);
            let mut client = Grpc::with_origin(connection, Uri::from_static("http://localhost"));
            client.ready().await.map_err(|it| it.to_string())?;
            let request = tonic::Request::new(request.clone());
            let method = PathAndQuery::from_static(method);
            let call = client.unary(request, method, ProstCodec::default());
            match timeout(CALL_TIMEOUT, call).await {
                Ok(answer) => answer
                    .map(|it| it.into_inner())
                    .map_err(|it| it.to_string()),
                Err(_) => Err(format!("no answer within {CALL_TIMEOUT:?}")),
            }
        })
    }
}

// What is used of the API, by the numbers in k8s.io/cri-api/pkg/apis/runtime/v1/api.proto.

#[derive(Clone, PartialEq, Message)]
struct Empty {}

/// Of a sandbox or a container: both are the first field of their requests and answers.
#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct Pods {
    #[prost(message, repeated, tag = "1")]
    items: Vec<PodSandbox>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandbox {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(int32, tag = "3")]
    state: i32,
}

const READY: i32 = 0;

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

/// `pid` 1: each container has a namespace of its own.
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

#[derive(Clone, PartialEq, Message)]
struct ExecSync {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(string, repeated, tag = "2")]
    command: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(message, optional, tag = "1")]
    status: Option<SandboxStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxStatus {
    #[prost(message, optional, tag = "5")]
    network: Option<SandboxNetwork>,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxNetwork {
    #[prost(string, tag = "1")]
    ip: String,
}
