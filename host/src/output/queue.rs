//! Between the pipeline, which must not wait for long, and the writer, which may have to: formatted events, as much as
//! the memory set aside holds. Counts each event exactly once, as written or as lost; knows neither formats nor files.
//!
//! ```text
//! pipeline ──push──► chunks ──next──► writer ──► sink
//!     ▲                                  │
//!     └────── emptied buffers ◄──settle──┘
//! ```

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    Error,
    notices::{Alarm, Waiting, say},
};
use crate::{
    event::Lost,
    notice::{Notice, Place},
    stats::Stats,
};

/// Most that waits to be written, in bytes; one chunk may always wait.
const MOST: usize = 4 << 20;

/// Small batches that wait become one chunk, up to this size: a reader that pauses costs no write an event.
/// A buffer with more room than that is not kept.
const CHUNK: usize = 256 << 10;

/// Buffers that are kept for the next batches: those of a sink that keeps up.
const KEPT: usize = 4;

/// How long the pipeline waits for room, all in all, before it drops what there is none for: well below the time in which a
/// busy host fills the kernel's buffer.
const GRACE: Duration = Duration::from_millis(100);

/// What the writer is given beyond the deadline: for the last notices, or to come out of a write that can't be ended.
const SPARE: Duration = Duration::from_millis(100);

/// Lines, ready to be written at once.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    /// So many bytes at the beginning are no events; after them comes a line an event.
    pub(super) header: usize,
    pub(super) events: u64,
}

/// What the writer is to do.
#[derive(Debug)]
pub(super) enum Work {
    /// Write it, and [`settle`](Queue::settle).
    Chunk(Chunk),
    /// Write it, and [say so](Queue::noticed).
    Notice(Notice),
    /// Say it on stderr.
    Message(Notice),
}

/// Shared by both.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// For the writer: there is something to do.
    work: Condvar,
    /// For the pipeline: the writer has done something.
    room: Condvar,
    stats: Arc<Stats>,
    /// Whether the pipeline has all the time there is, as with a replay.
    is_patient: bool,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Chunk>,
    /// In the chunks that wait.
    bytes: usize,
    /// In the chunks that wait, and in the one that is being written.
    events: u64,
    buffers: Vec<Vec<u8>>,
    /// What is left of [`GRACE`].
    grace: Duration,
    /// Nothing is taken after it.
    deadline: Option<Instant>,
    /// Nobody reads any more.
    closed: bool,
    /// No more is pushed.
    ending: bool,
    /// The writer has ended, or nobody waits for it any longer.
    ended: bool,
    /// The first thing that went wrong.
    failure: Option<Error>,
    stalled: Alarm,
    failing: Alarm,
    /// For the stream.
    notices: Waiting,
    /// The last notice could not be written: the next waits until an event could.
    mute: bool,
    /// For stderr.
    messages: Waiting,
}

impl State {
    /// Whether all that comes now is lost.
    fn is_over(&self) -> bool {
        self.closed || self.ended || self.is_late()
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|it| Instant::now() >= it)
    }

    fn has_room(&self, length: usize) -> bool {
        self.chunks.is_empty() || self.bytes + length <= MOST
    }

    fn add(&mut self, notice: Notice) {
        self.messages.add(notice.clone());
        self.notices.add(notice);
    }

    fn give_back(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < KEPT {
            buffer.clear();
            buffer.shrink_to(CHUNK);
            self.buffers.push(buffer);
        }
    }
}

impl Queue {
    pub(super) fn new(stats: Arc<Stats>, is_patient: bool) -> Self {
        Self {
            state: Mutex::new(State {
                grace: GRACE,
                ..State::default()
            }),
            work: Condvar::new(),
            room: Condvar::new(),
            stats,
            is_patient,
        }
    }

    /// Hands lines over, or loses them when there is no room for long enough. Returns an empty buffer for the next ones.
    pub(super) fn push(&self, chunk: Chunk) -> Vec<u8> {
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
            let until = if self.is_patient {
                state.deadline
            } else if state.grace.is_zero() {
                break;
            } else {
                Some(began + state.grace)
            };
            state = wait(&self.room, state, until);
            state.grace = state.grace.saturating_sub(began.elapsed());
        }
        state
    }

    /// Whether a batch would only be lost, so that formatting it is of no use.
    pub(super) fn is_stalled(&self) -> bool {
        let state = self.lock();
        !self.is_patient && state.grace.is_zero() && !state.has_room(CHUNK)
    }

    /// Counts events as lost that were never handed over.
    pub(super) fn lose(&self, events: u64) {
        self.count_lost(&mut self.lock(), events);
        self.tell(false);
    }

    /// Says something in the stream and on stderr, as soon as may be; waits for nothing.
    pub(super) fn post(&self, notice: Notice) {
        self.lock().add(notice);
        self.work.notify_one();
        self.tell(false);
    }

    /// How many events may still be pushed until so many are written; none when they are. Waits for those on their way.
    pub(super) fn left(&self, count: u64) -> Option<u64> {
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
            state = wait(&self.room, state, deadline);
        }
    }

    /// Whether all that comes now is lost: the reader has gone, or the time is over.
    pub(super) fn is_over(&self) -> bool {
        self.lock().is_over()
    }

    /// Whether the reader has gone.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// From now on there is so much time left, and no more than there was.
    pub(super) fn end_within(&self, time: Duration) {
        let mut state = self.lock();
        let deadline = Instant::now() + time;
        state.deadline = Some(state.deadline.map_or(deadline, |it| it.min(deadline)));
        self.room.notify_all();
        self.work.notify_all();
    }

    /// Ends without waiting for anything.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.ending = true;
        state.deadline = Some(Instant::now());
        self.work.notify_all();
    }

    /// Waits until the writer has written all, or the time is over. What is not written then is lost.
    pub(super) fn finish(&self) -> Result<(), Error> {
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
            state = wait(&self.room, state, until);
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

    /// The writer's next task; waits for one. None when it is to end.
    pub(super) fn next(&self) -> Option<Work> {
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
    pub(super) fn is_hopeless(&self) -> bool {
        self.tell(false);
        self.is_over()
    }

    /// What became of a chunk: so many of its bytes were written. Whether that was the last.
    pub(super) fn settle(&self, chunk: Chunk, written: usize, result: Result<(), Error>) {
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
        self.attempted(state, result, resumes);
        self.room.notify_all();
        self.tell(false);
    }

    /// What became of a notice.
    pub(super) fn noticed(&self, notice: Notice, result: Result<(), Error>) {
        let mut state = self.lock();
        if result.is_err() {
            state.mute = true;
            state.notices.add(notice);
        }
        self.attempted(state, result, false);
    }

    /// Something else went wrong.
    pub(super) fn fail(&self, error: Error) {
        self.lock().failure.get_or_insert(error);
    }

    /// The writer has ended: what it has left is lost.
    pub(super) fn ended(&self) {
        self.end(&mut self.lock());
        self.room.notify_all();
    }

    fn end(&self, state: &mut State) {
        state.ended = true;
        self.drop_all(state);
    }

    /// Loses all that was not settled.
    fn drop_all(&self, state: &mut State) {
        state.chunks.clear();
        state.bytes = 0;
        let events = mem::take(&mut state.events);
        self.count_lost(state, events);
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

    fn count_lost(&self, state: &mut State, connections: u64) {
        if connections == 0 {
            return;
        }
        self.stats.lost_output.fetch_add(connections, Relaxed);
        let now = Timestamp::now();
        state.add(Notice::Lost {
            place: Place::Output,
            lost: Lost {
                since: now,
                until: now,
                connections,
                processes: 0,
            },
        });
    }

    /// Says on stderr what may be said now; at the end all may.
    fn tell(&self, end: bool) {
        loop {
            let notice = self.lock().messages.take(Instant::now(), end);
            match notice {
                Some(notice) => say(&notice),
                None => return,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("invariant: nobody panics while holding it")
    }
}

/// Until something has happened, or the time has come.
fn wait<'a>(
    event: &Condvar,
    state: MutexGuard<'a, State>,
    until: Option<Instant>,
) -> MutexGuard<'a, State> {
    let invariant = "invariant: nobody panics while holding it";
    match until {
        None => event.wait(state).expect(invariant),
        Some(until) => {
            let time = until.saturating_duration_since(Instant::now());
            event.wait_timeout(state, time).expect(invariant).0
        }
    }
}
