//! Looks up single containers, several at a time.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use bollard::{Docker, errors::Error, models::ContainerInspectResponse};
use tokio::task::JoinSet;
use tracing::debug;

use super::convert::{addresses, from_inspection};
use lightmon_event::Container;

/// Most containers that are looked up at the same time.
const MAX_LOOKUPS: usize = 64;

/// The look-ups that run now.
pub(super) struct Lookups {
    docker: Docker,
    /// The name of the runtime.
    pub(super) runtime: &'static str,
    tasks: JoinSet<(Arc<str>, Result<ContainerInspectResponse, Error>)>,
    running: HashMap<Arc<str>, Since>,
}

/// What has happened since a look-up began.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Since {
    Nothing,
    /// The container was requested again. The look-up may have begun too early, before the runtime knew the container.
    Request,
    /// The container has changed, so the answer may be out of date.
    Change,
}

impl Lookups {
    pub(super) fn new(docker: Docker, runtime: &'static str) -> Self {
        Self {
            docker,
            runtime,
            tasks: JoinSet::new(),
            running: HashMap::new(),
        }
    }

    /// The container was requested.
    pub(super) fn request(&mut self, id: Arc<str>) {
        self.start(id, Since::Request);
    }

    /// The container has changed: looks up what it is now.
    pub(super) fn changed(&mut self, id: Arc<str>) {
        self.start(id, Since::Change);
    }

    /// The container has changed: an answer that is under way is not used.
    pub(super) fn invalidate(&mut self, id: &str) {
        if let Some(since) = self.running.get_mut(id) {
            *since = Since::Change;
        }
    }

    fn start(&mut self, id: Arc<str>, why: Since) {
        if let Some(since) = self.running.get_mut(&id) {
            *since = why.max(*since);
        } else if self.has_room() {
            self.running.insert(id.clone(), Since::Nothing);
            let docker = self.docker.clone();
            self.tasks.spawn(async move {
                let answer = docker.inspect_container(&id, None).await;
                (id, answer)
            });
        } else {
            debug!(%id, "too many docker containers at once, not looking this one up");
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.running.len() < MAX_LOOKUPS
    }

    /// The next container that is found, with its addresses; `None` when no look-up runs any more.
    pub(super) async fn next(&mut self) -> Option<(Container, Vec<IpAddr>)> {
        loop {
            let Ok((id, answer)) = self.tasks.join_next().await? else {
                continue;
            };
            let since = self.running.remove(&id);
            match answer {
                _ if since == Some(Since::Change) => self.changed(id),
                Ok(details) => {
                    let networks = details.network_settings.as_ref();
                    let networks = networks.and_then(|settings| settings.networks.as_ref());
                    let addresses = networks.map(addresses).unwrap_or_default();
                    return Some((from_inspection(id, details, self.runtime), addresses));
                }
                Err(_) if since == Some(Since::Request) => self.request(id),
                // This is normal: the container belongs to another runtime, or was removed.
                Err(error) => debug!(%id, %error, "docker container not looked up"),
            }
        }
    }
}
