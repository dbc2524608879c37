//! Watches Docker, or Podman through its Docker API, and reports its containers to [`Containers`]. Uses unix sockets only.
//!
//! A watcher lists the containers that exist, and then follows the daemon's events.

mod convert;
mod lookups;
mod podman;

use std::{
    collections::HashMap, convert::Infallible, net::IpAddr, path::Path, pin::pin, sync::Arc,
};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    errors::Error as DockerError,
    models::{ContainerSummaryStateEnum, EventMessage, EventMessageTypeEnum},
    query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder},
};
use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::{net::UnixStream, sync::mpsc, task::JoinSet};
use tracing::{info, warn};

use self::{
    convert::{addresses, bare, from_attributes, from_summary, runtime_name},
    lookups::Lookups,
    podman::Store,
};
use super::{
    Containers, cgroup,
    runtime::Runtime,
    socket::{self, Attempt},
};

/// The socket of Docker that is watched by default.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// The socket of root's Podman, which is watched by default. The Podman of another user is watched only if it is given, because
/// its user can give any name to any container.
pub const PODMAN_SOCKET: &str = "/run/podman/podman.sock";

/// How long the daemon may take to answer a request, in seconds.
const ANSWER_TIMEOUT_SECONDS: u64 = 10;

/// The events that change what is known about a container. After `die`, the container has no addresses but keeps its name, because
/// it can be started again until `destroy`. Podman says `died` and `remove`. Networks have `connect` and `disconnect`.
const EVENTS: [&str; 9] = [
    "create",
    "start",
    "rename",
    "die",
    "died",
    "destroy",
    "remove",
    "connect",
    "disconnect",
];

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error("the event stream has ended")]
    Ended,
}

/// The daemons to watch: the given ones, else the default ones. A daemon with two paths is watched once.
pub fn hosts(given: Vec<String>) -> Vec<String> {
    let mut hosts = match given.is_empty() {
        true => [DEFAULT_SOCKET, PODMAN_SOCKET].map(str::to_owned).to_vec(),
        false => given,
    };
    let mut known = Vec::new();
    hosts.retain(|host| {
        let path = host.strip_prefix("unix://").unwrap_or(host);
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let is_new = !known.contains(&path);
        known.push(path);
        is_new
    });
    hosts
}

/// Watches the daemon at `host` (a path, or `unix://` and a path) for as long as the future is polled. While there is no
/// daemon, it tries to connect again and again.
///
/// The daemon can be asked as soon as this function returns: requests wait until the daemon has listed its containers.
pub fn watch(containers: Containers, host: String) -> impl Future<Output = ()> + Send {
    let runtime = containers.runtime();
    let requests = runtime.open_requests();
    run(runtime, requests, host)
}

async fn run(runtime: Runtime, requests: mpsc::Receiver<Arc<str>>, host: String) {
    let socket = host.strip_prefix("unix://").unwrap_or(&host);
    if !socket.starts_with('/') {
        warn!(
            host,
            "docker containers will have no names: only unix sockets can be watched; set DOCKER_HOST to unix:///path"
        );
        return;
    }
    socket::watch(Session, runtime, requests, Path::new(socket)).await;
}

/// Watches a daemon through one connection.
struct Session;

impl socket::Session for Session {
    const API: &'static str = "docker";
    const IF_DENIED: &'static str =
        "docker containers will have no names; run as root or as a member of the group docker";
    type Error = Error;

    async fn run(
        &self,
        stream: UnixStream,
        attempt: &mut Attempt<'_>,
    ) -> Result<Infallible, Error> {
        // bollard connects by itself, with the first request.
        drop(stream);
        let mut requests = attempt.requests();
        let (socket, runtime) = (attempt.socket, attempt.runtime);
        let socket = socket
            .to_str()
            .expect("invariant: the path was made from a str");
        let docker =
            Docker::connect_with_unix(socket, ANSWER_TIMEOUT_SECONDS, API_DEFAULT_VERSION)?
                .negotiate_version()
                .await?;
        let name = runtime_name(&docker.version().await?);
        let mut lookups = Lookups::new(docker.clone(), name);
        // Podman takes long to tell where its storage is, so this runs beside the rest.
        let mut locating = JoinSet::new();
        if name == convert::PODMAN {
            locating.spawn(Store::of(docker.clone()));
        }
        let mut store: Option<Store> = None;

        // The events begin before the list is made, so that nothing is missed in between: Docker keeps recent events.
        let since = Timestamp::now();
        let all = ListContainersOptionsBuilder::new().all(true).build();
        let mut list = docker.list_containers(Some(all)).await?;
        list.sort_by_key(|summary| summary.state == Some(ContainerSummaryStateEnum::RUNNING));
        // Podman's list has no addresses.
        let addresses: HashMap<String, Vec<IpAddr>> = list
            .iter()
            .filter_map(|summary| {
                let networks = summary.network_settings.as_ref()?.networks.as_ref()?;
                let has_networks = !networks.is_empty();
                has_networks.then_some((summary.id.clone()?, addresses(networks)))
            })
            .collect();
        let from_summary = |summary| from_summary(summary, name);
        let list: Vec<_> = list.into_iter().filter_map(from_summary).collect();
        info!(socket, containers = list.len(), "{name} connected");
        attempt.set_connected();
        let incomplete: Vec<_> = list
            .iter()
            .filter(|container| {
                let has_addresses = addresses.contains_key(&*container.id);
                container.image.is_none() || (runtime.wants_addresses() && !has_addresses)
            })
            .map(|container| container.id.clone())
            .collect();
        runtime.report_all(list);
        for (id, addresses) in addresses {
            runtime.set_addresses(&id, addresses);
        }
        for id in incomplete {
            lookups.changed(id);
        }

        let types = vec!["container", "network"];
        let filters = HashMap::from([("type", types), ("event", EVENTS.to_vec())]);
        let since = format!("{}.{:09}", since.as_second(), since.subsec_nanosecond());
        let options = EventsOptionsBuilder::new().since(&since).filters(&filters);
        let mut events = pin!(docker.events(Some(options.build())));
        loop {
            tokio::select! {
                event = events.next() => apply(event.ok_or(Error::Ended)??, runtime, &mut lookups),
                Some(id) = requests.recv(), if lookups.has_room() => {
                    // It may have been reported since the request.
                    if !runtime.is_reported(&id) {
                        if let Some(container) = store.as_ref().and_then(|store| store.find(&id)) {
                            runtime.hint(container);
                        }
                        lookups.request(id);
                    }
                }
                Some(located) = locating.join_next() => store = located.ok().flatten(),
                Some((container, addresses)) = lookups.next() => {
                    let id = container.id.clone();
                    runtime.report(container);
                    runtime.set_addresses(&id, addresses);
                }
            }
        }
    }
}

/// An event has the name, the image and the labels. They are reported at once, because a look-up may take until after the first
/// connection. The container is looked up nevertheless, because the event lacks labels called `name` or `image`.
fn apply(event: EventMessage, runtime: &Runtime, lookups: &mut Lookups) {
    let (Some(action), Some(actor)) = (event.action, event.actor) else {
        return;
    };
    let attributes = actor.attributes.unwrap_or_default();
    if event.typ == Some(EventMessageTypeEnum::NETWORK) {
        // `create` and `destroy` of a network have no container.
        if let Some(id) = attributes.get("container")
            && runtime.wants_addresses()
        {
            lookups.changed(id.as_str().into());
        }
        return;
    }
    let Some(id) = actor.id.filter(|id| cgroup::is_id(id.as_bytes())) else {
        return;
    };
    match action.as_str() {
        "create" | "start" if !runtime.is_reported(&id) => {
            let container = from_attributes(&id, attributes, lookups.runtime);
            runtime.report(container);
            lookups.changed(id.into());
        }
        // It has new addresses.
        "start" if runtime.wants_addresses() => lookups.changed(id.into()),
        "die" | "died" => {
            runtime.set_addresses(&id, []);
            lookups.invalidate(&id);
        }
        "rename" => {
            if let Some(name) = attributes.get("name") {
                runtime.rename(&id, bare(name));
            }
            lookups.changed(id.into());
        }
        "destroy" | "remove" => runtime.removed(&id),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
