//! The pipeline's side of the queue: hands chunks over, waits no longer than it may, and drains the queue at the end.

use std::{sync::atomic::Ordering::Relaxed, time::Instant};

use lightmon_thread::queue::State as _;

use super::{Chunk, LAST_WRITE_TIMEOUT, MAX_MERGED_BYTES, Queue};
use crate::Error;

impl Queue {
    /// Whether nothing is queued, so that the pipeline may write to the sink itself.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.queue.lock();
        state.events == 0 && state.chunks.is_empty() && !state.is_over()
    }

    /// Settles a chunk that the pipeline has written itself. Returns an empty buffer for the next chunk.
    pub(crate) fn settle_direct(
        &self,
        chunk: Chunk,
        written: usize,
        result: Result<(), Error>,
    ) -> Vec<u8> {
        let has_failed = result.is_err();
        self.count_chunk(self.queue.lock(), chunk, written, result);
        if has_failed {
            // The writer ends if the reader has closed the sink, and reports what is lost.
            self.queue.notify_work();
        }
        self.queue.lock().spare_buffer()
    }

    /// Hands a chunk over, or counts its events as lost if there is no room in time. Returns an empty buffer for the next chunk.
    pub(crate) fn push(&self, chunk: Chunk) -> Vec<u8> {
        let mut state = self.queue.wait_for_room(chunk.bytes.len());
        if state.is_over() || !state.chunks.has_room(chunk.bytes.len()) {
            self.count_lost(&mut state, chunk.events);
            let is_news = !state.is_over() && state.stalled.set(true, Instant::now());
            state.keep_buffer(chunk.bytes);
            let buffer = state.spare_buffer();
            drop(state);
            if is_news {
                tracing::warn!(
                    "the output is full: events are lost until its reader takes more; capture goes on"
                );
            }
            self.log_due(false);
            return buffer;
        }
        state.events += chunk.events;
        if let Some(merged) = state.chunks.push_or_merge(chunk, merge) {
            state.keep_buffer(merged);
        }
        self.queue.notify_work();
        state.spare_buffer()
    }

    /// Whether a batch would be lost without waiting, so that formatting it is useless.
    pub(crate) fn is_stalled(&self) -> bool {
        self.queue.lock().chunks.is_stalled(MAX_MERGED_BYTES)
    }

    /// Counts events as lost that were never handed over.
    pub(crate) fn lose(&self, events: u64) {
        self.count_lost(&mut self.queue.lock(), events);
        self.log_due(false);
    }

    /// How many events must still be pushed until `count` are written; `None` if they are. Waits while the queued events may be
    /// enough.
    pub(crate) fn left(&self, count: u64) -> Option<u64> {
        let mut state = self.queue.lock();
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
            state = self.queue.wait_for_progress(state, deadline);
        }
    }

    /// Waits until the writer has written everything, or the time is over. What is not written then is lost.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        let mut state = self.queue.lock();
        let began = Instant::now();
        state.is_ending = true;
        self.queue.notify_work();
        while !state.has_ended {
            let until = state
                .deadline
                .map(|deadline| deadline.max(began) + LAST_WRITE_TIMEOUT);
            if until.is_some_and(|until| Instant::now() >= until) {
                // The writer hangs in a write that can't be ended. What that write still does is not counted.
                self.end_now(&mut state);
                break;
            }
            state = self.queue.wait_for_progress(state, until);
        }
        let failure = state.failure.take();
        drop(state);
        self.log_due(true);
        match failure {
            Some(error) => Err(error),
            None if self.stats.lost_output.load(Relaxed) > 0 => Err(Error::Stalled),
            None => Ok(()),
        }
    }

    /// Ends without waiting for anything.
    pub(crate) fn abandon(&self) {
        let mut state = self.queue.lock();
        state.is_ending = true;
        state.deadline = Some(Instant::now());
        self.queue.notify_work();
    }
}

/// Appends a small chunk to the last one. Returns the chunk's buffer, or the chunk if that is not possible.
fn merge(last: &mut Chunk, chunk: Chunk) -> Result<Vec<u8>, Chunk> {
    if chunk.header_bytes > 0 || last.bytes.len() + chunk.bytes.len() > MAX_MERGED_BYTES {
        return Err(chunk);
    }
    last.bytes.extend_from_slice(&chunk.bytes);
    last.events += chunk.events;
    Ok(chunk.bytes)
}
