//! One plugin of the chain: what it is asked, what comes of its answers, and what happens when it gives none.
//!
//! An instance that has failed is thrown away. The events are then asked about again in halves, by a new instance, so
//! that only those that the plugin can't bear go without its verdict; a budget of time and calls keeps one batch from
//! holding up those behind it. A plugin that fails again soon, or doesn't start again, gets a pause, each twice as long as the
//! one before; one that fails too often is left out from then on.

use std::{
    collections::VecDeque,
    mem::{Discriminant, discriminant},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{
    Digest, Fault, Halt, Limits, Loader, OnFault, Reason, Spec, When,
    action::{self, Effect},
    bypass::skip,
    dead_letters::DeadLetters,
    engine::TICK,
    grants::grants,
    imports::Kept,
    instance::{Instance, Template},
    limits, load,
    manifest::{self, Role},
    settings,
    v0_1::{Action, Fields, tables::KIND},
};
use lightmon_event::escape::printable;
use lightmon_event::{Event, stats};

mod tick;

/// Most calls of one batch after the first has failed: enough to find two events among 256.
const RETRIES: u32 = 32;

/// After the second fault of a while; twice as long after each further one.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub(super) struct Runner {
    name: String,
    role: Role,
    template: Template,
    limits: Limits,
    on_fault: OnFault,
    /// What it asked for when it was started first.
    needs: Fields,
    /// All must match.
    when: Vec<When>,
    /// The kinds of events that it knows.
    kinds: Vec<u8>,
    /// How often it wants to be called, if it does.
    period: Option<Duration>,
    /// When it is to be called again.
    due: Option<Duration>,
    /// Whether it has last words.
    has_stop: bool,
    /// None after a fault, until it is needed again.
    instance: Option<Instance>,
    is_disabled: bool,
    /// Nothing is asked before.
    pause: Option<Instant>,
    /// The fault with which lightmon must end.
    halt: Option<Halt>,
    /// When the latest faults happened.
    faults: VecDeque<Instant>,
    /// The kinds of faults that were told.
    told: Vec<Discriminant<Fault>>,
}

impl Runner {
    /// Compiles and starts it.
    pub(super) fn load(
        spec: &Spec,
        name: String,
        bytes: &[u8],
        digest: Digest,
        loader: &Loader,
        kept: Arc<Kept>,
    ) -> Result<Self, Reason> {
        let Loader {
            engine,
            limits,
            tables,
            when,
        } = loader;
        if let Some(wanted) = spec.sha256.filter(|wanted| *wanted != digest) {
            return Err(Reason::Digest { is: digest, wanted });
        }
        let mut limits = spec.limits.over(limits);
        if !spec.limits.has("memory") && manifest::brings_a_runtime(bytes) {
            limits.memory = limits.memory.max(limits::MEMORY_WITH_RUNTIME);
        }
        let loaded = load::load(engine, bytes, digest)?;
        if let Some(manifest) = &loaded.manifest {
            settings::check(&spec.config, &manifest.config).map_err(Reason::Settings)?;
        }
        let config = serde_json::Value::Object(spec.config.clone()).to_string();
        let grants = grants(spec, &loaded, tables)?;
        let template = Template::new(
            engine.clone(),
            &loaded,
            config,
            limits.clone(),
            grants,
            kept,
        )?;
        let (instance, setup) = template.start()?;
        let theirs = setup.when.iter().map(|expression| {
            when(expression).map_err(|cause| Reason::When {
                expression: printable(expression),
                cause: printable(&cause),
            })
        });
        let users = spec.when.iter().map(|expression| {
            when(expression).map_err(|cause| Reason::BadWhen {
                expression: printable(expression),
                cause: printable(&cause),
            })
        });
        let when = users.chain(theirs).collect::<Result<_, _>>()?;
        Ok(Self {
            name,
            role: loaded.role(),
            template,
            limits,
            on_fault: spec.on_fault.unwrap_or(match loaded.role() {
                Role::Redactor => OnFault::Drop,
                Role::Filter | Role::Formatter => OnFault::Pass,
            }),
            needs: setup.needs,
            when,
            kinds: match setup.kinds {
                kinds if kinds.is_empty() => vec![KIND],
                kinds => kinds,
            },
            period: instance.period(),
            due: None,
            has_stop: loaded.stop.is_some(),
            instance: Some(instance),
            is_disabled: false,
            pause: None,
            halt: None,
            faults: VecDeque::new(),
            told: Vec::new(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn on_fault(&self) -> OnFault {
        self.on_fault
    }

    /// Whether it hides what must not get out.
    pub(super) fn is_redactor(&self) -> bool {
        self.role == Role::Redactor
    }

    /// Forgets that it has failed. Whether it was disabled.
    pub(super) fn enable(&mut self) -> bool {
        self.faults.clear();
        self.told.clear();
        self.pause = None;
        std::mem::take(&mut self.is_disabled)
    }

    /// Hands over the events that it wants to see, and takes those that it drops out of the batch.
    pub(super) fn run(
        &mut self,
        batch: &mut Vec<Event>,
        count: &stats::Plugin,
        letters: &mut DeadLetters,
    ) -> Result<(), Halt> {
        let is_wanted =
            |event: &Event| self.kinds.contains(&KIND) && self.when.iter().all(|when| when(event));
        let chosen: Vec<usize> = (0..batch.len()).filter(|&i| is_wanted(&batch[i])).collect();
        let mut judged = Judged {
            is_dropped: vec![false; batch.len()],
            events: batch,
            count,
            letters,
        };
        for chosen in chosen.chunks(self.limits.events.max(1)) {
            self.judge(chosen, &mut judged, &mut None);
        }
        let mut is_dropped = judged.is_dropped.into_iter();
        batch.retain(|_| is_dropped.next() != Some(true));
        self.halt.take().map_or(Ok(()), Err)
    }

    /// Asks about the chosen events, and after a fault about each half of them.
    fn judge(&mut self, chosen: &[usize], judged: &mut Judged<'_>, retry: &mut Option<Retry>) {
        let limit = match retry {
            None => Some(self.limits.batch),
            Some(retry) => retry.next(),
        };
        if retry.is_none() {
            self.pause = self.pause.filter(|until| Instant::now() < *until);
        }
        let Some(limit) = limit.filter(|_| !self.is_disabled && self.pause.is_none()) else {
            return judged.skip(chosen, self);
        };
        let fault = match self.ask(chosen, judged, limit) {
            Ok(actions) => return judged.apply(actions, chosen, &self.limits),
            Err(fault) => fault,
        };
        self.instance = None;
        let is_first = retry.is_none();
        if is_first {
            *retry = Some(Retry::new(self.limits.batch));
            judged.count.faults.fetch_add(1, Relaxed);
            self.record(&fault, "a batch");
        }
        // A start that fails will fail again at once, and may take long.
        let is_restart = matches!(fault, Fault::Restart(_));
        if is_restart {
            self.pause = self.pause_after(self.faults.len());
        }
        if let ([i], false) = (chosen, is_restart) {
            judged.keep(*i, &self.name, &fault);
        }
        if is_restart || chosen.len() == 1 || self.is_disabled {
            judged.skip(chosen, self);
        } else {
            let (first, second) = chosen.split_at(chosen.len() / 2);
            self.judge(first, judged, retry);
            self.judge(second, judged, retry);
        }
        if is_first && !is_restart {
            // After the first fault of a while it is back at once.
            self.pause = self.pause_after(self.faults.len().saturating_sub(1));
        }
    }

    fn ask(
        &mut self,
        chosen: &[usize],
        judged: &Judged<'_>,
        limit: Duration,
    ) -> Result<Vec<Action>, Fault> {
        let needs = self.needs;
        let instance = self.instance(judged.count)?;
        let events = chosen.iter().map(|&i| &judged.events[i]);
        // `init` is not for these events.
        instance.fuel();
        let began = Instant::now();
        let result = instance.process(events, needs, limit);
        judged.count.fuel.fetch_add(instance.fuel(), Relaxed);
        let (took, memory) = (began.elapsed(), instance.memory());
        let is_nearly_full = instance.is_nearly_full();
        self.template.kept().counters.count(judged.count);
        judged.count.called(chosen.len(), took, memory);
        if result.is_ok() && is_nearly_full {
            // A planned restart costs nobody an event.
            self.instance = None;
        }
        result
    }

    /// The one that there is, or a new one.
    fn instance(&mut self, count: &stats::Plugin) -> Result<&mut Instance, Fault> {
        match &mut self.instance {
            Some(instance) => Ok(instance),
            none => {
                let (instance, _) = self
                    .template
                    .start()
                    .map_err(|reason| Fault::Restart(reason.to_string()))?;
                count.restarts.fetch_add(1, Relaxed);
                Ok(none.insert(instance))
            }
        }
    }

    fn pause_after(&self, faults: usize) -> Option<Instant> {
        let doubled = faults.checked_sub(1)?.min(16) as u32;
        Some(Instant::now() + (SHORTEST_PAUSE * (1 << doubled)).min(LONGEST_PAUSE))
    }

    /// Tells a fault, if it is the first of its kind, and disables a plugin that has had too many.
    fn record(&mut self, fault: &Fault, on: &str) {
        if self.is_disabled {
            return;
        }
        let kind = discriminant(fault);
        if !self.told.contains(&kind) {
            self.told.push(kind);
            tracing::warn!(plugin = %self.name, %fault, "plugin failed on {on}; it is restarted (told once for each kind of fault)");
        }
        if self.on_fault == OnFault::Halt {
            self.halt.get_or_insert(Halt {
                plugin: self.name.clone(),
                reason: fault.to_string(),
            });
        }
        let now = Instant::now();
        self.faults.push_back(now);
        let is_old = |then: &Instant| now.duration_since(*then) > self.limits.window;
        while self.faults.front().is_some_and(is_old) {
            self.faults.pop_front();
        }
        if self.faults.len() >= self.limits.faults {
            let Limits { faults, window, .. } = self.limits;
            self.disable(&format!(
                "{faults} faults within {window:?}, the last: it {fault}"
            ));
        }
    }

    fn disable(&mut self, reason: &str) {
        self.is_disabled = true;
        self.instance = None;
        let events = match self.on_fault {
            OnFault::Pass | OnFault::Halt => "pass unchanged",
            OnFault::Drop => "are dropped",
        };
        tracing::error!(plugin = %self.name, reason, "plugin disabled until it is reloaded, by SIGHUP or --watch; its events {events}");
    }
}

/// A batch while a plugin's verdicts come in.
struct Judged<'a> {
    events: &'a mut [Event],
    is_dropped: Vec<bool>,
    count: &'a stats::Plugin,
    letters: &'a mut DeadLetters,
}

impl Judged<'_> {
    /// In their order. What is asked for an event that is dropped already is of no use any more, but no fault either.
    fn apply(&mut self, actions: Vec<Action>, chosen: &[usize], limits: &Limits) {
        let (mut ignored, mut tagged) = (0, 0);
        for action in actions {
            let Some(&i) = chosen.get(action::target(&action) as usize) else {
                ignored += 1;
                continue;
            };
            if self.is_dropped[i] {
                continue;
            }
            let is_tag = matches!(action, Action::Tag(_));
            match action::apply(action, &mut self.events[i], limits) {
                Effect::Drop => self.drop(i),
                Effect::Changed => tagged += u64::from(is_tag),
                Effect::Ignored => ignored += 1,
            }
        }
        self.count.ignored.fetch_add(ignored, Relaxed);
        self.count.tagged.fetch_add(tagged, Relaxed);
    }

    /// Keeps an event that the plugin fails on alone, for its author.
    fn keep(&mut self, i: usize, name: &str, fault: &Fault) {
        let is_kept = self.letters.keep(&self.events[i], name, fault);
        self.count.letters.fetch_add(is_kept.into(), Relaxed);
    }

    /// For events that get no verdict.
    fn skip(&mut self, chosen: &[usize], guest: &Runner) {
        for &i in chosen {
            self.is_dropped[i] =
                !skip(&mut self.events[i], &guest.name, guest.on_fault, self.count);
        }
    }

    fn drop(&mut self, i: usize) {
        self.is_dropped[i] = true;
        self.count.dropped.fetch_add(1, Relaxed);
    }
}

/// What is left for asking again about one batch: as much time as for a batch, restarts included, and some calls.
struct Retry {
    until: Instant,
    calls: u32,
    limit: Duration,
}

impl Retry {
    /// A call gets a tenth, so that an endless loop can be found within the whole.
    fn new(time: Duration) -> Self {
        Self {
            until: Instant::now() + time,
            calls: RETRIES,
            limit: (time / 10).max(TICK),
        }
    }

    /// The time for one more call, if there may be one.
    fn next(&mut self) -> Option<Duration> {
        let limit = self.limit;
        self.calls = self.calls.checked_sub(1)?;
        (Instant::now() < self.until).then_some(limit)
    }
}
