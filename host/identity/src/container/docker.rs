//! Watches a daemon that speaks Docker's API, which Podman does too: the containers that there are, then what happens to them.
//! Only tells [`Containers`] what there is: whose connection it is, is decided there. Speaks to a unix socket only.

mod answers;
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
    answers::{addresses, bare, from_attributes, from_summary, runtime_name},
    lookups::Lookups,
    podman::Store,
};
use super::{
    Containers, Runtime, cgroup,
    socket::{self, Attempt},
};

/// Where Docker listens unless it is told otherwise.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// Where root's Podman listens, if its service is on. Those of other users are never asked unless they are given: whoever
/// answers can give any container any name.
pub const PODMAN_SOCKET: &str = "/run/podman/podman.sock";

/// Seconds that Docker has to answer.
const ANSWER_SECONDS: u64 = 10;

/// The events that change what is known. `die` takes a container its addresses only, since what is dead can be started again
/// under the same name, until `destroy`; `update` changes limits. Podman says `died` and `remove`; networks `connect` and `disconnect`.
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

/// The daemons to watch: those that are given, else the usual ones. One that goes by two names is watched once.
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

/// Watches the daemon at `host` (a path or `unix://` and a path) for as long as it is
/// polled. Where there is none it goes on looking for one, ever more rarely; the same after it has gone.
///
/// It can be asked as soon as this returns: who is seen before it has told what there is waits for it.
pub fn watch(containers: Containers, host: String) -> impl Future<Output = ()> + Send {
    let runtime = containers.runtime();
    let questions = runtime.connect();
    run(runtime, questions, host)
}

async fn run(runtime: Runtime, questions: mpsc::Receiver<Arc<str>>, host: String) {
    let socket = host.strip_prefix("unix://").unwrap_or(&host);
    if !socket.starts_with('/') {
        warn!(
            host,
            "docker containers will have no names: only unix sockets can be watched; set DOCKER_HOST to unix:///path"
        );
        return;
    }
    socket::watch(Session, runtime, questions, Path::new(socket)).await;
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
        // bollard connects by itself, and only with the first request.
        drop(stream);
        let mut questions = attempt.requests();
        let (socket, runtime) = (attempt.socket, attempt.runtime);
        let socket = socket.to_str().expect("invariant: made of a str");
        let docker = Docker::connect_with_unix(socket, ANSWER_SECONDS, API_DEFAULT_VERSION)?
            .negotiate_version()
            .await?;
        let name = runtime_name(&docker.version().await?);
        let mut lookups = Lookups::new(docker.clone(), name);
        // It takes Podman long to say where: meanwhile there is more to do.
        let mut locating = JoinSet::new();
        if name == answers::PODMAN {
            locating.spawn(Store::of(docker.clone()));
        }
        let mut store: Option<Store> = None;

        // The stream begins before the list is made, so that nothing is missed between them: Docker keeps recent events.
        let since = Timestamp::now();
        let all = ListContainersOptionsBuilder::new().all(true).build();
        let mut list = docker.list_containers(Some(all)).await?;
        list.sort_by_key(|summary| summary.state == Some(ContainerSummaryStateEnum::RUNNING));
        // Podman leaves them out here.
        let addresses: HashMap<String, Vec<IpAddr>> = list
            .iter()
            .filter_map(|summary| {
                let networks = summary.network_settings.as_ref()?.networks.as_ref()?;
                let is_told = !networks.is_empty();
                is_told.then_some((summary.id.clone()?, addresses(networks)))
            })
            .collect();
        let from_summary = |summary| from_summary(summary, name);
        let list: Vec<_> = list.into_iter().filter_map(from_summary).collect();
        info!(socket, containers = list.len(), "{name} connected");
        attempt.set_connected();
        let incomplete: Vec<_> = list
            .iter()
            .filter(|container| {
                let is_at = addresses.contains_key(&*container.id);
                container.image.is_none() || (runtime.wants_addresses() && !is_at)
            })
            .map(|container| container.id.clone())
            .collect();
        runtime.list(list);
        for (id, addresses) in addresses {
            runtime.locate(&id, addresses);
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
                event = events.next() => heard(event.ok_or(Error::Ended)??, runtime, &mut lookups),
                // It may have been told meanwhile.
                Some(id) = questions.recv(), if lookups.has_room() => if !runtime.is_told(&id) {
                    if let Some(container) = store.as_ref().and_then(|store| store.find(&id)) {
                        runtime.hint(container);
                    }
                    lookups.ask(id);
                },
                Some(located) = locating.join_next() => store = located.ok().flatten(),
                Some((container, addresses)) = lookups.next() => {
                    let id = container.id.clone();
                    runtime.tell(container);
                    runtime.locate(&id, addresses);
                }
            }
        }
    }
}

/// An event carries the name, the image and the labels: they are used at once, since the answer to a question may come
/// only after the container's program has started. The question is asked nevertheless, because a label that is called
/// `name` or `image` is not in the event.
fn heard(event: EventMessage, runtime: &Runtime, lookups: &mut Lookups) {
    let (Some(action), Some(actor)) = (event.action, event.actor) else {
        return;
    };
    let attributes = actor.attributes.unwrap_or_default();
    if event.typ == Some(EventMessageTypeEnum::NETWORK) {
        // Told of `create` and `destroy` of networks as well, which have no container.
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
        "create" | "start" if !runtime.is_told(&id) => {
            let container = from_attributes(&id, attributes, lookups.runtime);
            runtime.tell(container);
            lookups.changed(id.into());
        }
        // It has got other addresses.
        "start" if runtime.wants_addresses() => lookups.changed(id.into()),
        "die" | "died" => {
            runtime.locate(&id, []);
            lookups.outdate(&id);
        }
        "rename" => {
            if let Some(name) = attributes.get("name") {
                runtime.rename(&id, bare(name));
            }
            lookups.changed(id.into());
        }
        "destroy" | "remove" => runtime.end(&id),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
