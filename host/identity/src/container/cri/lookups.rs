//! Looks up single containers, several at a time.

use std::{collections::HashSet, sync::Arc};

use tokio::task::JoinSet;
use tracing::debug;

use super::{
    grpc,
    server::{Found, Server},
};

/// Most containers that are looked up at the same time.
const MAX_LOOKUPS: usize = 64;

/// The look-ups that run now.
pub(super) struct Lookups {
    server: Server,
    with_addresses: bool,
    tasks: JoinSet<(Arc<str>, Answer)>,
    running: HashSet<Arc<str>>,
}

/// `None`: the runtime does not have the container.
type Answer = Result<Option<Found>, grpc::Error>;

impl Lookups {
    pub(super) fn new(server: Server, with_addresses: bool) -> Self {
        Self {
            server,
            with_addresses,
            tasks: JoinSet::new(),
            running: HashSet::new(),
        }
    }

    /// Looks up a container, unless that is under way.
    pub(super) fn start(&mut self, id: Arc<str>) {
        if !self.has_room() {
            debug!(%id, "too many CRI containers at once, not looking this one up");
        } else if self.running.insert(id.clone()) {
            let (server, with_addresses) = (self.server.clone(), self.with_addresses);
            self.tasks.spawn(async move {
                let answer = server.find(&id, with_addresses).await;
                (id, answer)
            });
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.running.len() < MAX_LOOKUPS
    }

    /// The next container that is found; `None` when no look-up runs any more.
    pub(super) async fn next(&mut self) -> Option<Found> {
        loop {
            let Ok((id, answer)) = self.tasks.join_next().await? else {
                continue;
            };
            self.running.remove(&id);
            match answer {
                Ok(Some(found)) => return Some(found),
                Ok(None) => {}
                Err(error) => debug!(%id, %error, "CRI container not looked up"),
            }
        }
    }
}
