//! Writes events as log, JSON or table, on a thread of its own, and counts those that were written and those that were lost.
//! Changes no event; holds up nobody for longer than a moment, whatever the reader does.
//!
//! | format | where to | for |
//! |---|---|---|
//! | `log` | standard output, or the files in the log path, one an hour | the original lightmon's log parsers |
//! | `json` | the same | programs; it is complete and can be replayed |
//! | `table` | standard output | people |
//!
//! A line that a plugin has written takes its event's place in every format. Text from processes, containers and plugins
//! can't break a line or steer a terminal (`lightmon_event::escape`).
//!
//! A batch is one write, or shares one with others: when the reader is slow, and in a file while they come quickly. At most 4 MiB
//! wait for a reader; what there is no room for is lost, counted and said: on stderr, and by a [`Notice`] among the events once
//! they are taken again.

mod error;
mod format;
mod notices;
mod options;
mod queue;
mod rotate;
mod sink;
mod table;
mod terminal;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    borrow::Borrow,
    mem,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

pub use self::options::zone;
pub use self::{
    error::Error,
    format::{Format, Formatter, UnknownFormat},
    options::Options,
    terminal::Terminal,
};
use self::{
    queue::{Chunk, Queue},
    sink::{Shared, Sink},
    writer::Writer,
};
use lightmon_event::{Event, Notice, Stats};
use lightmon_thread::privileges::{self, FOR_THINGS_OF_OTHERS};

/// How long what was not yet written may take when lightmon is to end.
pub const DRAIN_TIMEOUT: Duration = Duration::from_millis(1500);

/// Where events end.
#[derive(Debug)]
pub struct Output {
    formatter: Formatter,
    chunk: Chunk,
    queue: Arc<Queue>,
    /// Where a batch goes without the writer when that takes no waiting: to wake a thread costs more than a small batch.
    direct: Option<Shared>,
    /// Whether batches may gather.
    gathers: bool,
    /// When something was handed over last.
    handed: Option<Instant>,
    is_lossless: bool,
}

/// A batch of ordinary events is far below it: then it is one write. Of huge ones, so much is formatted at once.
const FLUSH: usize = 1 << 20;

/// Batches that come within this time gather for one write to a file, where each write costs more than all of its lines.
const GATHER: Duration = Duration::from_millis(20);

/// So much is worth a write in any case.
const GATHERED: usize = 128 << 10;

impl Output {
    /// Opens the sink and writes what comes before the first event. Calls `closed` when the reader has gone.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn open(
        options: &Options,
        stats: Arc<Stats>,
        closed: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Error> {
        Self::start(options, Sink::open(options)?, stats, closed)
    }

    fn start(
        options: &Options,
        sink: Sink,
        stats: Arc<Stats>,
        closed: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Error> {
        let queue = Arc::new(Queue::new(stats, options.is_lossless));
        let direct = match &sink {
            Sink::Stdout(stdout) => Some(stdout.clone()),
            Sink::Files(_) => None,
        };
        let is_file = direct.as_ref().is_none_or(Shared::is_file);
        let writer = Writer {
            sink,
            formatter: options.formatter(),
            clock: options.clock,
        };
        thread::Builder::new()
            .name("output".into())
            .spawn({
                let queue = queue.clone();
                move || {
                    // It opens a file each hour.
                    privileges::give_up_all_but(FOR_THINGS_OF_OTHERS);
                    writer.run(&queue);
                    if queue.is_closed() {
                        closed();
                    }
                }
            })
            .map_err(Error::Thread)?;
        let mut output = Self {
            formatter: options.formatter(),
            chunk: Chunk::default(),
            queue,
            direct,
            gathers: is_file && !options.is_lossless,
            handed: None,
            is_lossless: options.is_lossless,
        };
        output.write::<Event>(&[]);
        Ok(output)
    }

    /// To any file instead of standard output, in tests.
    ///
    /// # Panics
    /// When the file has no metadata, or no thread can be started.
    #[cfg(any(test, feature = "testing"))]
    pub fn to(options: &Options, file: impl Into<std::os::fd::OwnedFd>, stats: Arc<Stats>) -> Self {
        let lines = sink::Lines::never_blocking(file.into().into()).expect("a file has metadata");
        Self::start(options, Sink::Stdout(Shared::new(lines)), stats, || ())
            .expect("a thread can be started")
    }

    /// Hands a batch over to be written. Each of its events will be counted as written or lost, now or later.
    /// Waits for a slow reader, but without patience no longer than a moment.
    pub fn write<E: Borrow<Event>>(&mut self, events: &[E]) {
        self.format(events);
        self.flush();
    }

    /// The same, but of a file's batches those that come within 20 ms of the last write may wait for the next ones. Who calls
    /// this goes on doing so: they are written when that time is over, or no events come.
    pub fn write_buffered<E: Borrow<Event>>(&mut self, events: &[E]) {
        self.format(events);
        let is_early = || self.handed.is_some_and(|it| it.elapsed() < GATHER);
        let waits =
            self.gathers && !events.is_empty() && self.chunk.bytes.len() < GATHERED && is_early();
        if !waits {
            self.flush();
        }
    }

    fn format<E: Borrow<Event>>(&mut self, events: &[E]) {
        if self.queue.is_stalled() {
            self.queue.lose(events.len() as u64);
            return;
        }
        if self.chunk.bytes.is_empty() {
            self.formatter.begin(&mut self.chunk.bytes);
            self.chunk.header = self.chunk.bytes.len();
        }
        for event in events {
            self.formatter.event(event.borrow(), &mut self.chunk.bytes);
            self.chunk.events += 1;
            if self.chunk.bytes.len() >= FLUSH {
                self.flush();
            }
        }
    }

    /// Takes a notice of another time, word for word.
    pub fn write_notice(&mut self, notice: &Notice) {
        self.flush();
        self.formatter.notice(notice, &mut self.chunk.bytes);
        self.chunk.header = self.chunk.bytes.len();
        self.flush();
    }

    /// Hands over what has gathered.
    pub fn flush(&mut self) {
        if self.chunk.bytes.is_empty() {
            return;
        }
        if self.gathers {
            self.handed = Some(Instant::now());
        }
        let chunk = mem::take(&mut self.chunk);
        let written = self
            .direct
            .as_ref()
            .filter(|_| self.queue.is_idle())
            .and_then(|stdout| stdout.append_now(&chunk.bytes));
        self.chunk.bytes = match written {
            Some((written, result)) => self.queue.passed(chunk, written, result),
            None => self.queue.push(chunk),
        };
    }

    /// For other threads.
    pub fn handle(&self) -> OutputHandle {
        OutputHandle(self.queue.clone())
    }

    /// Ends when all is written, and on the disk where there is one; without patience after [`DRAIN_TIMEOUT`] at the latest.
    ///
    /// # Errors
    /// When not all of it could be, now or before.
    pub fn finish(mut self) -> Result<(), Error> {
        if !self.is_lossless {
            self.queue.end_within(DRAIN_TIMEOUT);
        }
        self.flush();
        self.queue.finish()
    }
}

/// Without [`finish`](Output::finish) nobody waits for what is left.
impl Drop for Output {
    fn drop(&mut self) {
        self.queue.lose(self.chunk.events);
        self.queue.abandon();
    }
}

/// What other threads may ask of the output, whatever the pipeline is doing. Holds up nobody.
#[derive(Clone, Debug)]
pub struct OutputHandle(Arc<Queue>);

impl OutputHandle {
    /// Says something in the stream and on stderr. Losses are said at once when it is the first, and then as a sum once a
    /// second and at the end.
    pub fn notice(&self, notice: Notice) {
        self.0.post(notice);
    }

    /// Whether all that comes now is lost: the reader has gone, or the time is over.
    pub fn is_over(&self) -> bool {
        self.0.is_over()
    }

    /// Counts events as lost without formatting them.
    pub fn lose(&self, events: u64) {
        self.0.lose(events);
    }

    /// How many events are missing until `count` are written, none when they are. Waits for what is on its way where that
    /// may be enough.
    pub fn left(&self, count: u64) -> Option<u64> {
        self.0.left(count)
    }

    /// Ends the output's patience: what is not written after that time is lost.
    pub fn end_within(&self, time: Duration) {
        self.0.end_within(time);
    }
}
