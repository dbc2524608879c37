//! The pipeline's side of the output: formats batches, and hands them to the queue, or to the sink if that takes no waiting.

use std::{
    borrow::Borrow,
    mem,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use lightmon_event::{Event, Notice, Stats};
use lightmon_thread::privileges::{self, FOR_THINGS_OF_OTHERS};

use crate::{
    Error, Formatter, Options,
    queue::{Chunk, Queue},
    sinks::{self, Sink, Stdout},
    writer::Writer,
};

/// How long [`Output::finish`] waits for a slow reader, unless the run is lossless.
pub const DRAIN_TIMEOUT: Duration = Duration::from_millis(1500);

/// A batch of ordinary events is far smaller, and is one write. Of a batch of huge events, this much is formatted at once.
const MAX_CHUNK_BYTES: usize = 1 << 20;

/// Batches for a file that come within this time share a write: a write to a file costs more than all lines of a batch.
pub(crate) const BUFFER_INTERVAL: Duration = Duration::from_millis(20);

/// Buffered batches of this size are written without waiting for more.
pub(crate) const MAX_BUFFERED_BYTES: usize = 128 << 10;

/// Where events end.
#[derive(Debug)]
pub struct Output {
    formatter: Formatter,
    /// Formatted, but not handed over yet.
    chunk: Chunk,
    queue: Arc<Queue>,
    /// For batches that the sink takes without waiting: waking the output's thread costs more than a small batch.
    direct: Option<Stdout>,
    /// Whether several batches may share a write.
    is_buffered: bool,
    last_flush: Option<Instant>,
    is_lossless: bool,
}

impl Output {
    /// Opens the sink, and writes what comes before the first event. Calls `on_closed` when the reader has closed the sink.
    ///
    /// # Errors
    /// If the sink can't be opened, or the thread can't be started.
    pub fn open(
        options: &Options,
        stats: Arc<Stats>,
        on_closed: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Error> {
        Self::start(options, sinks::open(options)?, stats, on_closed)
    }

    pub(crate) fn start(
        options: &Options,
        sink: Box<dyn Sink>,
        stats: Arc<Stats>,
        on_closed: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Error> {
        let queue = Arc::new(Queue::new(stats, options.is_lossless));
        let (direct, is_file) = (sink.direct(), sink.is_file());
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
                    // The thread opens a new log file each hour.
                    privileges::give_up_all_but(FOR_THINGS_OF_OTHERS);
                    writer.run(&queue);
                    if queue.is_closed() {
                        on_closed();
                    }
                }
            })
            .map_err(Error::Thread)?;
        let mut output = Self {
            formatter: options.formatter(),
            chunk: Chunk::default(),
            queue,
            direct,
            is_buffered: is_file && !options.is_lossless,
            last_flush: None,
            is_lossless: options.is_lossless,
        };
        output.write::<Event>(&[]);
        Ok(output)
    }

    /// Writes to any file in the place of standard output, in tests.
    ///
    /// # Panics
    /// If the file has no metadata, or no thread can be started.
    #[cfg(any(test, feature = "testing"))]
    pub fn to(options: &Options, file: impl Into<std::os::fd::OwnedFd>, stats: Arc<Stats>) -> Self {
        let lines =
            sinks::LineWriter::non_blocking(file.into().into()).expect("a file has metadata");
        Self::start(options, Box::new(Stdout::new(lines)), stats, || ())
            .expect("a thread can be started")
    }

    /// Hands a batch over. Each event will be counted as written or lost, now or later. Waits for a slow reader, but no longer
    /// than a moment unless the run is lossless.
    pub fn write<E: Borrow<Event>>(&mut self, events: &[E]) {
        self.format(events);
        self.flush();
    }

    /// As [`write`](Self::write), but batches for a file that come within 20 ms of the last write may wait for the next batch.
    /// The caller goes on calling this function, with or without events: it writes the batches when that time is over, or when
    /// no events come.
    pub fn write_buffered<E: Borrow<Event>>(&mut self, events: &[E]) {
        self.format(events);
        let is_early = || {
            self.last_flush
                .is_some_and(|flush| flush.elapsed() < BUFFER_INTERVAL)
        };
        let may_wait = self.is_buffered
            && !events.is_empty()
            && self.chunk.bytes.len() < MAX_BUFFERED_BYTES
            && is_early();
        if !may_wait {
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
            self.chunk.header_bytes = self.chunk.bytes.len();
        }
        for event in events {
            self.formatter.event(event.borrow(), &mut self.chunk.bytes);
            self.chunk.events += 1;
            if self.chunk.bytes.len() >= MAX_CHUNK_BYTES {
                self.flush();
            }
        }
    }

    /// Writes a notice of another run, which a replay has read, in its place among the events.
    pub fn write_notice(&mut self, notice: &Notice) {
        self.flush();
        self.formatter.notice(notice, &mut self.chunk.bytes);
        self.chunk.header_bytes = self.chunk.bytes.len();
        self.flush();
    }

    /// Hands buffered batches over.
    pub fn flush(&mut self) {
        if self.chunk.bytes.is_empty() {
            return;
        }
        if self.is_buffered {
            self.last_flush = Some(Instant::now());
        }
        let chunk = mem::take(&mut self.chunk);
        let written = self
            .direct
            .as_ref()
            .filter(|_| self.queue.is_idle())
            .and_then(|stdout| stdout.try_append(&chunk.bytes));
        self.chunk.bytes = match written {
            Some((written, result)) => self.queue.settle_direct(chunk, written, result),
            None => self.queue.push(chunk),
        };
    }

    /// A handle for other threads.
    pub fn handle(&self) -> OutputHandle {
        OutputHandle(self.queue.clone())
    }

    /// Ends when everything is written, and on the disk if there is one. Unless the run is lossless, ends after
    /// [`DRAIN_TIMEOUT`] at the latest.
    ///
    /// # Errors
    /// If something could not be written, now or before.
    pub fn finish(mut self) -> Result<(), Error> {
        if !self.is_lossless {
            self.queue.end_within(DRAIN_TIMEOUT);
        }
        self.flush();
        self.queue.finish()
    }
}

/// Without [`finish`](Output::finish) nothing waits for what is left.
impl Drop for Output {
    fn drop(&mut self) {
        self.queue.lose(self.chunk.events);
        self.queue.abandon();
    }
}

/// What other threads may ask of the output, whatever the pipeline is doing.
#[derive(Clone, Debug)]
pub struct OutputHandle(Arc<Queue>);

impl OutputHandle {
    /// Writes a notice among the events and logs it on stderr. The first loss is reported at once, later losses as a sum
    /// once a second and at the end. Does not wait.
    pub fn notice(&self, notice: Notice) {
        self.0.post(notice);
    }

    /// Whether all that comes from now on is lost: the reader has closed the sink, or the time is over.
    pub fn is_over(&self) -> bool {
        self.0.is_over()
    }

    /// Counts events as lost without formatting them.
    pub fn lose(&self, events: u64) {
        self.0.lose(events);
    }

    /// How many events must still be handed over until `count` are written; `None` if they are. If the queued events may be
    /// enough, waits for what becomes of them.
    pub fn left(&self, count: u64) -> Option<u64> {
        self.0.left(count)
    }

    /// Sets a deadline, also for a lossless run: what is not written by then is lost.
    pub fn end_within(&self, time: Duration) {
        self.0.end_within(time);
    }
}
