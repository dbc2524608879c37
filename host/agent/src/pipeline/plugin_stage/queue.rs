//! The queue in front of the plugins, on the bounded queue that the output has too ([`lightmon_thread::queue`]): batches of
//! events, notices between them, and wake-ups for a reload. The room of a batch is free once its events have gone through.

use std::{
    mem,
    time::{Duration, Instant},
};

use lightmon_event::{Event, Notice};
use lightmon_plugin_host::Halt;
use lightmon_thread::queue::{self, Backpressure, Bounded, State as _, Weigh};

/// How many events may wait for the plugins. One batch may always wait.
const MAX_QUEUED_EVENTS: usize = 8192;

/// How long capture waits for room, all waits together, before events bypass the plugins.
const ROOM_BUDGET: Duration = Duration::from_millis(100);

/// What the worker is to do.
pub(super) enum Work {
    Events(Vec<Event>),
    Notice(Notice),
    /// Look at the chain: a plugin has a replacement, or is due to be called.
    Wake,
}

impl Weigh for Work {
    fn weight(&self) -> usize {
        match self {
            Self::Events(events) => events.len(),
            Self::Notice(_) | Self::Wake => 0,
        }
    }
}

/// The queue, shared by the capture thread and the plugin thread.
pub(in crate::pipeline) struct Queue(queue::Queue<State>);

struct State {
    work: Bounded<Work>,
    /// An emptied batch, to be filled again.
    spare_batch: Vec<Event>,
    halt: Option<Halt>,
    /// No more is pushed.
    is_ending: bool,
    /// The worker takes no more.
    has_ended: bool,
}

impl queue::State for State {
    type Item = Work;

    fn queue(&mut self) -> &mut Bounded<Work> {
        &mut self.work
    }

    fn is_over(&self) -> bool {
        self.has_ended
    }
}

impl Queue {
    pub(super) fn new(is_lossless: bool) -> Self {
        let backpressure = if is_lossless {
            Backpressure::Block
        } else {
            Backpressure::Lossy {
                budget: ROOM_BUDGET,
            }
        };
        Self(queue::Queue::new(State {
            work: Bounded::new(MAX_QUEUED_EVENTS, backpressure),
            spare_batch: Vec::new(),
            halt: None,
            is_ending: false,
            has_ended: false,
        }))
    }

    /// Hands events over, or gives them back if there is no room in time.
    pub(super) fn push(&self, events: Vec<Event>) -> Result<(), Vec<Event>> {
        let mut state = self.0.wait_for_room(events.len());
        if state.is_over() || !state.work.has_room(events.len()) {
            return Err(events);
        }
        state.work.push(Work::Events(events));
        self.0.notify_work();
        Ok(())
    }

    pub(super) fn push_notice(&self, notice: Notice) {
        self.0.lock().work.push(Work::Notice(notice));
        self.0.notify_work();
    }

    /// Has the worker look at the chain.
    pub(super) fn wake(&self) {
        self.0.lock().work.push(Work::Wake);
        self.0.notify_work();
    }

    /// An emptied batch, or why lightmon must not go on.
    pub(super) fn spare_batch(&self) -> Result<Vec<Event>, Halt> {
        let mut state = self.0.lock();
        match state.halt.take() {
            Some(halt) => Err(halt),
            None => Ok(mem::take(&mut state.spare_batch)),
        }
    }

    /// Says why lightmon must not go on.
    pub(super) fn halt(&self, halt: Halt) {
        self.0.lock().halt.get_or_insert(halt);
    }

    /// Waits until all events have gone through the plugins.
    pub(super) fn drain(&self) {
        let mut state = self.0.lock();
        while state.work.weight() > 0 && !state.is_over() {
            state = self.0.wait_for_progress(state, None);
        }
    }

    /// No more is pushed: the worker ends when the queue is empty.
    pub(super) fn end(&self) {
        self.0.lock().is_ending = true;
        self.0.notify_work();
    }

    /// Waits for the next work, at most for `timeout`: then it is [`Work::Wake`]. `None` if there is no more.
    pub(super) fn next(&self, timeout: Option<Duration>) -> Option<Work> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.0.lock();
        loop {
            if let Some(work) = state.work.pop_in_progress() {
                return Some(work);
            }
            if state.is_ending {
                return None;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Some(Work::Wake);
            }
            state = self.0.wait_for_work(state, deadline);
        }
    }

    /// The events have gone through. Keeps their batch to be filled again.
    pub(super) fn finish(&self, mut events: Vec<Event>) {
        events.clear();
        let mut state = self.0.lock();
        state.work.finish();
        state.spare_batch = events;
        self.0.notify_progress();
    }

    /// The worker takes no more: nobody waits for it.
    pub(super) fn abandon(&self) {
        let mut state = self.0.lock();
        state.has_ended = true;
        state.work.clear();
        self.0.notify_progress();
    }
}
