//! The writer's side: takes, and says what became of it.

use std::{
    sync::{MutexGuard, atomic::Ordering::Relaxed},
    time::Instant,
};

use super::{Chunk, MOST, Queue, State, Work, wait};
use crate::Error;
use lightmon_event::Notice;

impl Queue {
    /// The writer's next task; waits for one. None when it is to end.
    pub(crate) fn next(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if state.closed || state.ended {
                return None;
            }
            let is_late = state.is_late();
            if is_late {
                self.drop_all(&mut state);
            }
            if let Some(notice) = state.messages.take(now, false) {
                return Some(Work::Message(notice));
            }
            let last = state.ending && state.chunks.is_empty();
            if !state.mute
                && let Some(notice) = state.notices.take(now, last)
            {
                return Some(Work::Notice(notice));
            }
            if let Some(chunk) = state.chunks.pop_front() {
                state.bytes -= chunk.bytes.len();
                return Some(Work::Chunk(chunk));
            }
            if last {
                return None;
            }
            let notices = state.notices.due(now).filter(|_| !state.mute);
            let deadline = state.deadline.filter(|_| !is_late);
            let until = [notices, state.messages.due(now), deadline];
            state = wait(&self.work, state, until.into_iter().flatten().min());
        }
    }

    /// Whether a writer whose sink has no room is to go on waiting.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.tell(false);
        self.is_over()
    }

    /// What became of a chunk: so many of its bytes were written. Whether that was the last.
    pub(crate) fn settle(&self, chunk: Chunk, written: usize, result: Result<(), Error>) {
        let lines = chunk.bytes[..written].iter().skip(chunk.header);
        let whole = match result {
            Ok(()) => chunk.events,
            Err(_) => lines.filter(|&&byte| byte == b'\n').count() as u64,
        };
        let mut state = self.lock();
        if state.ended {
            return;
        }
        state.events -= chunk.events;
        self.stats.written.fetch_add(whole, Relaxed);
        self.count_lost(&mut state, chunk.events - whole);
        state.mute &= result.is_err();
        state.give_back(chunk.bytes);
        let flows = state.bytes <= MOST / 2 && result.is_ok();
        let resumes = flows && state.stalled.set(false, Instant::now());
        let is_awaited = state.waiting > 0;
        self.attempted(state, result, resumes);
        if is_awaited {
            self.room.notify_all();
        }
        self.tell(false);
    }

    /// What became of a notice.
    pub(crate) fn noticed(&self, notice: Notice, result: Result<(), Error>) {
        let mut state = self.lock();
        if result.is_err() {
            state.mute = true;
            state.notices.add(notice);
        }
        self.attempted(state, result, false);
    }

    /// After a write, whatever was written.
    fn attempted(
        &self,
        mut state: MutexGuard<'_, State>,
        result: Result<(), Error>,
        resumes: bool,
    ) {
        let mut says = state.failing.set(result.is_err(), Instant::now());
        let mut text = None;
        if let Err(error) = result {
            state.closed |= matches!(error, Error::Closed);
            // Of these the run ends, and says why.
            says &= !matches!(error, Error::Closed | Error::Stalled);
            text = Some(error.to_string());
            state.failure.get_or_insert(error);
        }
        drop(state);
        match text {
            Some(error) if says => {
                tracing::error!("{error}; events are lost until it can be written again");
            }
            None if says || resumes => tracing::info!("the output takes events again"),
            _ => {}
        }
    }

    /// Something else went wrong.
    pub(crate) fn fail(&self, error: Error) {
        self.lock().failure.get_or_insert(error);
    }

    /// The writer has ended: what it has left is lost.
    pub(crate) fn ended(&self) {
        self.end(&mut self.lock());
        self.room.notify_all();
    }
}
