//! Calls a CRI runtime for its containers and sandboxes.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use lightmon_event::Container;

use super::{
    super::cgroup,
    api::runtime::{
        self, ContainerFilter, ContainerState, ContainerStatusRequest, ImageSpec,
        ListContainersRequest, ListPodSandboxRequest, PodSandbox, PodSandboxFilter,
        PodSandboxStatusRequest, VersionRequest, VersionResponse,
        runtime_service_client::RuntimeServiceClient,
    },
    convert,
    grpc::{self, Connection, answer, runtime_client},
};

/// Longest name of a runtime. A longer one is ignored.
const MAX_NAME_BYTES: usize = 64;

/// A runtime that has answered.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) connection: Connection,
    pub(super) name: Option<Arc<str>>,
}

/// What the runtime knows of one container.
#[derive(Default)]
pub(super) struct Found {
    pub(super) containers: Vec<Container>,
    /// The addresses of a sandbox, by its id.
    pub(super) addresses: Option<(Arc<str>, Vec<IpAddr>)>,
}

/// The name and version of a runtime.
pub(super) async fn version(connection: Connection) -> Result<VersionResponse, grpc::Error> {
    answer(runtime_client(connection).version(VersionRequest {})).await
}

impl Server {
    pub(super) async fn new(connection: Connection) -> Result<Self, grpc::Error> {
        let name = version(connection.clone()).await?.runtime_name;
        let is_valid = (1..=MAX_NAME_BYTES).contains(&name.len());
        Ok(Self {
            connection,
            name: is_valid.then(|| name.into()),
        })
    }

    /// All sandboxes and containers; running containers come last.
    pub(super) async fn list(&self) -> Result<Vec<Container>, grpc::Error> {
        let sandboxes = self.sandboxes(None).await?;
        let mut containers = self.containers(None).await?;
        containers.sort_by_key(|container| container.state() == ContainerState::ContainerRunning);
        let by_id: HashMap<_, _> = sandboxes
            .iter()
            .map(|sandbox| (sandbox.id.as_str(), sandbox))
            .collect();
        let runtime = self.name.as_ref();
        let of_sandboxes = sandboxes
            .iter()
            .map(|sandbox| convert::sandbox(sandbox, runtime));
        let of_containers = containers.into_iter().map(|container| {
            let sandbox = by_id.get(container.pod_sandbox_id.as_str()).copied();
            convert::container(container, sandbox, runtime)
        });
        Ok(of_sandboxes
            .chain(of_containers)
            .filter(|container| cgroup::is_id(container.id.as_bytes()))
            .collect())
    }

    /// The container or sandbox with this id. `None` if the runtime does not have it, or has it no more. With addresses, the
    /// result has the sandbox of a container as well, because the sandbox has the addresses.
    pub(super) async fn find(
        &self,
        id: &str,
        with_addresses: bool,
    ) -> Result<Option<Found>, grpc::Error> {
        let mut containers = self.containers(Some(id)).await?;
        containers.retain(|found| found.id == id);
        let container = containers.pop();
        let sandbox = container.as_ref().map_or(id, |it| &it.pod_sandbox_id);
        let mut sandboxes = self.sandboxes(Some(sandbox)).await?;
        sandboxes.retain(|it| it.id == sandbox);
        let sandbox = sandboxes.pop();
        let runtime = self.name.as_ref();
        let mut found = Found::default();
        if let Some(sandbox) = &sandbox {
            if with_addresses || container.is_none() {
                found.containers.push(convert::sandbox(sandbox, runtime));
            }
            if with_addresses {
                // If the addresses can't be found, the name is reported without them.
                let addresses = self.addresses(&sandbox.id).await.unwrap_or_default();
                found.addresses = Some((sandbox.id.as_str().into(), addresses));
            }
        }
        if let Some(mut container) = container {
            if convert::image_name(container.image.as_ref()).is_none() {
                container.image = self.named_image(id).await?;
            }
            let container = convert::container(container, sandbox.as_ref(), runtime);
            found.containers.push(container);
        }
        Ok((!found.containers.is_empty()).then_some(found))
    }

    async fn addresses(&self, sandbox: &str) -> Result<Vec<IpAddr>, grpc::Error> {
        let request = PodSandboxStatusRequest {
            pod_sandbox_id: sandbox.into(),
        };
        let status = answer(self.client().pod_sandbox_status(request)).await?;
        Ok(status.status.map(convert::addresses).unwrap_or_default())
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

    /// The image with its name. The kubelet asks for images by their id: then the list has only the id, and the status has the
    /// name.
    async fn named_image(&self, id: &str) -> Result<Option<ImageSpec>, grpc::Error> {
        let request = ContainerStatusRequest {
            container_id: id.into(),
        };
        let status = answer(self.client().container_status(request)).await?;
        Ok(status.status.and_then(|status| status.image))
    }

    fn client(&self) -> RuntimeServiceClient<Connection> {
        runtime_client(self.connection.clone())
    }
}
