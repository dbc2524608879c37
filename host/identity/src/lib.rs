//! Adds to each event who made the connection: the process with its program, the user's name, the container, the systemd unit.
//!
//! This crate drops no event and guesses nothing: what is not known stays unknown. It reads /proc and the cgroup tree, and asks
//! the container runtimes. No call on the capture thread waits for a runtime.

mod cache;
pub mod container;
#[cfg(any(fuzzing, test))]
pub mod fuzz;
mod name_wait;
pub(crate) mod process;
mod user;

use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use lightmon_event::{CgroupMigrations, Event, Outcome, Process, Record};

use self::{
    cache::{LruCache, lru_cache},
    container::Containers,
    name_wait::NameWait,
    process::Processes,
    user::Users,
};

/// A connection that took less time has not been reported as pending before.
const MIN_PENDING_LATENCY: Duration = Duration::from_millis(500);

/// Most pending connections whose owners are remembered.
const MAX_PENDING: NonZeroUsize = NonZeroUsize::new(32_768).unwrap();

/// The identity stage of the pipeline, with all that it remembers.
pub struct Identity {
    processes: Processes,
    users: Users,
    containers: Containers,
    /// The owners of pending connections, by time and thread. When the outcome comes, the process may have ended and
    /// another one may have its pid.
    pending: LruCache<(Duration, u32), Owner>,
    name_wait: NameWait,
}

/// Who made a connection.
#[derive(Clone, Debug)]
struct Owner {
    process: Arc<Process>,
    user: Option<Arc<str>>,
    container_id: Option<Arc<str>>,
}

impl Identity {
    /// Knows the processes that run now, and the containers in `containers`.
    pub fn new(containers: Containers) -> Self {
        Self {
            processes: Processes::of_system(),
            users: Users::default(),
            containers,
            pending: lru_cache(MAX_PENDING),
            name_wait: NameWait::default(),
        }
    }

    /// Uses `count` to read how many cgroup migrations there were so far. While the count stays the same, a process keeps its
    /// container when it calls exec. Without a count, the container is looked up at each exec.
    #[must_use]
    pub fn counting_migrations(
        mut self,
        count: impl Fn() -> Option<CgroupMigrations> + Send + 'static,
    ) -> Self {
        self.processes.count_migrations(count);
        self
    }

    /// Turns records into complete events, in their order. An event whose container has no name yet is held back: a later
    /// call returns it, at most 100 ms after the runtimes were asked for the name.
    pub fn apply(&mut self, records: impl IntoIterator<Item = Record>, events: &mut Vec<Event>) {
        self.name_wait.release(&self.containers, events);
        for record in records {
            match record {
                Record::Exec(exec) => self.processes.exec(exec, &self.containers),
                Record::Fork(fork) => self.processes.fork(fork),
                Record::Cgroup { id, path } => self.containers.cgroup_created(id, &path),
                Record::FromSelf(_) | Record::Lost(_) | Record::Notice(_) => {}
                Record::Connection(mut event) => {
                    let name_may_come = self.complete(&mut event);
                    self.name_wait.pass(event, name_may_come, events);
                }
            }
        }
        self.processes.read_some();
    }

    /// How many events wait for the name of their container.
    pub fn held(&self) -> usize {
        self.name_wait.len()
    }

    /// When to call [`apply`](Self::apply) again, even without new records.
    pub fn due(&self) -> Option<Instant> {
        match self.processes.has_unread() {
            true => Some(Instant::now()),
            false => self.name_wait.due(),
        }
    }

    /// Fills in what is known. Returns whether a runtime may still tell the container's name.
    fn complete(&mut self, event: &mut Event) -> bool {
        let owner = self.owner(event);
        event.process = owner.process;
        event.user = owner.user;
        event.peer = self.containers.at(event.destination.ip());
        let Some(id) = owner.container_id else {
            event.unit = self.containers.unit(event.cgroup_id);
            return false;
        };
        let (container, name_may_come) = self.containers.request(&id);
        event.container = Some(container);
        event.container_provenance = Some(self.containers.provenance(event.cgroup_id));
        name_may_come
    }

    fn owner(&mut self, event: &Event) -> Owner {
        let connection = (event.kernel_time, event.tid);
        let may_be_pending = event
            .latency
            .is_none_or(|latency| latency >= MIN_PENDING_LATENCY);
        if may_be_pending && let Some(owner) = self.pending.get(&connection) {
            return owner.clone();
        }
        let (process, container_id) = self.processes.of(event, &self.containers);
        let owner = Owner {
            process,
            user: self.users.name(event.uid, event.kernel_time),
            container_id,
        };
        if event.outcome == Outcome::Pending {
            self.pending.put(connection, owner.clone());
        }
        owner
    }
}
