//! The pipeline's side: hands over, and waits no longer than it may.

use std::{
    sync::{MutexGuard, atomic::Ordering::Relaxed},
    time::Instant,
};

use super::{CHUNK, Chunk, GRACE, MOST, Queue, SPARE, State, wait};
use crate::Error;

impl Queue {
    /// Whether lines may go past the queue: nothing is before them.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.events == 0 && state.chunks.is_empty() && !state.is_over()
    }

    /// What became of lines that went past it. Returns an empty buffer for the next ones.
    pub(crate) fn passed(
        &self,
        chunk: Chunk,
        written: usize,
        result: Result<(), Error>,
    ) -> Vec<u8> {
        let has_failed = result.is_err();
        self.lock().events += chunk.events;
        self.settle(chunk, written, result);
        if has_failed {
            // The writer ends when the reader has gone, and says what is lost.
            self.work.notify_one();
        }
        self.lock().buffers.pop().unwrap_or_default()
    }

    /// Hands lines over, or loses them when there is no room for long enough. Returns an empty buffer for the next ones.
    pub(crate) fn push(&self, chunk: Chunk) -> Vec<u8> {
        let mut state = self.wait_for_room(chunk.bytes.len());
        if state.is_over() || !state.has_room(chunk.bytes.len()) {
            self.count_lost(&mut state, chunk.events);
            let stalls = !state.is_over() && state.stalled.set(true, Instant::now());
            state.give_back(chunk.bytes);
            let buffer = state.buffers.pop().unwrap_or_default();
            drop(state);
            if stalls {
                tracing::warn!(
                    "the output takes nothing: events are lost until it does; capture goes on"
                );
            }
            self.tell(false);
            return buffer;
        }
        state.events += chunk.events;
        state.bytes += chunk.bytes.len();
        match state.chunks.back_mut() {
            Some(last) if chunk.header == 0 && last.bytes.len() + chunk.bytes.len() <= CHUNK => {
                last.bytes.extend_from_slice(&chunk.bytes);
                last.events += chunk.events;
                state.give_back(chunk.bytes);
            }
            _ => state.chunks.push_back(chunk),
        }
        self.work.notify_one();
        state.buffers.pop().unwrap_or_default()
    }

    fn wait_for_room(&self, length: usize) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if state.bytes <= MOST / 2 {
            state.grace = GRACE;
        }
        while !state.has_room(length) && !state.is_over() {
            let began = Instant::now();
            let until = if self.is_lossless {
                state.deadline
            } else if state.grace.is_zero() {
                break;
            } else {
                Some(began + state.grace)
            };
            state = self.wait_for_writer(state, until);
            state.grace = state.grace.saturating_sub(began.elapsed());
        }
        state
    }

    fn wait_for_writer<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        until: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        state.waiting += 1;
        let mut state = wait(&self.room, state, until);
        state.waiting -= 1;
        state
    }

    /// Whether a batch would only be lost, so that formatting it is of no use.
    pub(crate) fn is_stalled(&self) -> bool {
        let state = self.lock();
        !self.is_lossless && state.grace.is_zero() && !state.has_room(CHUNK)
    }

    /// Counts events as lost that were never handed over.
    pub(crate) fn lose(&self, events: u64) {
        self.count_lost(&mut self.lock(), events);
        self.tell(false);
    }

    /// How many events may still be pushed until so many are written; none when they are. Waits for those on their way.
    pub(crate) fn left(&self, count: u64) -> Option<u64> {
        let mut state = self.lock();
        loop {
            let written = self.stats.written.load(Relaxed);
            if written + state.events < count {
                return Some(count - written - state.events);
            }
            if state.is_over() && written < count {
                return Some(count - written);
            }
            if state.events == 0 {
                return None;
            }
            let deadline = state.deadline;
            state = self.wait_for_writer(state, deadline);
        }
    }

    /// Waits until the writer has written all, or the time is over. What is not written then is lost.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        let mut state = self.lock();
        let began = Instant::now();
        state.ending = true;
        self.work.notify_all();
        while !state.ended {
            let until = state.deadline.map(|deadline| deadline.max(began) + SPARE);
            if until.is_some_and(|until| Instant::now() >= until) {
                // It hangs in a write that can't be ended, and no longer counts.
                self.end(&mut state);
                break;
            }
            state = self.wait_for_writer(state, until);
        }
        let failure = state.failure.take();
        drop(state);
        self.tell(true);
        match failure {
            Some(error) => Err(error),
            None if self.stats.lost_output.load(Relaxed) > 0 => Err(Error::Stalled),
            None => Ok(()),
        }
    }

    /// Ends without waiting for anything.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.ending = true;
        state.deadline = Some(Instant::now());
        self.work.notify_all();
    }
}
