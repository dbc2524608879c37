//! The queue between the pipeline, which must not wait for long, and the output's thread, which may have to: formatted events
//! and notices. Counts each event exactly once, as written or as lost. Knows neither formats nor sinks.
//!
//! ```text
//! pipeline ──push──► chunks ──next──► writer ──► sink
//!     ▲                                  │
//!     └────── emptied buffers ◄──settle──┘
//! ```
//!
//! How long the pipeline waits for room is decided by [`lightmon_thread::queue`].

mod consumer;
mod producer;

use std::{
    mem,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use lightmon_event::{Lost, LostIn, Notice, Stats};
use lightmon_thread::queue::{self, Backpressure, Bounded, Weigh};

use crate::{
    Error,
    notices::{self, Alarm, PendingNotices},
};

/// How many bytes may wait to be written. One chunk may always wait.
const MAX_QUEUED_BYTES: usize = 4 << 20;

/// Small batches that wait are merged into chunks up to this size: a reader that pauses does not cost a write for each batch.
/// Buffers are shrunk to this size before they are kept.
const MAX_MERGED_BYTES: usize = 256 << 10;

/// How many empty buffers are kept for the next batches: enough for a sink that keeps up.
const MAX_SPARE_BUFFERS: usize = 4;

/// How long the pipeline waits for room, all waits together, before events are lost: well below the time in which a busy host
/// fills the kernel's buffer.
const ROOM_BUDGET: Duration = Duration::from_millis(100);

/// How long [`Queue::finish`] waits beyond the deadline: for the last notices, or for a write that can't be ended.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_millis(200);

/// Lines that are ready to be written.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) bytes: Vec<u8>,
    /// How many bytes at the beginning are a header or a notice. After them comes one line for each event.
    pub(crate) header_bytes: usize,
    pub(crate) events: u64,
}

impl Weigh for Chunk {
    fn weight(&self) -> usize {
        self.bytes.len()
    }
}

/// What the writer is to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Write the chunk, then [`settle`](Queue::settle) it.
    Chunk(Chunk),
    /// Write the notice, then [settle](Queue::settle_notice) it.
    Notice(Notice),
    /// Log the notice on stderr.
    Log(Notice),
}

/// The queue, shared by both threads.
#[derive(Debug)]
pub(crate) struct Queue {
    queue: queue::Queue<State>,
    stats: Arc<Stats>,
}

#[derive(Debug)]
struct State {
    chunks: Bounded<Chunk>,
    /// Events in the chunks that wait, and in the chunk that is being written.
    events: u64,
    spare_buffers: Vec<Vec<u8>>,
    /// When everything that is not written is lost.
    deadline: Option<Instant>,
    /// The reader has closed the sink.
    is_closed: bool,
    /// No more is pushed.
    is_ending: bool,
    /// The writer has ended, or nothing waits for it any longer.
    has_ended: bool,
    /// The first error.
    failure: Option<Error>,
    /// The queue is full.
    stalled: Alarm,
    /// Writes fail.
    failing: Alarm,
    /// To be written among the events.
    notices: PendingNotices,
    /// The last notice could not be written: the next one waits until an event could.
    are_notices_held: bool,
    /// To be logged on stderr.
    log: PendingNotices,
}

impl queue::State for State {
    type Item = Chunk;

    fn queue(&mut self) -> &mut Bounded<Chunk> {
        &mut self.chunks
    }

    fn is_over(&self) -> bool {
        self.is_closed || self.has_ended || self.is_late()
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

impl State {
    fn is_late(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn add_notice(&mut self, notice: Notice) {
        self.log.add(notice.clone());
        self.notices.add(notice);
    }

    fn keep_buffer(&mut self, mut buffer: Vec<u8>) {
        if self.spare_buffers.len() < MAX_SPARE_BUFFERS {
            buffer.clear();
            buffer.shrink_to(MAX_MERGED_BYTES);
            self.spare_buffers.push(buffer);
        }
    }

    fn spare_buffer(&mut self) -> Vec<u8> {
        self.spare_buffers.pop().unwrap_or_default()
    }
}

impl Queue {
    pub(crate) fn new(stats: Arc<Stats>, is_lossless: bool) -> Self {
        let backpressure = if is_lossless {
            Backpressure::Block
        } else {
            Backpressure::Lossy {
                budget: ROOM_BUDGET,
            }
        };
        Self {
            queue: queue::Queue::new(State {
                chunks: Bounded::new(MAX_QUEUED_BYTES, backpressure),
                events: 0,
                spare_buffers: Vec::new(),
                deadline: None,
                is_closed: false,
                is_ending: false,
                has_ended: false,
                failure: None,
                stalled: Alarm::default(),
                failing: Alarm::default(),
                notices: PendingNotices::default(),
                are_notices_held: false,
                log: PendingNotices::default(),
            }),
            stats,
        }
    }

    /// Writes a notice among the events and logs it on stderr, as soon as possible. Does not wait.
    pub(crate) fn post(&self, notice: Notice) {
        self.queue.lock().add_notice(notice);
        self.queue.notify_work();
        self.log_due(false);
    }

    /// Whether all that comes from now on is lost: the reader has closed the sink, or the time is over.
    pub(crate) fn is_over(&self) -> bool {
        queue::State::is_over(&*self.queue.lock())
    }

    /// Whether the reader has closed the sink.
    pub(crate) fn is_closed(&self) -> bool {
        self.queue.lock().is_closed
    }

    /// Sets a deadline, unless there is an earlier one.
    pub(crate) fn end_within(&self, time: Duration) {
        let mut state = self.queue.lock();
        let deadline = Instant::now() + time;
        state.deadline = Some(
            state
                .deadline
                .map_or(deadline, |earlier| earlier.min(deadline)),
        );
        self.queue.notify_progress();
        self.queue.notify_work();
    }

    fn end_now(&self, state: &mut State) {
        state.has_ended = true;
        self.lose_unsettled(state);
    }

    /// Counts all events as lost that are not settled.
    fn lose_unsettled(&self, state: &mut State) {
        state.chunks.clear();
        let events = mem::take(&mut state.events);
        self.count_lost(state, events);
    }

    fn count_lost(&self, state: &mut State, connections: u64) {
        if connections == 0 {
            return;
        }
        self.stats.lost_output.fetch_add(connections, Relaxed);
        let now = Timestamp::now();
        state.add_notice(Notice::Lost {
            place: LostIn::Output,
            lost: Lost {
                since: now,
                until: now,
                connections,
                processes: 0,
            },
        });
    }

    /// Logs the notices on stderr that are due; at the end all of them.
    fn log_due(&self, is_end: bool) {
        loop {
            let notice = self.queue.lock().log.take_due(Instant::now(), is_end);
            match notice {
                Some(notice) => notices::log(&notice),
                None => return,
            }
        }
    }
}
