//! Watches a Kubernetes container runtime, such as containerd and CRI-O, through the CRI v1 API: the pods and containers
//! that there are, then what happens to them. Where it tells no events it is asked for each container that is seen, once. Only tells [`Containers`] what there is: whose connection it is, is decided there.

mod api;
mod events;
pub mod grpc;

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    iter,
    net::IpAddr,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
};

use tokio::{net::UnixStream, sync::mpsc, task::JoinSet};
use tracing::{debug, info};

use self::{
    api::runtime::{
        self, ContainerFilter, ContainerState, ContainerStatusRequest, ImageSpec,
        ListContainersRequest, ListPodSandboxRequest, NamespaceMode, PodSandbox, PodSandboxFilter,
        PodSandboxState, PodSandboxStatus, PodSandboxStatusRequest, VersionRequest,
        VersionResponse, runtime_service_client::RuntimeServiceClient,
    },
    events::Event,
    grpc::{Connection, answer, runtime_client},
};
use super::{
    Containers, Runtime, cgroup,
    socket::{self, Attempt},
};
use lightmon_event::{Container, Pod};

/// Where runtimes listen unless it is told otherwise: containerd, CRI-O, k3s. Not cri-dockerd: Docker itself is watched.
const SOCKETS: [&str; 3] = [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
];

/// Most containers that are looked up at the same time.
const MAX_LOOKUPS: usize = 64;

/// Most events that wait for us; the server keeps the others, or drops them: then the container is asked for when it is seen.
const MAX_EVENTS: usize = 256;

/// Longest name of a runtime that is believed.
const MAX_NAME: usize = 64;

/// The sockets to watch: those that are given (a path, or `unix://` and a path), else the usual ones.
pub fn sockets(given: Vec<String>) -> Vec<PathBuf> {
    match given.is_empty() {
        true => SOCKETS.map(PathBuf::from).to_vec(),
        false => given
            .iter()
            .map(|socket| socket.strip_prefix("unix://").unwrap_or(socket).into())
            .collect(),
    }
}

/// Watches the runtime at this socket for as long as it is polled. Where there is none it goes on looking for one, ever more
/// rarely; the same after it has gone.
///
/// It can be asked as soon as this returns: who is seen before it has told what there is waits for it.
pub fn watch(containers: Containers, socket: PathBuf) -> impl Future<Output = ()> + Send {
    let runtime = containers.runtime();
    let questions = runtime.connect();
    async move { socket::watch(Session, runtime, questions, &socket).await }
}

/// Watches a runtime through one connection.
struct Session;

impl socket::Session for Session {
    const API: &'static str = "CRI";
    const IF_DENIED: &'static str = "pods and their containers will have no names; run as root";
    type Error = grpc::Error;

    async fn run(
        &self,
        stream: UnixStream,
        attempt: &mut Attempt<'_>,
    ) -> Result<Infallible, grpc::Error> {
        let (connection, driver) = grpc::handshake(stream).await?;
        let mut questions = attempt.requests();
        let (socket, runtime) = (attempt.socket, attempt.runtime);
        let mut driver = tokio::spawn(driver);
        let server = Server::of(connection).await?;
        let mut lookups = Lookups::new(server.clone(), runtime.wants_addresses());

        // The events begin before the list is made, so that little is missed between them; what is, is asked for when it is seen.
        let (sender, mut events) = mpsc::channel(MAX_EVENTS);
        let mut listener = JoinSet::new();
        listener.spawn(events::listen(server.clone(), sender));
        let list = server.list().await?;
        info!(?socket, runtime = ?server.name, containers = list.len(), "CRI runtime connected");
        attempt.set_connected();
        let incomplete: Vec<Arc<str>> = list
            .iter()
            // A sandbox has a name, but its pod's addresses are not in the list.
            .filter(|container| {
                container.image.is_none() && (is_in_pod(container) || runtime.wants_addresses())
            })
            .map(|container| container.id.clone())
            .collect();
        runtime.list(list);
        for id in incomplete {
            lookups.start(id);
        }

        loop {
            tokio::select! {
                _ = &mut driver => return Err(grpc::Error::Ended),
                Some(event) = events.recv() => heard(event, runtime, &mut lookups),
                // It may have been told meanwhile.
                Some(id) = questions.recv(), if lookups.has_room() => if !runtime.is_told(&id) { lookups.start(id) },
                Some(found) = lookups.next() => {
                    for container in found.containers {
                        runtime.tell(container);
                    }
                    if let Some((sandbox, addresses)) = found.addresses {
                        runtime.locate(&sandbox, addresses);
                    }
                }
            }
        }
    }
}

fn heard(event: Event, runtime: &Runtime, lookups: &mut Lookups) {
    match event {
        Event::Started(id) if cgroup::is_id(id.as_bytes()) && !runtime.is_told(&id) => {
            lookups.start(id.into());
        }
        Event::Started(_) => {}
        // For good: what is started again is another container.
        Event::Ended(id) => runtime.end(&id),
    }
}

/// What the runtime at this socket calls itself, and its version.
///
/// # Errors
/// When nobody is there who speaks the CRI v1 API.
pub async fn version(socket: &Path) -> Result<String, grpc::Error> {
    let (connection, driver) = grpc::connect(socket).await?;
    let mut driver = pin!(driver);
    let answer = tokio::select! {
        answer = ask_version(connection) => answer?,
        ended = &mut driver => {
            ended?;
            return Err(grpc::Error::Ended);
        }
    };
    Ok(format!(
        "{} {}",
        answer.runtime_name, answer.runtime_version
    ))
}

async fn ask_version(connection: Connection) -> Result<VersionResponse, grpc::Error> {
    answer(runtime_client(connection).version(VersionRequest {})).await
}

/// A runtime that answers.
#[derive(Clone)]
struct Server {
    connection: Connection,
    name: Option<Arc<str>>,
}

impl Server {
    async fn of(connection: Connection) -> Result<Self, grpc::Error> {
        let name = ask_version(connection.clone()).await?.runtime_name;
        Ok(Self {
            connection,
            name: (1..=MAX_NAME).contains(&name.len()).then(|| name.into()),
        })
    }

    fn client(&self) -> RuntimeServiceClient<Connection> {
        runtime_client(self.connection.clone())
    }

    /// All sandboxes and containers, those that run last.
    async fn list(&self) -> Result<Vec<Container>, grpc::Error> {
        let sandboxes = self.sandboxes(None).await?;
        let mut containers = self.containers(None).await?;
        containers.sort_by_key(|container| container.state() == ContainerState::ContainerRunning);
        let pods: HashMap<_, _> = sandboxes
            .iter()
            .map(|sandbox| (sandbox.id.as_str(), sandbox))
            .collect();
        let of_sandboxes = sandboxes.iter().map(|sandbox| self.sandbox(sandbox));
        let of_containers = containers.into_iter().map(|container| {
            let sandbox = pods.get(container.pod_sandbox_id.as_str()).copied();
            self.container(container, sandbox)
        });
        Ok(of_sandboxes
            .chain(of_containers)
            .filter(|container| cgroup::is_id(container.id.as_bytes()))
            .collect())
    }

    /// The container or sandbox with this id; `None`: it is of another runtime, or was removed already. With addresses, also the
    /// sandbox of a container, which has them.
    async fn find(&self, id: &str, with_addresses: bool) -> Result<Option<Found>, grpc::Error> {
        let mut containers = self.containers(Some(id)).await?;
        containers.retain(|found| found.id == id);
        let container = containers.pop();
        let sandbox = container.as_ref().map_or(id, |it| &it.pod_sandbox_id);
        let mut sandboxes = self.sandboxes(Some(sandbox)).await?;
        sandboxes.retain(|it| it.id == sandbox);
        let sandbox = sandboxes.pop();
        let mut found = Found::default();
        if let Some(sandbox) = &sandbox {
            if with_addresses || container.is_none() {
                found.containers.push(self.sandbox(sandbox));
            }
            if with_addresses {
                // A name is worth more than an address: it does not wait for one that can't be told.
                let addresses = self.addresses(&sandbox.id).await.unwrap_or_default();
                found.addresses = Some((sandbox.id.as_str().into(), addresses));
            }
        }
        if let Some(mut container) = container {
            if image_name(container.image.as_ref()).is_none() {
                container.image = self.named_image(id).await?;
            }
            let container = self.container(container, sandbox.as_ref());
            found.containers.push(container);
        }
        Ok((!found.containers.is_empty()).then_some(found))
    }

    async fn addresses(&self, sandbox: &str) -> Result<Vec<IpAddr>, grpc::Error> {
        let request = PodSandboxStatusRequest {
            pod_sandbox_id: sandbox.into(),
        };
        let status = answer(self.client().pod_sandbox_status(request)).await?;
        Ok(status.status.map(addresses).unwrap_or_default())
    }

    async fn containers(&self, id: Option<&str>) -> Result<Vec<runtime::Container>, grpc::Error> {
        let filter = id.map(|id| ContainerFilter { id: id.into() });
        let request = ListContainersRequest { filter };
        let list = answer(self.client().list_containers(request)).await?;
        Ok(list.containers)
    }

    async fn sandboxes(&self, id: Option<&str>) -> Result<Vec<PodSandbox>, grpc::Error> {
        let filter = id.map(|id| PodSandboxFilter { id: id.into() });
        let request = ListPodSandboxRequest { filter };
        let list = answer(self.client().list_pod_sandbox(request)).await?;
        Ok(list.items)
    }

    /// The kubelet asks for images by their id: in the list there is no other name then, in the status there is one.
    async fn named_image(&self, id: &str) -> Result<Option<ImageSpec>, grpc::Error> {
        let request = ContainerStatusRequest {
            container_id: id.into(),
        };
        let status = answer(self.client().container_status(request)).await?;
        Ok(status.status.and_then(|status| status.image))
    }

    fn container(&self, container: runtime::Container, sandbox: Option<&PodSandbox>) -> Container {
        let name = container.metadata.map(|it| it.name).unwrap_or_default();
        let name: Option<Arc<str>> = (!name.is_empty()).then(|| name.into());
        Container {
            id: container.id.into(),
            image: image_name(container.image.as_ref()).map(Arc::from),
            image_digest: digest(&container.image_ref).map(Arc::from),
            runtime: self.name.clone(),
            pod: sandbox.map(|sandbox| pod(sandbox, name.clone().unwrap_or_default()).into()),
            labels: sorted(container.labels),
            name,
        }
    }

    /// A sandbox is a container too: it holds the pod's namespaces.
    fn sandbox(&self, sandbox: &PodSandbox) -> Container {
        let pod = pod(sandbox, Arc::default());
        Container {
            id: sandbox.id.as_str().into(),
            name: (!pod.name.is_empty()).then(|| pod.name.clone()),
            runtime: self.name.clone(),
            pod: Some(pod.into()),
            ..Container::default()
        }
    }
}

/// `None`: the runtime does not know it.
type Answer = Result<Option<Found>, grpc::Error>;

/// What the runtime knows of one container.
#[derive(Default)]
struct Found {
    containers: Vec<Container>,
    /// Of a sandbox among them.
    addresses: Option<(Arc<str>, Vec<IpAddr>)>,
}

/// Questions to the runtime about single containers.
struct Lookups {
    server: Server,
    with_addresses: bool,
    tasks: JoinSet<(Arc<str>, Answer)>,
    under_way: HashSet<Arc<str>>,
}

impl Lookups {
    fn new(server: Server, with_addresses: bool) -> Self {
        Self {
            server,
            with_addresses,
            tasks: JoinSet::new(),
            under_way: HashSet::new(),
        }
    }

    fn start(&mut self, id: Arc<str>) {
        if !self.has_room() {
            debug!(%id, "too many CRI containers at once, not looking this one up");
        } else if self.under_way.insert(id.clone()) {
            let (server, with_addresses) = (self.server.clone(), self.with_addresses);
            self.tasks.spawn(async move {
                let answer = server.find(&id, with_addresses).await;
                (id, answer)
            });
        }
    }

    fn has_room(&self) -> bool {
        self.under_way.len() < MAX_LOOKUPS
    }

    /// The next one that is found; `None` when no question is under way any more.
    async fn next(&mut self) -> Option<Found> {
        loop {
            let Ok((id, answer)) = self.tasks.join_next().await? else {
                continue;
            };
            self.under_way.remove(&id);
            match answer {
                Ok(Some(found)) => return Some(found),
                Ok(None) => {}
                Err(error) => debug!(%id, %error, "CRI container not looked up"),
            }
        }
    }
}

/// Whether it is a container of a pod, and not its sandbox, which has no image to be named.
fn is_in_pod(container: &Container) -> bool {
    let pod = container.pod.as_ref();
    pod.is_none_or(|pod| !pod.container.is_empty())
}

fn pod(sandbox: &PodSandbox, container: Arc<str>) -> Pod {
    let metadata = sandbox.metadata.clone().unwrap_or_default();
    Pod {
        name: metadata.name.into(),
        namespace: metadata.namespace.into(),
        uid: metadata.uid.into(),
        container,
        labels: sorted(sandbox.labels.clone()),
    }
}

/// Of a pod; none of one that has the node's network, whatever the runtime says, or does not run: another may have its address by
/// now.
fn addresses(status: PodSandboxStatus) -> Vec<IpAddr> {
    // As numbers: the accessors take values that they do not know for the first one.
    let is_ready = status.state == PodSandboxState::SandboxReady as i32;
    if !is_ready || network_mode(&status) == NamespaceMode::Node as i32 {
        return Vec::new();
    }
    let network = status.network.unwrap_or_default();
    let more = network.additional_ips.iter().map(|it| &it.ip);
    let all = iter::once(&network.ip).chain(more);
    all.filter_map(|ip| ip.parse().ok()).collect()
}

/// Whose network a pod has: its own, if nothing is said.
fn network_mode(status: &PodSandboxStatus) -> i32 {
    let namespaces = status.linux.as_ref().and_then(|it| it.namespaces.as_ref());
    let options = namespaces.and_then(|it| it.options.as_ref());
    options.map_or(NamespaceMode::Pod as i32, |it| it.network)
}

fn sorted(labels: HashMap<String, String>) -> Vec<(Arc<str>, Arc<str>)> {
    let mut labels: Vec<_> = labels
        .into_iter()
        .map(|(key, value)| (key.into(), value.into()))
        .collect();
    labels.sort_unstable();
    labels
}

/// What the user called it; `None` when only its id is known, which nobody would recognise.
fn image_name(image: Option<&ImageSpec>) -> Option<&str> {
    let image = image?;
    [&image.user_specified_image, &image.image]
        .into_iter()
        .find(|name| {
            let hex = name.strip_prefix("sha256:").unwrap_or(name);
            !name.is_empty() && !cgroup::is_id(hex.as_bytes())
        })
        .map(String::as_str)
}

/// Of `sha256:…` or `example.org/image@sha256:…`.
fn digest(image_ref: &str) -> Option<&str> {
    let start = image_ref.rfind("sha256:")?;
    let digest = &image_ref[start..];
    let hex = digest.strip_prefix("sha256:")?;
    cgroup::is_id(hex.as_bytes()).then_some(digest)
}

#[cfg(test)]
mod tests;
