//! Which container a task runs in: from its cgroup to the id, from the id to what a runtime has told about it.
//! Speaks to no runtime itself: each has a file of its own below, and tells here what there is.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use crate::event::{Container, Provenance, Unit};

pub mod cri;
pub mod docker;

pub(crate) mod cgroup;
mod socket;

use cgroup::Cgroups;

/// How long a container is remembered after its end, for the events that were still on their way.
const MEMORY: Duration = Duration::from_secs(60);

/// How long events wait for the runtimes' answer.
const PATIENCE: Duration = Duration::from_millis(100);

/// Most containers remembered, running or not.
const MAX_CONTAINERS: usize = 4096;

/// Most text of one container; labels that do not fit any more are left out.
const MAX_TEXT: usize = 16 << 10;

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
        Self(Arc::new(Shared {
            cgroups: Mutex::new(Cgroups::of_system()),
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

    /// Whether the runtimes were asked for it just now, and may still answer.
    pub(super) fn is_awaited(&self, id: &str) -> bool {
        let names = self.names();
        names.entries.get(id).is_some_and(Entry::is_awaited) && names.has_runtime()
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

/// All containers that were told or asked for.
struct Names {
    entries: HashMap<Arc<str>, Entry>,
    /// Whose they are, of those that run.
    addresses: HashMap<IpAddr, Arc<str>>,
    /// To ask them; `None` while not connected.
    runtimes: Vec<Option<mpsc::Sender<Arc<str>>>>,
    memory: Duration,
    /// Counts uses, to know which one is the longest unused.
    uses: u64,
}

struct Entry {
    container: Arc<Container>,
    /// The runtime that told about it; without one the container has only an id.
    teller: Option<usize>,
    /// What it probably will tell.
    hint: Option<Arc<Container>>,
    /// When all runtimes were asked for it: it would be of no use to ask again.
    asked: Option<Instant>,
    ended: Option<Instant>,
    used: u64,
}

impl Entry {
    fn untold(id: &str) -> Self {
        let container = Container {
            id: id.into(),
            ..Container::default()
        };
        Self {
            container: Arc::new(container),
            teller: None,
            hint: None,
            asked: None,
            ended: None,
            used: 0,
        }
    }

    fn is_awaited(&self) -> bool {
        self.teller.is_none() && self.asked.is_some_and(|asked| asked.elapsed() < PATIENCE)
    }

    /// Whether its end is longer ago than it is to be remembered. The time is asked for only if it has ended.
    fn has_ended_before(&self, now: impl Fn() -> Instant, memory: Duration) -> bool {
        self.ended
            .is_some_and(|ended| now().saturating_duration_since(ended) >= memory)
    }
}

impl Names {
    fn new(memory: Duration) -> Self {
        Self {
            entries: HashMap::new(),
            addresses: HashMap::new(),
            runtimes: Vec::new(),
            memory,
            uses: 0,
        }
    }

    /// Whether there is anybody who answers.
    fn has_runtime(&self) -> bool {
        self.runtimes.iter().flatten().any(|it| !it.is_closed())
    }

    fn get(&mut self, id: &str) -> Arc<Container> {
        let entry = self.entries.get(id);
        if entry.is_none_or(|entry| entry.has_ended_before(Instant::now, self.memory)) {
            self.make_room(Instant::now());
            self.entries.insert(id.into(), Entry::untold(id));
        }
        self.uses += 1;
        let entry = self
            .entries
            .get_mut(id)
            .expect("invariant: inserted if it was not there");
        entry.used = self.uses;
        if entry.teller.is_none() && entry.asked.is_none() {
            entry.asked = ask(&self.runtimes, &entry.container.id).then(Instant::now);
        }
        if entry.hint.is_some() && !entry.is_awaited() {
            entry.container = entry.hint.take().expect("invariant: it is some");
        }
        entry.container.clone()
    }

    /// Asks for a container that is being made. It is asked for again by its first connection, if it has no name then: this may be
    /// too early for the runtime to know it.
    fn expect(&mut self, id: &str) {
        if !self.entries.contains_key(id) {
            ask(&self.runtimes, &id.into());
        }
    }

    fn tell(&mut self, teller: usize, container: Container, now: Instant) {
        if !self.entries.contains_key(&container.id) {
            self.make_room(now);
        }
        self.uses += 1;
        let id = container.id.clone();
        // An answer that comes after the end does not make it run again.
        let ended = self.entries.get(&id).and_then(|entry| entry.ended);
        let entry = Entry {
            container: Arc::new(bounded(container)),
            teller: Some(teller),
            hint: None,
            asked: None,
            ended,
            used: self.uses,
        };
        self.entries.insert(id, entry);
    }

    /// Forgets the containers that ended long enough ago.
    fn forget(&mut self, now: Instant) {
        self.entries
            .retain(|_, entry| !entry.has_ended_before(|| now, self.memory));
    }

    /// Takes their addresses from the containers that have ended or are forgotten: somebody else may have them now.
    fn release(&mut self) {
        let runs = |id: &Arc<str>| self.entries.get(id).is_some_and(|it| it.ended.is_none());
        self.addresses.retain(|_, owner| runs(owner));
    }

    /// Room for one more: the ended ones go first, then the longest unused. One that is still needed is asked for again.
    fn make_room(&mut self, now: Instant) {
        if self.entries.len() < MAX_CONTAINERS {
            return;
        }
        self.forget(now);
        if self.entries.len() >= MAX_CONTAINERS {
            let mut order: Vec<_> = self
                .entries
                .iter()
                .map(|(id, entry)| (entry.ended.is_none(), entry.used, id.clone()))
                .collect();
            // Many at once: one by one would cost a search each.
            let many = MAX_CONTAINERS / 8;
            order.select_nth_unstable(many);
            for (_, _, id) in &order[..many] {
                self.entries.remove(id);
            }
            self.release();
        }
    }
}

/// Whether all connected runtimes, and at least one, will look for it.
fn ask(runtimes: &[Option<mpsc::Sender<Arc<str>>>], id: &Arc<str>) -> bool {
    let mut asked = false;
    for runtime in runtimes.iter().flatten() {
        match runtime.try_send(id.clone()) {
            Ok(()) => asked = true,
            Err(mpsc::error::TrySendError::Full(_)) => return false,
            Err(mpsc::error::TrySendError::Closed(_)) => {}
        }
    }
    asked
}

/// Leaves out what is beyond any reason: whole texts, since a part of a name would be a wrong name.
fn bounded(container: Container) -> Container {
    let Container {
        id,
        name,
        image,
        image_digest,
        runtime,
        pod,
        mut labels,
    } = container;
    let mut room = MAX_TEXT;
    let mut fits = |length: usize| match room.checked_sub(length) {
        Some(rest) => {
            room = rest;
            true
        }
        None => false,
    };
    let name = name.filter(|text| fits(text.len()));
    let image = image.filter(|text| fits(text.len()));
    let image_digest = image_digest.filter(|text| fits(text.len()));
    let pod = pod.filter(|pod| {
        let labels = pod
            .labels
            .iter()
            .map(|(key, value)| key.len() + value.len());
        let names = [&pod.name, &pod.namespace, &pod.uid, &pod.container];
        fits(labels.sum::<usize>() + names.map(|it| it.len()).iter().sum::<usize>())
    });
    labels.retain(|(key, value)| fits(key.len() + value.len()));
    Container {
        id,
        name,
        image,
        image_digest,
        runtime,
        pod,
        labels,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one; if it did, what is inside is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, name: &str) -> Container {
        Container {
            id: id.into(),
            name: Some(name.into()),
            image: Some("nginx:1.27".into()),
            labels: vec![("app".into(), "web".into())],
            ..Container::default()
        }
    }

    fn name(containers: &Containers, id: &str) -> Option<String> {
        containers.by_id(id).name.as_deref().map(str::to_owned)
    }

    #[test]
    fn told_renamed_ended() {
        let containers = Containers::new();
        let runtime = containers.runtime();
        assert_eq!(*containers.by_id("a"), only_id("a"));
        runtime.tell(container("a", "web"));
        assert_eq!(*containers.by_id("a"), container("a", "web"));
        let before = containers.by_id("a");
        runtime.rename("a", "shop");
        assert_eq!(*containers.by_id("a"), container("a", "shop"));
        assert_eq!(before.name.as_deref(), Some("web"));
        runtime.rename("b", "nobody told about it");
        assert_eq!(*containers.by_id("b"), only_id("b"));
        runtime.end("a");
        assert_eq!(name(&containers, "a").as_deref(), Some("shop"));
        // An answer that was late.
        runtime.tell(container("a", "shop"));
        let end = containers.names().entries["a"].ended.unwrap();
        containers
            .names()
            .forget(end + MEMORY - Duration::from_nanos(1));
        assert_eq!(name(&containers, "a").as_deref(), Some("shop"));
        containers.names().forget(end + MEMORY);
        assert_eq!(*containers.by_id("a"), only_id("a"));
    }

    #[test]
    fn hint_is_believed_when_the_runtime_does_not_answer_in_time() {
        let containers = Containers::new();
        let runtime = containers.runtime();
        runtime.hint(container("a", "web"));
        assert_eq!(
            name(&containers, "a").as_deref(),
            Some("web"),
            "nobody to ask"
        );
        let _questions = runtime.connect();
        runtime.hint(container("b", "db"));
        assert_eq!(
            (name(&containers, "b"), containers.is_awaited("b")),
            (None, true)
        );
        let late = Instant::now().checked_sub(PATIENCE).unwrap();
        containers.names().entries.get_mut("b").unwrap().asked = Some(late);
        assert_eq!(name(&containers, "b").as_deref(), Some("db"));
        // What the runtime says is worth more, before and after.
        runtime.tell(container("b", "told"));
        runtime.hint(container("b", "db"));
        assert_eq!(name(&containers, "b").as_deref(), Some("told"));
    }

    #[test]
    fn ended_is_forgotten_even_if_nothing_else_happens() {
        let containers = Containers::remembering(Duration::ZERO);
        let runtime = containers.runtime();
        runtime.tell(container("a", "web"));
        containers.names().entries.get_mut("a").unwrap().ended = Some(Instant::now());
        assert_eq!(*containers.by_id("a"), only_id("a"));
    }

    #[test]
    fn addresses_are_of_what_runs() {
        let containers = Containers::new();
        containers.resolve_peers();
        let runtime = containers.runtime();
        let [a, b]: [IpAddr; 2] = ["172.17.0.2", "fd00::2"].map(|it| it.parse().unwrap());
        let at = |address| containers.at(address).and_then(|it| it.name.clone());
        runtime.locate("a", [a]);
        assert_eq!(containers.at(a), None, "nobody has told about it");
        runtime.tell(container("a", "web"));
        runtime.locate("a", [a, b]);
        assert_eq!([at(a), at(b)].map(|it| it.is_some()), [true, true]);
        runtime.locate("a", [b]);
        assert_eq!((at(a), at(b).as_deref()), (None, Some("web")));
        runtime.rename("a", "shop");
        assert_eq!(at(b).as_deref(), Some("shop"));
        runtime.tell(container("b", "db"));
        runtime.locate("b", [b]);
        runtime.locate("b", [b, IpAddr::from([127, 0, 0, 1])]);
        assert_eq!(at(IpAddr::from([127, 0, 0, 1])), None, "everybody's");
        runtime.end("a");
        assert_eq!(at(b).as_deref(), Some("db"), "it has another's address");
        runtime.locate("a", [a, b]);
        assert_eq!(at(a), None, "an answer that was late");
        assert_eq!(at(b).as_deref(), Some("db"));
        runtime.list(vec![container("c", "new")]);
        assert_eq!(at(b), None, "the one that had it is not there any more");
    }

    #[test]
    fn list_ends_what_is_not_on_it() {
        let containers = Containers::new();
        let (one, other) = (containers.runtime(), containers.runtime());
        for id in ["a", "b"] {
            one.tell(container(id, "web"));
        }
        other.tell(container("c", "web"));
        one.end("b");
        one.list(vec![container("b", "again"), container("d", "web")]);
        let mut names = containers.names();
        let ended: Vec<_> = ["a", "b", "c", "d"]
            .map(|id| names.entries[id].ended.is_some())
            .into();
        assert_eq!(ended, [true, false, false, false]);
        assert_eq!(names.get("b").name.as_deref(), Some("again"));
    }

    #[test]
    fn asks_once_a_connection() {
        let containers = Containers::new();
        let runtime = containers.runtime();
        // Nobody to ask.
        containers.by_id("a");
        let mut questions = runtime.connect();
        for _ in 0..3 {
            containers.by_id("a");
            containers.by_id("b");
        }
        assert_eq!(questions.try_recv().as_deref(), Ok("a"));
        assert_eq!(questions.try_recv().as_deref(), Ok("b"));
        assert!(questions.try_recv().is_err());
        runtime.tell(container("a", "web"));
        drop(questions);
        containers.by_id("c");
        let mut questions = runtime.connect();
        for id in ["a", "b", "c"] {
            containers.by_id(id);
        }
        assert_eq!(questions.try_recv().as_deref(), Ok("b"));
        assert_eq!(questions.try_recv().as_deref(), Ok("c"));
        assert!(questions.try_recv().is_err());
    }

    #[test]
    fn question_that_found_no_room_is_asked_later() {
        let containers = Containers::new();
        let runtime = containers.runtime();
        let mut questions = runtime.connect();
        for i in 0..=MAX_QUESTIONS {
            containers.by_id(&i.to_string());
        }
        assert_eq!(questions.try_recv().as_deref(), Ok("0"));
        let last = MAX_QUESTIONS.to_string();
        containers.by_id(&last);
        containers.by_id(&last);
        let rest: Vec<_> = std::iter::from_fn(|| questions.try_recv().ok()).collect();
        assert_eq!(rest.len(), MAX_QUESTIONS);
        assert_eq!(rest.last().unwrap().as_ref(), last);
    }

    #[test]
    fn memory_is_bounded_under_churn() {
        let containers = Containers::new();
        let runtime = containers.runtime();
        runtime.tell(container("busy", "web"));
        for i in 0..4 * MAX_CONTAINERS {
            let id = i.to_string();
            runtime.tell(container(&id, "web"));
            if i % 3 > 0 {
                let mut names = containers.names();
                names.entries.get_mut(id.as_str()).unwrap().ended = Some(Instant::now());
            }
            containers.by_id(&format!("unknown {i}"));
            if i % 100 == 0 {
                assert_eq!(name(&containers, "busy").as_deref(), Some("web"));
            }
            assert!(containers.names().entries.len() <= MAX_CONTAINERS);
        }
    }

    #[test]
    fn text_is_bounded_and_never_cut() {
        let long = "x".repeat(MAX_TEXT);
        let label = |key: &str, value: &str| (key.into(), value.into());
        let bounded = bounded(Container {
            id: "a".into(),
            name: Some("web".into()),
            image: Some(long.as_str().into()),
            labels: vec![label("a", "1"), label("b", &long), label("c", "3")],
            ..Container::default()
        });
        assert_eq!(bounded.name.as_deref(), Some("web"));
        assert_eq!(bounded.image, None);
        assert_eq!(bounded.labels, [label("a", "1"), label("c", "3")]);
    }

    fn only_id(id: &str) -> Container {
        Container {
            id: id.into(),
            ..Container::default()
        }
    }
}
