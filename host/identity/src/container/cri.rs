//! Watches a Kubernetes container runtime, such as containerd or CRI-O, through the CRI v1 API, and reports its pods and
//! containers to [`Containers`].
//!
//! A watcher lists the containers that exist, and then follows the runtime's events. If the runtime has no events, each
//! container that is seen is looked up once.

mod api;
mod convert;
mod events;
pub mod grpc;
mod lookups;
mod server;

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
};

use lightmon_event::Container;
use tokio::{net::UnixStream, sync::mpsc, task::JoinSet};
use tracing::info;

use self::{events::Event, lookups::Lookups, server::Server};
use super::{
    Containers, cgroup,
    runtime::Runtime,
    socket::{self, Attempt},
};

/// The sockets that are watched by default: those of containerd, CRI-O and k3s. Not that of cri-dockerd, because Docker itself
/// is watched.
const DEFAULT_SOCKETS: [&str; 3] = [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
];

/// Most events that wait in lightmon. The server keeps or drops the others. A container whose event was dropped is looked up
/// when it is seen.
const MAX_QUEUED_EVENTS: usize = 256;

/// The sockets to watch: the given ones (a path, or `unix://` and a path), else the default ones.
pub fn sockets(given: Vec<String>) -> Vec<PathBuf> {
    match given.is_empty() {
        true => DEFAULT_SOCKETS.map(PathBuf::from).to_vec(),
        false => given
            .iter()
            .map(|socket| socket.strip_prefix("unix://").unwrap_or(socket).into())
            .collect(),
    }
}

/// Watches the runtime at this socket for as long as the future is polled. While there is no runtime, it tries to connect
/// again and again.
///
/// The runtime can be asked as soon as this function returns: requests wait until the runtime has listed its containers.
pub fn watch(containers: Containers, socket: PathBuf) -> impl Future<Output = ()> + Send {
    let runtime = containers.runtime();
    let requests = runtime.open_requests();
    async move { socket::watch(Session, runtime, requests, &socket).await }
}

/// The name and version of the runtime at this socket.
///
/// # Errors
/// If nobody listens at the socket, or the server does not speak the CRI v1 API.
pub async fn version(socket: &Path) -> Result<String, grpc::Error> {
    let (connection, driver) = grpc::connect(socket).await?;
    let mut driver = pin!(driver);
    let answer = tokio::select! {
        answer = server::version(connection) => answer?,
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
        let mut requests = attempt.requests();
        let (socket, runtime) = (attempt.socket, attempt.runtime);
        let mut driver = tokio::spawn(driver);
        let server = Server::new(connection).await?;
        let mut lookups = Lookups::new(server.clone(), runtime.wants_addresses());

        // The events begin before the list is made, so that little is missed in between. What is missed is looked up when it
        // is seen.
        let (sender, mut events) = mpsc::channel(MAX_QUEUED_EVENTS);
        let mut listener = JoinSet::new();
        listener.spawn(events::listen(server.clone(), sender));
        let list = server.list().await?;
        info!(?socket, runtime = ?server.name, containers = list.len(), "CRI runtime connected");
        attempt.set_connected();
        let incomplete: Vec<Arc<str>> = list
            .iter()
            .filter(|container| is_incomplete(container, runtime.wants_addresses()))
            .map(|container| container.id.clone())
            .collect();
        runtime.report_all(list);
        for id in incomplete {
            lookups.start(id);
        }

        loop {
            tokio::select! {
                _ = &mut driver => return Err(grpc::Error::Ended),
                Some(event) = events.recv() => apply(event, runtime, &mut lookups),
                Some(id) = requests.recv(), if lookups.has_room() => {
                    // It may have been reported since the request.
                    if !runtime.is_reported(&id) {
                        lookups.start(id);
                    }
                }
                Some(found) = lookups.next() => {
                    for container in found.containers {
                        runtime.report(container);
                    }
                    if let Some((sandbox, addresses)) = found.addresses {
                        runtime.set_addresses(&sandbox, addresses);
                    }
                }
            }
        }
    }
}

/// Whether the list lacks something that a look-up finds: the name of the image, or the addresses of a sandbox.
fn is_incomplete(container: &Container, wants_addresses: bool) -> bool {
    let pod = container.pod.as_ref();
    let is_sandbox = pod.is_some_and(|pod| pod.container.is_empty());
    container.image.is_none() && (!is_sandbox || wants_addresses)
}

fn apply(event: Event, runtime: &Runtime, lookups: &mut Lookups) {
    match event {
        Event::Started(id) if cgroup::is_id(id.as_bytes()) && !runtime.is_reported(&id) => {
            lookups.start(id.into());
        }
        Event::Started(_) => {}
        // It does not come back: if it is started again, it has another id.
        Event::Ended(id) => runtime.removed(&id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_sockets_replace_the_default_ones() {
        let given = vec!["unix:///run/a.sock".into(), "/run/b.sock".into()];
        let expected = ["/run/a.sock", "/run/b.sock"].map(PathBuf::from);
        assert_eq!(sockets(given), expected);
        assert_eq!(sockets(Vec::new()), DEFAULT_SOCKETS.map(PathBuf::from));
    }
}
