//! What the watcher of one runtime reports about the runtime's containers.

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use lightmon_event::Container;
use tokio::sync::mpsc;

use super::Containers;

/// Most addresses of one container.
const MAX_ADDRESSES: usize = 64;

/// Most requests to one runtime that wait for its watcher.
pub(super) const MAX_REQUESTS: usize = 256;

/// One runtime, as its watcher sees it. Dropped when the watcher ends: then nobody asks this runtime any more.
pub(crate) struct Runtime {
    containers: Containers,
    index: usize,
}

impl Runtime {
    pub(super) fn new(containers: Containers) -> Self {
        let index = containers.table().add_runtime();
        Self { containers, index }
    }

    /// From now on, the runtime is asked for containers that nobody has reported. The receiver gets their ids, until it is
    /// dropped.
    pub(crate) fn open_requests(&self) -> mpsc::Receiver<Arc<str>> {
        let (sender, requests) = mpsc::channel(MAX_REQUESTS);
        self.containers.table().set_runtime(self.index, sender);
        requests
    }

    /// Replaces all containers of this runtime. When there are too many, the last ones are kept.
    pub(super) fn report_all(&self, containers: Vec<Container>) {
        let mut table = self.containers.table();
        let now = Instant::now();
        let ids: HashSet<_> = containers.iter().map(|c| c.id.clone()).collect();
        for (id, entry) in &mut table.entries {
            if entry.reporter == Some(self.index) && !ids.contains(id) {
                entry.ended_at.get_or_insert(now);
            }
        }
        table.release_addresses();
        for container in containers {
            if let Some(entry) = table.entries.get_mut(&container.id) {
                entry.ended_at = None;
            }
            table.report(self.index, container, now);
        }
    }

    /// Adds or replaces one container.
    pub(crate) fn report(&self, container: Container) {
        let mut table = self.containers.table();
        table.report(self.index, container, Instant::now());
    }

    /// What another source says about a container that the runtime has not reported. It is used only if the runtime does not
    /// answer in time.
    pub(super) fn hint(&self, container: Container) {
        self.containers.table().hint(container);
    }

    /// Whether the addresses of containers are wanted.
    pub(super) fn wants_addresses(&self) -> bool {
        self.containers.0.wants_addresses.load(Relaxed)
    }

    /// Whether any runtime has reported this container.
    pub(super) fn is_reported(&self, id: &str) -> bool {
        let table = self.containers.table();
        table.entries.get(id).is_some_and(|e| e.reporter.is_some())
    }

    /// The container has a new name.
    pub(super) fn rename(&self, id: &str, name: &str) {
        self.containers.table().rename(id, name);
    }

    /// Replaces the addresses of a running container. Addresses that it shares with the host are ignored. A container that has
    /// ended gets none, even if the answer is from before its end.
    pub(super) fn set_addresses(&self, id: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        if !self.wants_addresses() {
            return;
        }
        let is_own = |it: &IpAddr| !it.is_loopback() && !it.is_unspecified();
        let addresses = addresses.into_iter().filter(is_own).take(MAX_ADDRESSES);
        self.containers.table().set_addresses(id, addresses);
    }

    /// The container was removed.
    pub(super) fn removed(&self, id: &str) {
        let mut table = self.containers.table();
        let now = Instant::now();
        if let Some(entry) = table.entries.get_mut(id) {
            entry.ended_at.get_or_insert(now);
        }
        table.forget_ended(now);
        table.release_addresses();
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.containers.table().remove_runtime(self.index);
    }
}
