//! Questions about single containers, while they are under way.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use bollard::{Docker, errors::Error, models::ContainerInspectResponse};
use tokio::task::JoinSet;
use tracing::debug;

use super::answers::{addresses, from_inspection};
use lightmon_event::Container;

/// Most containers that are looked up at the same time.
const MAX_LOOKUPS: usize = 64;

/// Questions to Docker about single containers.
pub(super) struct Lookups {
    docker: Docker,
    /// What the runtime is called.
    pub(super) runtime: &'static str,
    tasks: JoinSet<(Arc<str>, Result<ContainerInspectResponse, Error>)>,
    under_way: HashMap<Arc<str>, Since>,
}

/// What has come since the question was asked.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Since {
    Nothing,
    /// The same question. It may have been too early for the first one.
    Question,
    /// Something has happened to the container: the answer may be stale.
    Change,
}

impl Lookups {
    pub(super) fn new(docker: Docker, runtime: &'static str) -> Self {
        Self {
            docker,
            runtime,
            tasks: JoinSet::new(),
            under_way: HashMap::new(),
        }
    }

    /// Somebody wants to know about it.
    pub(super) fn ask(&mut self, id: Arc<str>) {
        self.start(id, Since::Question);
    }

    /// Something has happened to it: what it is now is to be found out.
    pub(super) fn changed(&mut self, id: Arc<str>) {
        self.start(id, Since::Change);
    }

    /// An answer that is under way is of no use any more.
    pub(super) fn outdate(&mut self, id: &str) {
        if let Some(since) = self.under_way.get_mut(id) {
            *since = Since::Change;
        }
    }

    fn start(&mut self, id: Arc<str>, why: Since) {
        if let Some(since) = self.under_way.get_mut(&id) {
            *since = why.max(*since);
        } else if self.has_room() {
            self.under_way.insert(id.clone(), Since::Nothing);
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
        self.under_way.len() < MAX_LOOKUPS
    }

    /// The next one that is found, with its addresses; `None` when no question is under way any more.
    pub(super) async fn next(&mut self) -> Option<(Container, Vec<IpAddr>)> {
        loop {
            let Ok((id, answer)) = self.tasks.join_next().await? else {
                continue;
            };
            let since = self.under_way.remove(&id);
            match answer {
                _ if since == Some(Since::Change) => self.changed(id),
                Ok(details) => {
                    let networks = details.network_settings.as_ref();
                    let networks = networks.and_then(|settings| settings.networks.as_ref());
                    let addresses = networks.map(addresses).unwrap_or_default();
                    return Some((from_inspection(id, details, self.runtime), addresses));
                }
                Err(_) if since == Some(Since::Question) => self.ask(id),
                // Not found is normal: of another runtime, or removed already.
                Err(error) => debug!(%id, %error, "docker container not looked up"),
            }
        }
    }
}
