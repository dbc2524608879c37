//! What is known of containers, by their ids: told by runtimes, asked for, bounded, and forgotten some time after their end.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::{HashMap, HashMapExt as _};
use tokio::sync::mpsc;

use lightmon_event::Container;

/// How long events wait for the runtimes' answer.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

/// Most containers remembered, running or not.
pub(super) const MAX_CONTAINERS: usize = 4096;

/// Most text of one container; labels that do not fit any more are left out.
pub(super) const MAX_TEXT: usize = 16 << 10;

/// All containers that were told or asked for.
pub(super) struct Names {
    pub(super) entries: HashMap<Arc<str>, Entry>,
    /// Whose they are, of those that run.
    pub(super) addresses: HashMap<IpAddr, Arc<str>>,
    /// To ask them; `None` while not connected.
    pub(super) runtimes: Vec<Option<mpsc::Sender<Arc<str>>>>,
    pub(super) memory: Duration,
    /// Counts uses, to know which one is the longest unused.
    pub(super) uses: u64,
}

pub(super) struct Entry {
    pub(super) container: Arc<Container>,
    /// The runtime that told about it; without one the container has only an id.
    pub(super) teller: Option<usize>,
    /// What it probably will tell.
    pub(super) hint: Option<Arc<Container>>,
    /// When all runtimes were asked for it: it would be of no use to ask again.
    pub(super) asked: Option<Instant>,
    pub(super) ended: Option<Instant>,
    pub(super) used: u64,
}

impl Entry {
    pub(super) fn untold(id: &str) -> Self {
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
    pub(super) fn has_ended_before(&self, now: impl Fn() -> Instant, memory: Duration) -> bool {
        self.ended
            .is_some_and(|ended| now().saturating_duration_since(ended) >= memory)
    }
}

impl Names {
    pub(super) fn new(memory: Duration) -> Self {
        Self {
            entries: HashMap::new(),
            addresses: HashMap::new(),
            runtimes: Vec::new(),
            memory,
            uses: 0,
        }
    }

    /// A container, and whether its runtime was asked for it just now and may still answer. What it probably will tell is believed
    /// from the moment on when it may not.
    pub(super) fn get(&mut self, id: &str) -> (Arc<Container>, bool) {
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
        let is_awaited = entry.is_awaited() && has_runtime(&self.runtimes);
        if !is_awaited && let Some(hint) = entry.hint.take() {
            entry.container = hint;
        }
        (entry.container.clone(), is_awaited)
    }

    /// Asks for a container that is being made. It is asked for again by its first connection, if it has no name then: this may be
    /// too early for the runtime to know it.
    pub(super) fn expect(&mut self, id: &str) {
        if !self.entries.contains_key(id) {
            ask(&self.runtimes, &id.into());
        }
    }

    pub(super) fn tell(&mut self, teller: usize, container: Container, now: Instant) {
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
    pub(super) fn forget(&mut self, now: Instant) {
        self.entries
            .retain(|_, entry| !entry.has_ended_before(|| now, self.memory));
    }

    /// Takes their addresses from the containers that have ended or are forgotten: somebody else may have them now.
    pub(super) fn release(&mut self) {
        let runs = |id: &Arc<str>| self.entries.get(id).is_some_and(|it| it.ended.is_none());
        self.addresses.retain(|_, owner| runs(owner));
    }

    /// Room for one more: the ended ones go first, then the longest unused. One that is still needed is asked for again.
    pub(super) fn make_room(&mut self, now: Instant) {
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

/// Whether there is anybody who answers.
fn has_runtime(runtimes: &[Option<mpsc::Sender<Arc<str>>>]) -> bool {
    runtimes.iter().flatten().any(|it| !it.is_closed())
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
pub(super) fn bounded(mut container: Container) -> Container {
    let mut room = MAX_TEXT;
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
