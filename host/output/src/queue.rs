//! Between the pipeline, which must not wait for long, and the writer, which may have to: formatted events, as much as
//! the memory set aside holds. Counts each event exactly once, as written or as lost; knows neither formats nor files.
//!
//! ```text
//! pipeline ──push──► chunks ──next──► writer ──► sink
//!     ▲                                  │
//!     └────── emptied buffers ◄──settle──┘
//! ```

mod push;
mod take;

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
use lightmon_event::{Lost, LostIn, Notice, Stats};

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
const SPARE: Duration = Duration::from_millis(200);

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
    is_lossless: bool,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Chunk>,
    /// In the chunks that wait.
    bytes: usize,
    /// In the chunks that wait, and in the one that is being written.
    events: u64,
    buffers: Vec<Vec<u8>>,
    /// Who waits for the writer: to call nobody costs a system call.
    waiting: usize,
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
    pub(super) fn new(stats: Arc<Stats>, is_lossless: bool) -> Self {
        Self {
            state: Mutex::new(State {
                grace: GRACE,
                ..State::default()
            }),
            work: Condvar::new(),
            room: Condvar::new(),
            stats,
            is_lossless,
        }
    }

    /// Says something in the stream and on stderr, as soon as may be; waits for nothing.
    pub(super) fn post(&self, notice: Notice) {
        self.lock().add(notice);
        self.work.notify_one();
        self.tell(false);
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

    fn count_lost(&self, state: &mut State, connections: u64) {
        if connections == 0 {
            return;
        }
        self.stats.lost_output.fetch_add(connections, Relaxed);
        let now = Timestamp::now();
        state.add(Notice::Lost {
            place: LostIn::Output,
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
