//! Adds what the kernel record lacks: the process's program, the user's name, the container.
//! Leaves out nothing and decides nothing; what is not known stays unknown.

pub mod container;
#[cfg(any(fuzzing, test))]
pub mod fuzz;
mod name_wait;
pub(crate) mod process;
mod user;

use std::{
    collections::hash_map::Entry,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::HashMap;

use self::{container::Containers, name_wait::Hold, process::Processes, user::Users};
use lightmon_event::{CgroupMigrations, Event, Outcome, Process, Record};

/// The enrich stage, with all that it remembers.
pub struct Identity {
    processes: Processes,
    users: Users,
    containers: Containers,
    /// Who has begun the connections that are reported as pending, for their outcome: by then their process may be gone,
    /// and its pid be another's.
    pending: Recent<(Duration, u32), Who, PENDING>,
    /// Events whose container's name is awaited.
    hold: Hold,
}

/// Connections that take less were not reported as pending before.
const LATE: Duration = Duration::from_millis(500);

/// Connections without an answer in each half of the table.
const PENDING: usize = 16_384;

/// What the enrich stage adds to an event.
#[derive(Clone, Debug)]
struct Who {
    process: Arc<Process>,
    user: Option<Arc<str>>,
    container: Option<Arc<str>>,
}

impl Identity {
    /// Knows the processes that run now, and the containers that `containers` is told of.
    pub fn new(containers: Containers) -> Self {
        Self {
            processes: Processes::of_system(),
            users: Users::default(),
            containers,
            pending: Recent::default(),
            hold: Hold::default(),
        }
    }

    /// Asks there how often processes were moved to another cgroup so far. As often as when a program was started, it is still
    /// known which container it is in; without, that is looked up for each program.
    #[must_use]
    pub fn counting_migrations(
        mut self,
        now: impl Fn() -> Option<CgroupMigrations> + Send + 'static,
    ) -> Self {
        self.processes.count_moves(now);
        self
    }

    /// Turns records into complete events, in their order; but those whose container's name is awaited come with a later
    /// call, at most 100 ms after the runtimes were asked for it.
    pub fn apply(&mut self, records: impl IntoIterator<Item = Record>, events: &mut Vec<Event>) {
        self.hold.release(&self.containers, events);
        for record in records {
            match record {
                Record::Exec(exec) => self.processes.exec(exec, &self.containers),
                Record::Fork(fork) => self.processes.fork(fork),
                Record::Cgroup { id, path } => self.containers.made(id, &path),
                Record::FromSelf(_) | Record::Lost(_) | Record::Notice(_) => {}
                Record::Connection(mut event) => {
                    let who = self.who(&event);
                    event.process = who.process;
                    event.user = who.user;
                    let is_awaited = if let Some(id) = who.container {
                        let (container, is_awaited) = self.containers.ask(&id);
                        event.container = Some(container);
                        event.container_provenance =
                            Some(self.containers.provenance(event.cgroup_id));
                        is_awaited
                    } else {
                        event.unit = self.containers.unit(event.cgroup_id);
                        false
                    };
                    event.peer = self.containers.at(event.destination.ip());
                    self.hold.pass(event, is_awaited, events);
                }
            }
        }
        self.processes.read_some();
    }

    /// How many events wait.
    pub fn held(&self) -> usize {
        self.hold.len()
    }

    /// When to call [`apply`](Self::apply) again for those that wait, even with nothing new.
    pub fn due(&self) -> Option<Instant> {
        match self.processes.has_unread() {
            true => Some(Instant::now()),
            false => self.hold.due(),
        }
    }

    fn who(&mut self, event: &Event) -> Who {
        let connection = (event.kernel_time, event.tid);
        if event.latency.is_none_or(|latency| latency >= LATE)
            && let Some(who) = self.pending.get(connection)
        {
            return who.clone();
        }
        let (process, container) = self.processes.of(event, &self.containers);
        let who = Who {
            process,
            user: self.users.name(event.uid, event.kernel_time),
            container,
        };
        if event.outcome == Outcome::Pending {
            self.pending.insert(connection, who.clone());
        }
        who
    }
}

/// Remembers at most about `2 * N` values: when the young half is full, the old half is forgotten, and what was
/// used since then has moved to the young one. Bounded, and no bookkeeping a look-up. Its hash is a quick one, as each event asks
/// for several.
#[derive(Debug)]
struct Recent<K, V, const N: usize> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V, const N: usize> Default for Recent<K, V, N> {
    fn default() -> Self {
        Self {
            young: Default::default(),
            old: Default::default(),
        }
    }
}

impl<K: std::hash::Hash + Eq + Copy, V, const N: usize> Recent<K, V, N> {
    fn get(&mut self, key: K) -> Option<&mut V> {
        if self.young.len() >= N && !self.young.contains_key(&key) {
            let value = self.old.remove(&key)?;
            self.insert(key, value);
        }
        // One look-up for what is used most.
        match self.young.entry(key) {
            Entry::Occupied(entry) => Some(entry.into_mut()),
            Entry::Vacant(entry) => self.old.remove(&key).map(|value| entry.insert(value)),
        }
    }

    fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= N {
            // Their room is used again: made anew each time, it would leave holes behind.
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_forgets_what_was_not_used() {
        let mut recent = Recent::<u32, u32, 2>::default();
        for key in 0..3 {
            recent.insert(key, key * 10);
        }
        assert_eq!(recent.get(0).copied(), Some(0)); // moves to the young half, which is full then
        recent.insert(3, 30);
        assert_eq!(recent.get(1), None);
        assert_eq!(
            (recent.get(0).copied(), recent.get(3).copied()),
            (Some(0), Some(30))
        );
        recent.insert(0, 1);
        assert_eq!(recent.get(0).copied(), Some(1));
        assert!(recent.young.len() + recent.old.len() <= 4);
    }
}
