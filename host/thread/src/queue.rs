//! The bounded queue between two threads, and the one place that decides how long a producer waits for room.
//! Knows neither what its items are nor what becomes of an item that has found no room: that is the producer's to count.
//!
//! ```text
//! producer ──► wait_for_room ──► push ──► … ──► pop ──► consumer
//! ```
//!
//! [`Bounded`] is the queue itself. [`Queue`] puts it behind a lock, together with all else that the two threads share
//! ([`State`]), so that an item and its account change in one step.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::{Signal, lock};

/// What a producer does when the queue is full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Backpressure {
    /// Waits as long as it takes, as a replay does.
    Block,
    /// Waits for at most `budget`, all waits together, and then gives up. The producer has the whole budget again once the
    /// queue is at most half full.
    Lossy {
        /// Well below the time in which a busy host fills the kernel's buffer.
        budget: Duration,
    },
}

/// How much of a queue's capacity an item takes.
pub trait Weigh {
    /// In the unit of the capacity. Items of weight 0 always fit.
    fn weight(&self) -> usize;
}

/// Items in their order, with a bound on the sum of their weights.
#[derive(Debug)]
pub struct Bounded<T> {
    items: VecDeque<T>,
    /// The weight of the items in the queue.
    queued: usize,
    /// The weight of items that the consumer has taken with [`pop_in_progress`](Self::pop_in_progress) and not finished.
    in_progress: usize,
    capacity: usize,
    backpressure: Backpressure,
    /// What is left of the budget.
    budget: Duration,
}

impl<T: Weigh> Bounded<T> {
    /// An empty queue.
    pub const fn new(capacity: usize, backpressure: Backpressure) -> Self {
        let budget = match backpressure {
            Backpressure::Block => Duration::MAX,
            Backpressure::Lossy { budget } => budget,
        };
        Self {
            items: VecDeque::new(),
            queued: 0,
            in_progress: 0,
            capacity,
            backpressure,
            budget,
        }
    }

    /// Whether an item of this weight fits. One item always fits into an empty queue, however heavy.
    pub const fn has_room(&self, weight: usize) -> bool {
        let used = self.weight();
        used == 0 || used + weight <= self.capacity
    }

    /// Whether the producer would not even wait for an item of this weight.
    pub const fn is_stalled(&self, weight: usize) -> bool {
        self.budget.is_zero() && !self.has_room(weight)
    }

    /// Whether at most half of the capacity is used.
    pub const fn is_half_empty(&self) -> bool {
        self.weight() <= self.capacity / 2
    }

    /// The weight of all items in the queue and in progress.
    pub const fn weight(&self) -> usize {
        self.queued + self.in_progress
    }

    /// Whether the queue holds no item. Items in progress do not count.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds an item, whether it fits or not.
    pub fn push(&mut self, item: T) {
        self.queued += item.weight();
        self.items.push_back(item);
    }

    /// Adds an item, or merges it into the last one if `merge` can: then `merge` returns what is left of the item.
    pub fn push_or_merge<R>(
        &mut self,
        item: T,
        merge: impl FnOnce(&mut T, T) -> Result<R, T>,
    ) -> Option<R> {
        let Some(last) = self.items.back_mut() else {
            self.push(item);
            return None;
        };
        let before = last.weight();
        let result = merge(last, item);
        self.queued += last.weight() - before;
        result.map_err(|item| self.push(item)).ok()
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        let item = self.items.pop_front()?;
        self.queued -= item.weight();
        Some(item)
    }

    /// Takes the oldest item, which keeps its room until [`finish`](Self::finish).
    pub fn pop_in_progress(&mut self) -> Option<T> {
        let item = self.pop()?;
        self.in_progress += item.weight();
        Some(item)
    }

    /// Gives back the room of the items that were in progress.
    pub const fn finish(&mut self) {
        self.in_progress = 0;
    }

    /// Drops all items.
    pub fn clear(&mut self) {
        self.items.clear();
        (self.queued, self.in_progress) = (0, 0);
    }

    /// Until when the producer may wait for room now: `None` when the budget is used up, `Some(None)` without a limit.
    fn patience(&self, now: Instant) -> Option<Option<Instant>> {
        match self.backpressure {
            Backpressure::Block => Some(None),
            Backpressure::Lossy { .. } if self.budget.is_zero() => None,
            Backpressure::Lossy { .. } => Some(Some(now + self.budget)),
        }
    }

    fn refill_budget(&mut self) {
        if let Backpressure::Lossy { budget } = self.backpressure
            && self.is_half_empty()
        {
            self.budget = budget;
        }
    }
}

/// What a producer and a consumer share under one lock.
pub trait State {
    /// What is queued.
    type Item: Weigh;

    /// The queue.
    fn queue(&mut self) -> &mut Bounded<Self::Item>;

    /// Whether the consumer takes no more: nobody waits for room then.
    fn is_over(&self) -> bool;

    /// When the consumer stops, so far as that is known. A producer that may wait without limit waits until then.
    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// A [`State`] behind its lock, with a signal in each direction.
#[derive(Debug)]
pub struct Queue<S> {
    state: Mutex<S>,
    /// For the consumer: there is something to do.
    work: Signal,
    /// For the producer: the consumer has done something.
    progress: Signal,
}

impl<S: State> Queue<S> {
    /// Puts the state behind a lock.
    pub fn new(state: S) -> Self {
        Self {
            state: Mutex::new(state),
            work: Signal::default(),
            progress: Signal::default(),
        }
    }

    /// Locks the state.
    pub fn lock(&self) -> MutexGuard<'_, S> {
        lock(&self.state)
    }

    /// Waits until an item of this weight fits, the back-pressure allows no more waiting, or the consumer takes no more.
    /// The caller looks which of them it is.
    pub fn wait_for_room(&self, weight: usize) -> MutexGuard<'_, S> {
        let mut state = self.lock();
        state.queue().refill_budget();
        while !state.queue().has_room(weight) && !state.is_over() {
            let began = Instant::now();
            let Some(until) = state.queue().patience(began) else {
                break;
            };
            let until = until.or_else(|| state.deadline());
            state = self.progress.wait(state, until);
            let queue = state.queue();
            queue.budget = queue.budget.saturating_sub(began.elapsed());
        }
        state
    }

    /// The consumer waits for something to do, at most until `deadline`. May return without either.
    pub fn wait_for_work<'a>(
        &self,
        state: MutexGuard<'a, S>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, S> {
        self.work.wait(state, deadline)
    }

    /// The producer waits for the consumer to do something, at most until `deadline`. May return without either.
    pub fn wait_for_progress<'a>(
        &self,
        state: MutexGuard<'a, S>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, S> {
        self.progress.wait(state, deadline)
    }

    /// Wakes the consumer.
    pub fn notify_work(&self) {
        self.work.notify();
    }

    /// Wakes a producer that waits.
    pub fn notify_progress(&self) {
        self.progress.notify();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    const BUDGET: Duration = Duration::from_millis(20);

    impl Weigh for &str {
        fn weight(&self) -> usize {
            self.len()
        }
    }

    struct Shared {
        queue: Bounded<&'static str>,
        over: bool,
    }

    impl State for Shared {
        type Item = &'static str;

        fn queue(&mut self) -> &mut Bounded<&'static str> {
            &mut self.queue
        }

        fn is_over(&self) -> bool {
            self.over
        }
    }

    fn queue(backpressure: Backpressure) -> Queue<Shared> {
        Queue::new(Shared {
            queue: Bounded::new(4, backpressure),
            over: false,
        })
    }

    #[test]
    fn one_item_always_fits_and_items_in_progress_keep_their_room() {
        let mut queue = Bounded::new(4, Backpressure::Block);
        assert!(queue.has_room(100));
        queue.push("abc");
        assert!(queue.has_room(1) && !queue.has_room(2) && !queue.is_half_empty());
        assert_eq!(queue.pop_in_progress(), Some("abc"));
        assert!(queue.is_empty() && !queue.has_room(2));
        queue.finish();
        assert!(queue.has_room(100) && queue.weight() == 0);
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn items_merge_into_the_last_one() {
        let mut queue = Bounded::new(4, Backpressure::Block);
        let mut merge = |item| {
            queue.push_or_merge(item, |last: &mut &str, item| {
                (item == "b").then(|| *last = "ab").ok_or(item)
            })
        };
        assert_eq!([merge("a"), merge("b"), merge("c")], [None, Some(()), None]);
        assert_eq!(queue.weight(), 3);
        assert_eq!([queue.pop(), queue.pop()], [Some("ab"), Some("c")]);
        assert_eq!(queue.weight(), 0);
    }

    #[test]
    fn a_lossy_producer_waits_for_its_budget_once() {
        let queue = queue(Backpressure::Lossy { budget: BUDGET });
        queue.lock().queue.push("abcd");
        let began = Instant::now();
        let mut state = queue.wait_for_room(1);
        assert!(began.elapsed() >= BUDGET && state.queue.is_stalled(1));
        state.queue.pop();
        assert!(!state.queue.is_stalled(1));
        drop(state);
        assert_eq!(queue.wait_for_room(1).queue.budget, BUDGET);
    }

    #[test]
    fn a_blocking_producer_waits_for_room_or_the_end() {
        for is_end in [false, true] {
            let queue = Arc::new(queue(Backpressure::Block));
            queue.lock().queue.push("abcd");
            let producer = thread::spawn({
                let queue = queue.clone();
                move || drop(queue.wait_for_room(1))
            });
            thread::sleep(2 * BUDGET);
            assert!(!producer.is_finished());
            let mut state = queue.lock();
            if is_end {
                state.over = true;
            } else {
                state.queue.pop();
            }
            queue.notify_progress();
            drop(state);
            producer.join().unwrap();
        }
    }
}
