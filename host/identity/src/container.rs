//! Finds the container of a task: from its cgroup to the container's id, and from the id to what a runtime has reported.
//!
//! This module talks to no runtime itself. Each runtime has a file below, which watches the runtime and reports its
//! containers here.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use lightmon_event::{Container, Provenance, Unit};
use lightmon_thread::lock;

pub(crate) mod cgroup;
pub mod cri;
pub mod docker;
mod runtime;
mod socket;
mod table;

use self::{
    cgroup::{Cgroups, Found},
    runtime::Runtime,
    table::Table,
};

/// How long a container is remembered after its end, for events that come late.
const ENDED_RETENTION: Duration = Duration::from_secs(60);

/// The containers of this host. The identity stage asks, and the watchers of the runtimes report.
#[derive(Clone)]
pub struct Containers(Arc<Shared>);

struct Shared {
    cgroups: Mutex<Cgroups>,
    table: Mutex<Table>,
    /// Whether the addresses of containers are wanted.
    wants_addresses: AtomicBool,
}

impl Default for Containers {
    fn default() -> Self {
        Self::new()
    }
}

impl Containers {
    /// No container is known yet.
    pub fn new() -> Self {
        Self::remembering(ENDED_RETENTION)
    }

    /// No container is known yet. A container is remembered for this long after its end.
    pub fn remembering(retention: Duration) -> Self {
        Self::with(Cgroups::of_system(), retention)
    }

    /// Reads processes from a folder that looks like /proc, on a host without version 2 cgroups.
    #[cfg(test)]
    pub(super) fn of_folder(proc: std::path::PathBuf) -> Self {
        Self::with(Cgroups::new(proc, None, false), ENDED_RETENTION)
    }

    fn with(cgroups: Cgroups, retention: Duration) -> Self {
        Self(Arc::new(Shared {
            cgroups: Mutex::new(cgroups),
            table: Mutex::new(Table::new(retention)),
            wants_addresses: AtomicBool::new(false),
        }))
    }

    /// The container of a task with this cgroup id (0: not known) in a process that had this pid. `None`: the task is in
    /// no container, or it is not known any more. The container has no name until a runtime reports one.
    pub fn of(&self, cgroup_id: u64, pid: u32) -> Option<Arc<Container>> {
        Some(self.by_id(&self.id_of(cgroup_id, pid)?))
    }

    /// As [`of`](Self::of), but only the id. The caller may keep it until the process calls exec: a runtime moves a process
    /// into a container just before exec. Callers should keep it where version 1 cgroups are in use. There, each call for a
    /// process outside of containers reads a file of /proc.
    pub fn id_of(&self, cgroup_id: u64, pid: u32) -> Option<Arc<str>> {
        lock(&self.0.cgroups).find(cgroup_id, pid).container_id
    }

    /// As [`id_of`](Self::id_of), and whether the answer is sure.
    pub(super) fn find(&self, cgroup_id: u64, pid: u32) -> Found {
        lock(&self.0.cgroups).find(cgroup_id, pid)
    }

    /// How lightmon knows that a task with this cgroup id is in the container that [`id_of`](Self::id_of) returns.
    pub fn provenance(&self, cgroup_id: u64) -> Provenance {
        lock(&self.0.cgroups).provenance(cgroup_id)
    }

    /// The systemd unit of a task outside of containers, if [`id_of`](Self::id_of) has been called for its cgroup id. Reads no
    /// file.
    pub fn unit(&self, cgroup_id: u64) -> Option<Arc<Unit>> {
        lock(&self.0.cgroups).unit(cgroup_id)
    }

    /// A cgroup was created. Its id stands for this path as long as the system runs.
    pub fn cgroup_created(&self, cgroup_id: u64, path: &[u8]) {
        lock(&self.0.cgroups).created(cgroup_id, path);
        // A container may end right after its first connection: ask the runtimes before it connects.
        if let Some(id) = cgroup::container_id(path) {
            self.table().request_early(id);
        }
    }

    /// The container with this id. If no runtime has reported it, the runtimes are asked for it, once.
    pub fn by_id(&self, id: &str) -> Arc<Container> {
        self.request(id).0
    }

    /// As [`by_id`](Self::by_id), and whether a runtime may still tell the name: then the caller should call again soon.
    pub(super) fn request(&self, id: &str) -> (Arc<Container>, bool) {
        self.table().get(id)
    }

    /// Also learns the addresses of containers, for [`at`](Self::at). To be called before the runtimes are watched.
    pub fn resolve_peers(&self) {
        self.0.wants_addresses.store(true, Relaxed);
    }

    /// The running container that has this address on a network of this host, if it is known.
    pub fn at(&self, address: IpAddr) -> Option<Arc<Container>> {
        if !self.0.wants_addresses.load(Relaxed) {
            return None;
        }
        self.table().at(address)
    }

    /// Adds a runtime, which will report its containers.
    pub(super) fn runtime(&self) -> Runtime {
        Runtime::new(self.clone())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.0.table)
    }
}

#[cfg(test)]
mod tests;
