//! The table of containers by id: reported by a runtime, or requested from the runtimes. It is bounded, and forgets a container
//! some time after its end.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::{HashMap, HashMapExt as _};
use lightmon_event::Container;
use tokio::sync::mpsc::{Sender, error::TrySendError};

/// How long events wait for a runtime to answer.
pub(super) const NAME_TIMEOUT: Duration = Duration::from_millis(100);

/// Most containers that are remembered, running or not.
pub(super) const MAX_CONTAINERS: usize = 4096;

/// How many containers a full table forgets at once. Each time, all entries are compared.
const FORGET_AT_ONCE: usize = MAX_CONTAINERS / 8;

/// Most bytes of text of one container. What does not fit is left out.
pub(super) const MAX_TEXT_BYTES: usize = 16 << 10;

/// All containers that were reported or requested.
pub(super) struct Table {
    pub(super) entries: HashMap<Arc<str>, Entry>,
    /// The ids of running containers, by address.
    addresses: HashMap<IpAddr, Arc<str>>,
    /// Where to send requests to each runtime; `None` while it is not connected.
    runtimes: Vec<Option<Sender<Arc<str>>>>,
    /// How long a container is remembered after its end.
    retention: Duration,
    /// Counts the uses of all entries.
    uses: u64,
}

/// What is known about one container.
pub(super) struct Entry {
    pub(super) container: Arc<Container>,
    /// The runtime that has reported it. Without one, the container has only an id.
    pub(super) reporter: Option<usize>,
    /// What the runtime will probably report.
    hint: Option<Arc<Container>>,
    /// When all runtimes were asked for it. They are asked once.
    pub(super) requested_at: Option<Instant>,
    pub(super) ended_at: Option<Instant>,
    /// The table's count of uses when it was last used.
    last_use: u64,
}

impl Table {
    pub(super) fn new(retention: Duration) -> Self {
        Self {
            entries: HashMap::new(),
            addresses: HashMap::new(),
            runtimes: Vec::new(),
            retention,
            uses: 0,
        }
    }

    /// A container, and whether a runtime may still report it: it was requested a moment ago. When the time for an answer is
    /// over, the hint is used, if there is one.
    pub(super) fn get(&mut self, id: &str) -> (Arc<Container>, bool) {
        let entry = self.entries.get(id);
        if entry.is_none_or(|entry| entry.is_over(Instant::now, self.retention)) {
            self.make_room(Instant::now());
            self.entries.insert(id.into(), Entry::unreported(id));
        }
        self.uses += 1;
        let entry = self
            .entries
            .get_mut(id)
            .expect("invariant: inserted if it was not there");
        entry.last_use = self.uses;
        if entry.reporter.is_none() && entry.requested_at.is_none() {
            entry.requested_at = request(&self.runtimes, &entry.container.id).then(Instant::now);
        }
        let name_may_come = entry.is_requested() && has_runtime(&self.runtimes);
        if !name_may_come && let Some(hint) = entry.hint.take() {
            entry.container = hint;
        }
        (entry.container.clone(), name_may_come)
    }

    /// Requests a container whose cgroup was just created. The runtime may not know the container yet. If it does not answer, the
    /// first connection of the container requests it again.
    pub(super) fn request_early(&mut self, id: &str) {
        if !self.entries.contains_key(id) {
            request(&self.runtimes, &id.into());
        }
    }

    /// The runtime with this index has reported a container.
    pub(super) fn report(&mut self, reporter: usize, container: Container, now: Instant) {
        if !self.entries.contains_key(&container.id) {
            self.make_room(now);
        }
        self.uses += 1;
        let id = container.id.clone();
        // An answer that comes after the end of the container does not make it run again.
        let ended_at = self.entries.get(&id).and_then(|entry| entry.ended_at);
        let entry = Entry {
            container: Arc::new(bounded(container)),
            reporter: Some(reporter),
            hint: None,
            requested_at: None,
            ended_at,
            last_use: self.uses,
        };
        self.entries.insert(id, entry);
    }

    /// Keeps a hint about a container that no runtime has reported.
    pub(super) fn hint(&mut self, container: Container) {
        if !self.entries.contains_key(&container.id) {
            self.make_room(Instant::now());
        }
        let id = container.id.clone();
        let entry = self
            .entries
            .entry(id)
            .or_insert_with_key(|id| Entry::unreported(id));
        if entry.reporter.is_none() {
            entry.hint = Some(Arc::new(bounded(container)));
        }
    }

    pub(super) fn rename(&mut self, id: &str, name: &str) {
        let entry = self.entries.get_mut(id);
        if let Some(entry) = entry.filter(|entry| entry.reporter.is_some()) {
            entry.container = Arc::new(bounded(Container {
                name: Some(name.into()),
                ..(*entry.container).clone()
            }));
        }
    }

    /// The container that has this address.
    pub(super) fn at(&self, address: IpAddr) -> Option<Arc<Container>> {
        let entry = self.entries.get(self.addresses.get(&address)?)?;
        Some(entry.container.clone())
    }

    /// Replaces the addresses of a container, unless it has ended.
    pub(super) fn set_addresses(&mut self, id: &str, addresses: impl Iterator<Item = IpAddr>) {
        self.addresses.retain(|_, owner| **owner != *id);
        let entry = self.entries.get_key_value(id);
        let Some((id, _)) = entry.filter(|(_, entry)| entry.ended_at.is_none()) else {
            return;
        };
        let addresses = addresses.map(|address| (address, id.clone()));
        self.addresses.extend(addresses);
    }

    /// Removes the addresses of containers that have ended or are forgotten: another container may get them.
    pub(super) fn release_addresses(&mut self) {
        let runs = |id: &Arc<str>| {
            let entry = self.entries.get(id);
            entry.is_some_and(|entry| entry.ended_at.is_none())
        };
        self.addresses.retain(|_, owner| runs(owner));
    }

    /// Forgets the containers whose end is long enough ago.
    pub(super) fn forget_ended(&mut self, now: Instant) {
        self.entries
            .retain(|_, entry| !entry.is_over(|| now, self.retention));
    }

    /// Makes room for one more container. Containers that have ended go first, then those not used for the longest time. One
    /// that is still needed will be requested again.
    fn make_room(&mut self, now: Instant) {
        if self.entries.len() < MAX_CONTAINERS {
            return;
        }
        self.forget_ended(now);
        if self.entries.len() >= MAX_CONTAINERS {
            let mut order: Vec<_> = self
                .entries
                .iter()
                .map(|(id, entry)| (entry.ended_at.is_none(), entry.last_use, id.clone()))
                .collect();
            order.select_nth_unstable(FORGET_AT_ONCE);
            for (_, _, id) in &order[..FORGET_AT_ONCE] {
                self.entries.remove(id);
            }
            self.release_addresses();
        }
    }

    /// Adds a runtime that is not connected, and returns its index.
    pub(super) fn add_runtime(&mut self) -> usize {
        self.runtimes.push(None);
        self.runtimes.len() - 1
    }

    /// The runtime is connected. Containers that nobody has reported are requested again when they are seen.
    pub(super) fn set_runtime(&mut self, index: usize, requests: Sender<Arc<str>>) {
        self.runtimes[index] = Some(requests);
        for entry in self.entries.values_mut() {
            entry.requested_at = None;
        }
    }

    pub(super) fn remove_runtime(&mut self, index: usize) {
        self.runtimes[index] = None;
    }
}

impl Entry {
    fn unreported(id: &str) -> Self {
        let container = Container {
            id: id.into(),
            ..Container::default()
        };
        Self {
            container: Arc::new(container),
            reporter: None,
            hint: None,
            requested_at: None,
            ended_at: None,
            last_use: 0,
        }
    }

    /// Whether the runtimes were asked, and may still answer in time.
    fn is_requested(&self) -> bool {
        let requested_at = self.requested_at.filter(|_| self.reporter.is_none());
        requested_at.is_some_and(|at| at.elapsed() < NAME_TIMEOUT)
    }

    /// Whether the container ended so long ago that it is to be forgotten. Reads the clock only if it has ended.
    fn is_over(&self, now: impl Fn() -> Instant, retention: Duration) -> bool {
        let ended_at = self.ended_at;
        ended_at.is_some_and(|ended_at| now().saturating_duration_since(ended_at) >= retention)
    }
}

/// Whether any runtime can answer.
fn has_runtime(runtimes: &[Option<Sender<Arc<str>>>]) -> bool {
    runtimes.iter().flatten().any(|it| !it.is_closed())
}

/// Asks all connected runtimes for a container. Returns whether at least one got the request, and none was too busy for it.
fn request(runtimes: &[Option<Sender<Arc<str>>>], id: &Arc<str>) -> bool {
    let mut requested = false;
    for runtime in runtimes.iter().flatten() {
        match runtime.try_send(id.clone()) {
            Ok(()) => requested = true,
            Err(TrySendError::Full(_)) => return false,
            Err(TrySendError::Closed(_)) => {}
        }
    }
    requested
}

/// Leaves out texts that are unreasonably long. A text is left out as a whole, because a part of a name is a wrong name.
pub(super) fn bounded(mut container: Container) -> Container {
    let mut room = MAX_TEXT_BYTES;
    let mut fits = |length: usize| match room.checked_sub(length) {
        Some(rest) => {
            room = rest;
            true
        }
        None => false,
    };
    container.name = container.name.filter(|text| fits(text.len()));
    container.image = container.image.filter(|text| fits(text.len()));
    container.image_digest = container.image_digest.filter(|text| fits(text.len()));
    container.pod = container.pod.filter(|pod| {
        let labels = pod
            .labels
            .iter()
            .map(|(key, value)| key.len() + value.len());
        let names = [&pod.name, &pod.namespace, &pod.uid, &pod.container];
        fits(labels.sum::<usize>() + names.map(|it| it.len()).iter().sum::<usize>())
    });
    container
        .labels
        .retain(|(key, value)| fits(key.len() + value.len()));
    container
}
