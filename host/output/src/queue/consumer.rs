//! The writer's side of the queue: takes work, and settles what became of it.

use std::{
    sync::{MutexGuard, atomic::Ordering::Relaxed},
    time::Instant,
};

use lightmon_event::Notice;

use super::{Chunk, Queue, State, Work};
use crate::Error;

impl Queue {
    /// Waits for the writer's next task. `None` if the writer is to end.
    pub(crate) fn next(&self) -> Option<Work> {
        let mut state = self.queue.lock();
        loop {
            let now = Instant::now();
            if state.is_closed || state.has_ended {
                return None;
            }
            let is_late = state.is_late();
            if is_late {
                self.lose_unsettled(&mut state);
            }
            if let Some(notice) = state.log.take_due(now, false) {
                return Some(Work::Log(notice));
            }
            let is_last = state.is_ending && state.chunks.is_empty();
            if !state.are_notices_held
                && let Some(notice) = state.notices.take_due(now, is_last)
            {
                return Some(Work::Notice(notice));
            }
            if let Some(chunk) = state.chunks.pop() {
                return Some(Work::Chunk(chunk));
            }
            if is_last {
                return None;
            }
            let notices = state.notices.due(now).filter(|_| !state.are_notices_held);
            let deadline = state.deadline.filter(|_| !is_late);
            let until = [notices, state.log.due(now), deadline];
            state = self
                .queue
                .wait_for_work(state, until.into_iter().flatten().min());
        }
    }

    /// Whether a writer whose sink has no room must not wait any longer.
    pub(crate) fn should_give_up(&self) -> bool {
        self.log_due(false);
        self.is_over()
    }

    /// Counts the events of a chunk, of which `written` bytes were written: whole lines are written, all others are lost.
    pub(crate) fn settle(&self, chunk: Chunk, written: usize, result: Result<(), Error>) {
        let mut state = self.queue.lock();
        if state.has_ended {
            // All its events are counted as lost.
            return;
        }
        state.events -= chunk.events;
        self.count_chunk(state, chunk, written, result);
    }

    /// Counts a chunk that is not among [`State::events`].
    pub(super) fn count_chunk(
        &self,
        mut state: MutexGuard<'_, State>,
        chunk: Chunk,
        written: usize,
        result: Result<(), Error>,
    ) {
        let lines = chunk.bytes[..written].iter().skip(chunk.header_bytes);
        let whole = match result {
            Ok(()) => chunk.events,
            Err(_) => lines.filter(|&&byte| byte == b'\n').count() as u64,
        };
        self.stats.written.fetch_add(whole, Relaxed);
        self.count_lost(&mut state, chunk.events - whole);
        state.are_notices_held &= result.is_err();
        state.keep_buffer(chunk.bytes);
        let flows = state.chunks.is_half_empty() && result.is_ok();
        let resumes = flows && state.stalled.set(false, Instant::now());
        self.note_result(state, result, resumes);
        self.queue.notify_progress();
        self.log_due(false);
    }

    /// Keeps a notice that could not be written, to try it again later.
    pub(crate) fn settle_notice(&self, notice: Notice, result: Result<(), Error>) {
        let mut state = self.queue.lock();
        if result.is_err() {
            state.are_notices_held = true;
            state.notices.add(notice);
        }
        self.note_result(state, result, false);
    }

    /// Notes the result of a write, and logs it if that is news.
    fn note_result(
        &self,
        mut state: MutexGuard<'_, State>,
        result: Result<(), Error>,
        resumes: bool,
    ) {
        let mut is_news = state.failing.set(result.is_err(), Instant::now());
        let mut text = None;
        if let Err(error) = result {
            state.is_closed |= matches!(error, Error::Closed);
            // These end the run, which reports them itself.
            is_news &= !matches!(error, Error::Closed | Error::Stalled);
            text = Some(error.to_string());
            state.failure.get_or_insert(error);
        }
        drop(state);
        match text {
            Some(error) if is_news => {
                tracing::error!("{error}; events are lost until writing works again");
            }
            None if is_news || resumes => tracing::info!("the output takes events again"),
            _ => {}
        }
    }

    /// Notes an error that came after all writes.
    pub(crate) fn fail(&self, error: Error) {
        self.queue.lock().failure.get_or_insert(error);
    }

    /// The writer has ended: what is left is lost.
    pub(crate) fn end(&self) {
        self.end_now(&mut self.queue.lock());
        self.queue.notify_progress();
    }
}
