//! Which container a task runs in: from its cgroup to the id, from the id to what a runtime has told about it.
//! Speaks to no runtime itself: each has a file of its own below, and tells here what there is.

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use lightmon_event::{Container, Provenance, Unit};

pub mod cri;
pub mod docker;

pub(crate) mod cgroup;
mod names;
mod socket;

use cgroup::{Cgroups, Found};
use names::{Entry, Names, bounded};

/// How long a container is remembered after its end, for the events that were still on their way.
const MEMORY: Duration = Duration::from_secs(60);

/// Most addresses of one container.
const MAX_ADDRESSES: usize = 64;

/// Most ids that wait to be looked up by a runtime.
const MAX_QUESTIONS: usize = 256;

/// The containers of this host, shared between the enrich stage (which asks) and the runtimes' watchers (which tell).
#[derive(Clone)]
pub struct Containers(Arc<Shared>);

struct Shared {
    cgroups: Mutex<Cgroups>,
    names: Mutex<Names>,
    /// Whether addresses are of interest.
    peers: AtomicBool,
}

impl Default for Containers {
    fn default() -> Self {
        Self::new()
    }
}

impl Containers {
    /// None known yet.
    pub fn new() -> Self {
        Self::remembering(MEMORY)
    }

    /// None known yet; a container is remembered for this long after its end.
    pub fn remembering(memory: Duration) -> Self {
        Self::with(Cgroups::of_system(), memory)
    }

    /// Of processes in a folder that looks like a /proc without version 2.
    #[cfg(test)]
    pub(super) fn of_folder(proc: std::path::PathBuf) -> Self {
        Self::with(Cgroups::new(proc, None, false), MEMORY)
    }

    fn with(cgroups: Cgroups, memory: Duration) -> Self {
        Self(Arc::new(Shared {
            cgroups: Mutex::new(cgroups),
            names: Mutex::new(Names::new(memory)),
            peers: AtomicBool::new(false),
        }))
    }

    /// The container of a task with this cgroup id (0: not known), in a process that was `pid` when it was seen.
    /// `None`: in no container, or not known any more. Without a name as long as no runtime has told one.
    pub fn of(&self, cgroup_id: u64, pid: u32) -> Option<Arc<Container>> {
        Some(self.by_id(&self.id_of(cgroup_id, pid)?))
    }

    /// As [`of`](Self::of), only the id. It may be kept for as long as the process runs the same program: just before
    /// a container's program starts, its process is moved into the container. Keep it where version 1 cgroups are
    /// in use: there, each call for a process in no container reads a file of /proc.
    pub fn id_of(&self, cgroup_id: u64, pid: u32) -> Option<Arc<str>> {
        lock(&self.0.cgroups).container(cgroup_id, pid)
    }

    /// As [`id_of`](Self::id_of), and whether that is sure.
    pub(super) fn find(&self, cgroup_id: u64, pid: u32) -> Found {
        lock(&self.0.cgroups).find(cgroup_id, pid)
    }

    /// How it is known that a task with this cgroup id is in the container that [`id_of`](Self::id_of) tells.
    pub fn provenance(&self, cgroup_id: u64) -> Provenance {
        lock(&self.0.cgroups).provenance(cgroup_id)
    }

    /// The systemd unit of a task with this cgroup id for which [`id_of`](Self::id_of) has found no container. Reads nothing.
    pub fn unit(&self, cgroup_id: u64) -> Option<Arc<Unit>> {
        lock(&self.0.cgroups).unit(cgroup_id)
    }

    /// A cgroup was made: its id stands for this path as long as the system runs.
    pub fn made(&self, cgroup_id: u64, path: &[u8]) {
        lock(&self.0.cgroups).made(cgroup_id, path);
        // Its first connection may be its last act: by then the answer shall be here.
        if let Some(id) = cgroup::container_id(path) {
            self.names().expect(id);
        }
    }

    /// The container with this id. When no runtime has told its name, the runtimes are asked for it, once.
    pub fn by_id(&self, id: &str) -> Arc<Container> {
        self.ask(id).0
    }

    /// The same, and whether the runtimes may still tell its name: then it is worth while to ask again.
    pub(super) fn ask(&self, id: &str) -> (Arc<Container>, bool) {
        self.names().get(id)
    }

    /// Learns the containers' addresses as well; to be called before the runtimes are watched.
    pub fn resolve_peers(&self) {
        self.0.peers.store(true, Relaxed);
    }

    /// The container that has this address on a network of this host; `None` as long as nobody knows, or wants to. One that has
    /// ended has none.
    pub fn at(&self, address: IpAddr) -> Option<Arc<Container>> {
        if !self.0.peers.load(Relaxed) {
            return None;
        }
        let names = self.names();
        let entry = names.entries.get(names.addresses.get(&address)?)?;
        Some(entry.container.clone())
    }

    /// A new runtime.
    pub(super) fn runtime(&self) -> Runtime {
        let mut names = self.names();
        names.runtimes.push(None);
        Runtime {
            containers: self.clone(),
            index: names.runtimes.len() - 1,
        }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        lock(&self.0.names)
    }
}

/// What a watcher tells about the containers of its runtime.
pub(super) struct Runtime {
    containers: Containers,
    index: usize,
}

impl Runtime {
    /// The runtime can be asked from now on: for the ids received, until the receiver is dropped.
    pub(super) fn connect(&self) -> mpsc::Receiver<Arc<str>> {
        let (asker, questions) = mpsc::channel(MAX_QUESTIONS);
        let mut names = self.containers.names();
        names.runtimes[self.index] = Some(asker);
        for entry in names.entries.values_mut() {
            entry.asked = None;
        }
        questions
    }

    /// These are all containers there are; those most worth to be remembered come last.
    fn list(&self, containers: Vec<Container>) {
        let mut names = self.containers.names();
        let now = Instant::now();
        let ids: HashSet<_> = containers.iter().map(|c| c.id.clone()).collect();
        for (id, entry) in &mut names.entries {
            if entry.teller == Some(self.index) && !ids.contains(id) {
                entry.ended.get_or_insert(now);
            }
        }
        names.release();
        for container in containers {
            if let Some(entry) = names.entries.get_mut(&container.id) {
                entry.ended = None;
            }
            names.tell(self.index, container, now);
        }
    }

    /// There is this container; what was known about it is replaced.
    pub(super) fn tell(&self, container: Container) {
        self.containers
            .names()
            .tell(self.index, container, Instant::now());
    }

    /// What is known of a container of which its runtime has not told yet: believed if it does not in time.
    fn hint(&self, container: Container) {
        let mut names = self.containers.names();
        if !names.entries.contains_key(&container.id) {
            names.make_room(Instant::now());
        }
        let id = container.id.clone();
        let entry = names
            .entries
            .entry(id)
            .or_insert_with_key(|id| Entry::untold(id));
        if entry.teller.is_none() {
            entry.hint = Some(Arc::new(bounded(container)));
        }
    }

    /// Whether addresses are of interest.
    fn wants_addresses(&self) -> bool {
        self.containers.0.peers.load(Relaxed)
    }

    /// Whether a runtime has told about this container already.
    fn is_told(&self, id: &str) -> bool {
        let names = self.containers.names();
        names.entries.get(id).is_some_and(|e| e.teller.is_some())
    }

    /// The container has another name.
    fn rename(&self, id: &str, name: &str) {
        let mut names = self.containers.names();
        if let Some(entry) = names.entries.get_mut(id).filter(|e| e.teller.is_some()) {
            entry.container = Arc::new(bounded(Container {
                name: Some(name.into()),
                ..(*entry.container).clone()
            }));
        }
    }

    /// The container has these addresses, and no others; none of those that it shares with the host. One that has ended has
    /// none, also if this was asked before.
    fn locate(&self, id: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        if !self.wants_addresses() {
            return;
        }
        let mut names = self.containers.names();
        names.addresses.retain(|_, owner| **owner != *id);
        let entry = names.entries.get_key_value(id);
        let Some((id, _)) = entry.filter(|(_, entry)| entry.ended.is_none()) else {
            return;
        };
        let id = id.clone();
        let own = |it: &IpAddr| !it.is_loopback() && !it.is_unspecified();
        let addresses = addresses.into_iter().filter(own).take(MAX_ADDRESSES);
        names.addresses.extend(addresses.map(|it| (it, id.clone())));
    }

    /// The container is removed.
    fn end(&self, id: &str) {
        let mut names = self.containers.names();
        let now = Instant::now();
        if let Some(entry) = names.entries.get_mut(id) {
            entry.ended.get_or_insert(now);
        }
        names.forget(now);
        names.release();
    }
}

/// A watcher that ends leaves nobody to ask.
impl Drop for Runtime {
    fn drop(&mut self) {
        self.containers.names().runtimes[self.index] = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one; if it did, what is inside is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
