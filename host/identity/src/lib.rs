//! Adds what the kernel record lacks: the process's program, the user's name, the container.
//! Leaves out nothing and decides nothing; what is not known stays unknown.

pub mod container;
#[cfg(any(fuzzing, test))]
pub mod fuzz;
mod name_wait;
pub(crate) mod process;
mod user;

use std::{
    hash::Hash,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{container::Containers, name_wait::Hold, process::Processes, user::Users};
use lightmon_event::{CgroupMigrations, Event, Outcome, Process, Record};

/// The enrich stage, with all that it remembers.
pub struct Identity {
    processes: Processes,
    users: Users,
    containers: Containers,
    /// Who has begun the connections that are reported as pending, for their outcome: by then their process may be gone,
    /// and its pid be another's.
    pending: LruCache<(Duration, u32), Who>,
    /// Events whose container's name is awaited.
    hold: Hold,
}

/// Connections that take less were not reported as pending before.
const LATE: Duration = Duration::from_millis(500);

/// Most connections without an answer that are remembered.
const MAX_PENDING: NonZeroUsize = NonZeroUsize::new(32_768).unwrap();

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
            pending: lru_cache(MAX_PENDING),
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
            && let Some(who) = self.pending.get(&connection)
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
            self.pending.put(connection, who.clone());
        }
        who
    }
}

/// Forgets what was not used for the longest time. Its hash function is a quick one, as each event asks for several values.
type LruCache<K, V> = lru::LruCache<K, V, foldhash::fast::RandomState>;

/// A cache of at most this many values; it takes memory for those that it has.
fn lru_cache<K: Hash + Eq, V>(capacity: NonZeroUsize) -> LruCache<K, V> {
    let mut cache = LruCache::unbounded_with_hasher(Default::default());
    cache.resize(capacity);
    cache
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_forgets_what_was_not_used() {
        let mut cache = lru_cache::<u32, u32>(const { NonZeroUsize::new(2).unwrap() });
        for key in 0..2 {
            cache.put(key, key * 10);
        }
        assert_eq!(cache.get(&0).copied(), Some(0));
        cache.put(3, 30);
        assert_eq!(cache.get(&1), None);
        assert_eq!(
            (cache.get(&0).copied(), cache.get(&3).copied()),
            (Some(0), Some(30))
        );
        cache.put(0, 1);
        assert_eq!(cache.get(&0).copied(), Some(1));
        assert_eq!(cache.len(), 2);
    }
}
