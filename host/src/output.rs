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
//! can't break a line or steer a terminal (`crate::escape`).
//!
//! A batch is one write, or shares one with others when the reader is slow. At most 4 MiB wait for it; what there is no
//! room for is lost, counted and said: on stderr, and by a [`Notice`] among the events once they are taken again.

#[cfg(test)]
mod arbitrary;
mod format;
pub(crate) mod json;
mod log;
mod notices;
mod queue;
mod rotate;
mod sink;
mod table;
mod terminal;
mod writer;

use std::{borrow::Borrow, io, mem, path::PathBuf, sync::Arc, thread, time::Duration};

use jiff::{Timestamp, tz::TimeZone};

pub use self::{
    format::{Format, Formatter, UnknownFormat},
    terminal::Terminal,
};
use self::{
    queue::{Chunk, Queue},
    sink::Sink,
    writer::Writer,
};
use crate::{event::Event, notice::Notice, stats::Stats};

/// How long what was not yet written may take when lightmon is to end.
pub const DRAIN: Duration = Duration::from_millis(1500);

/// What to write, and where to.
#[derive(Clone, Debug)]
pub struct Options {
    /// What an event is written as.
    pub format: Format,
    /// The directory for log files, with the formats `log` and `json`; standard output without one. A table always goes to
    /// standard output.
    pub log_path: Option<PathBuf>,
    /// Whether a table has a column for tags: plugins are loaded.
    pub tags: bool,
    /// Whether a slow reader is waited for as long as it takes: events come from a file, and don't get lost there.
    pub is_patient: bool,
    /// The zone of all times shown, and of the log files' hours.
    pub zone: TimeZone,
    /// What standard output is.
    pub terminal: Terminal,
    /// The time by which log files are named.
    pub clock: fn() -> Timestamp,
}

impl Options {
    /// In the system's time and zone, for the terminal there is, without patience.
    pub fn new(format: Format, log_path: Option<PathBuf>, tags: bool) -> Self {
        Self {
            format,
            log_path,
            tags,
            is_patient: false,
            zone: TimeZone::system(),
            terminal: Terminal::of_stdout(),
            clock: Timestamp::now,
        }
    }

    fn formatter(&self) -> Formatter {
        Formatter::new(self.format, self.zone.clone(), self.terminal, self.tags)
    }
}

/// Why something could not be written. The text names the cause: it is no `source`, lest it be said twice.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody reads standard output any more.
    #[error("the reader of standard output has gone; what it did not take is lost")]
    Closed,
    /// Somebody may, but did not for too long.
    #[error("the output was too slow or took nothing; what it did not take in time is lost")]
    Stalled,
    /// A write went wrong; the next batch is tried again.
    #[error("write to {to}: {cause}")]
    Write {
        /// What to.
        to: String,
        /// Why.
        cause: io::Error,
    },
    /// The directory for log files can't be made.
    #[error("make the log path {}: {cause}; choose another with --log-path", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A log file can't be opened.
    #[error("open the log file {}: {cause}; it must be a regular file, and no symbolic link", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// There is no thread for it.
    #[error("start the output's thread: {0}")]
    Thread(io::Error),
}

/// Where events end.
#[derive(Debug)]
pub struct Output {
    formatter: Formatter,
    chunk: Chunk,
    queue: Arc<Queue>,
    is_patient: bool,
}

/// A batch of ordinary events is far below it: then it is one write. Of huge ones, so much is formatted at once.
const FLUSH: usize = 1 << 20;

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
        let queue = Arc::new(Queue::new(stats, options.is_patient));
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
            is_patient: options.is_patient,
        };
        output.write::<Event>(&[]);
        Ok(output)
    }

    /// To any file instead of standard output, in tests.
    #[cfg(test)]
    pub(crate) fn to(
        options: &Options,
        file: impl Into<std::os::fd::OwnedFd>,
        stats: Arc<Stats>,
    ) -> Self {
        let lines = sink::Lines::never_blocking(file.into().into()).expect("a file has metadata");
        Self::start(options, Sink::Stdout(lines), stats, || ()).expect("a thread can be started")
    }

    /// Hands a batch over to be written. Each of its events will be counted as written or lost, now or later.
    /// Waits for a slow reader, but without patience no longer than a moment.
    pub fn write<E: Borrow<Event>>(&mut self, events: &[E]) {
        if self.queue.is_stalled() {
            self.queue.lose(events.len() as u64);
            return;
        }
        self.formatter.begin(&mut self.chunk.bytes);
        self.chunk.header = self.chunk.bytes.len();
        for event in events {
            self.formatter.event(event.borrow(), &mut self.chunk.bytes);
            self.chunk.events += 1;
            if self.chunk.bytes.len() >= FLUSH {
                self.push();
            }
        }
        self.push();
    }

    /// The same with a notice of another time, word for word.
    pub fn pass_on(&mut self, notice: &Notice) {
        self.formatter.notice(notice, &mut self.chunk.bytes);
        self.chunk.header = self.chunk.bytes.len();
        self.push();
    }

    fn push(&mut self) {
        if !self.chunk.bytes.is_empty() {
            self.chunk.bytes = self.queue.push(mem::take(&mut self.chunk));
        }
    }

    /// Whether all that comes now is lost: the reader has gone, or the time is over.
    pub fn is_over(&self) -> bool {
        self.queue.is_over()
    }

    /// Counts events as lost without formatting them.
    pub fn lose(&self, events: u64) {
        self.queue.lose(events);
    }

    /// How many events are missing until `count` are written, none when they are. Waits for what is on its way where that
    /// may be enough.
    pub fn left(&self, count: u64) -> Option<u64> {
        self.queue.left(count)
    }

    /// For those who are no stage.
    pub fn remote(&self) -> Remote {
        Remote(self.queue.clone())
    }

    /// Ends when all is written, and on the disk where there is one; without patience after [`DRAIN`] at the latest.
    ///
    /// # Errors
    /// When not all of it could be, now or before.
    pub fn finish(self) -> Result<(), Error> {
        if !self.is_patient {
            self.queue.end_within(DRAIN);
        }
        self.queue.finish()
    }
}

/// Without [`finish`](Output::finish) nobody waits for what is left.
impl Drop for Output {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

/// What other threads may ask of the output, whatever the pipeline is doing. Holds up nobody.
#[derive(Clone, Debug)]
pub struct Remote(Arc<Queue>);

impl Remote {
    /// Says something in the stream and on stderr. Losses are said at once when it is the first, and then as a sum once a
    /// second and at the end.
    pub fn notice(&self, notice: Notice) {
        self.0.post(notice);
    }

    /// Ends the output's patience: what is not written after that time is lost.
    pub fn end_within(&self, time: Duration) {
        self.0.end_within(time);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File, OpenOptions},
        io::{BufRead as _, BufReader, Read as _},
        os::{fd::OwnedFd, unix::net::UnixDatagram},
        sync::{atomic::Ordering::Relaxed, mpsc},
        time::Instant,
    };

    use jiff::tz;
    use nix::unistd::pipe;

    use super::*;
    use crate::{event::Lost, notice::Place};

    /// Generous: the machine may be busy.
    const DEADLINE: Duration = Duration::from_secs(20);

    fn options(format: Format) -> Options {
        Options {
            zone: TimeZone::UTC,
            terminal: Terminal::NONE,
            ..Options::new(format, None, false)
        }
    }

    fn start(options: &Options, file: impl Into<OwnedFd>) -> (Output, Arc<Stats>) {
        let stats = Arc::new(Stats::default());
        let output = Output::to(options, file, stats.clone());
        (output, stats)
    }

    fn full() -> File {
        OpenOptions::new().write(true).open("/dev/full").unwrap()
    }

    fn counts(stats: &Stats) -> (u64, u64) {
        (stats.written.load(Relaxed), stats.lost_output.load(Relaxed))
    }

    fn wait_until(what: &str, mut it: impl FnMut() -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !it() {
            assert!(Instant::now() < deadline, "{what}");
            thread::yield_now();
        }
    }

    /// Events and losses told of in JSON lines.
    fn tally(lines: impl Iterator<Item = String>) -> (u64, u64) {
        let (mut events, mut lost) = (0, 0);
        for line in lines {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            match line["notice"].as_str() {
                None => events += 1,
                Some("lost") => lost += line["connections"].as_u64().unwrap(),
                Some(other) => panic!("{other}"),
            }
        }
        (events, lost)
    }

    #[test]
    fn a_log_path_gets_log_and_json_but_no_table() {
        let root = tempfile::tempdir().unwrap();
        for format in [Format::Log, Format::Json] {
            let directory = root.path().join(format!("{format:?}"));
            let options = Options {
                zone: TimeZone::fixed(tz::offset(8)),
                clock: || {
                    "2026-11-23T15:04:05Z"
                        .parse()
                        .expect("invariant: a valid time")
                },
                ..Options::new(format, Some(directory.clone()), false)
            };
            let stats = Arc::new(Stats::default());
            let mut output = Output::open(&options, stats.clone(), || ()).unwrap();
            output.write(&[Event::sample(), Event::sample()]);
            output.write(&[Box::new(Event::sample())]);
            output.write::<Event>(&[]);
            output.finish().unwrap();
            assert_eq!(counts(&stats), (3, 0));
            assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
            let text = fs::read_to_string(directory.join("lightmon.log.202611232300")).unwrap();
            assert_eq!(text.lines().count(), 3);
        }
        let table = Options::new(Format::Table, Some(root.path().join("table")), false);
        assert!(matches!(Sink::open(&table).unwrap(), Sink::Stdout(_)));
        assert!(!root.path().join("table").exists());
    }

    #[test]
    fn a_batch_is_one_write() {
        // A write to a datagram socket is one datagram.
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let (mut output, stats) = start(&options(Format::Log), ours);
        for _ in 0..2 {
            output.write(&vec![Event::sample(); 100]);
            let mut datagram = vec![0; 1 << 20];
            let length = theirs.recv(&mut datagram).unwrap();
            let lines = datagram[..length].split_inclusive(|&byte| byte == b'\n');
            assert_eq!(lines.count(), 100);
        }
        output.finish().unwrap();
        assert_eq!(counts(&stats), (200, 0));
    }

    #[test]
    fn a_full_disk_loses_events_and_counts_them() {
        let (mut output, stats) = start(&options(Format::Table), full());
        for _ in 0..2 {
            output.write(&[Event::sample(), Event::sample()]);
        }
        let error = output.finish().unwrap_err().to_string();
        assert!(
            error.starts_with("write to standard output: No space left"),
            "{error}"
        );
        assert_eq!(counts(&stats), (0, 4));
    }

    #[test]
    fn a_reader_that_has_gone_is_told_of_and_all_is_lost() {
        let (read, write) = pipe().unwrap();
        drop(read);
        let stats = Arc::new(Stats::default());
        let (sender, closed) = mpsc::channel();
        let sink = Sink::Stdout(sink::Lines::new(write.into(), false));
        let closing = move || sender.send(()).unwrap();
        let mut output =
            Output::start(&options(Format::Json), sink, stats.clone(), closing).unwrap();
        output.write(&[Event::sample()]);
        closed.recv_timeout(DEADLINE).unwrap();
        assert!(output.is_over());
        output.write(&[Event::sample()]);
        output.lose(5);
        assert!(matches!(output.finish(), Err(Error::Closed)));
        assert_eq!(counts(&stats), (0, 7));
    }

    #[test]
    fn a_huge_batch_is_written_in_parts_and_counted_whole() {
        let huge = Event {
            user: Some("x".repeat(600_000).into()),
            ..Event::sample()
        };
        let batch = vec![huge; 7];
        let options = Options {
            is_patient: true,
            ..options(Format::Json)
        };

        let file = tempfile::NamedTempFile::new().unwrap();
        let (mut good, stats) = start(&options, file.reopen().unwrap());
        good.write(&batch);
        good.finish().unwrap();
        assert_eq!(counts(&stats), (7, 0));
        assert_eq!(fs::read_to_string(file.path()).unwrap().lines().count(), 7);

        let (mut bad, stats) = start(&options, full());
        bad.write(&batch);
        bad.finish().unwrap_err();
        assert_eq!(counts(&stats), (0, 7));
    }

    #[test]
    fn lines_that_were_taken_are_written_and_the_others_lost() {
        const EVENTS: u64 = 10_000;
        let (read, write) = pipe().unwrap();
        // It leaves after so much of a batch that is far more than a pipe holds.
        let reader = thread::spawn(move || {
            let mut seen = vec![0; 100_000];
            File::from(read).read_exact(&mut seen).unwrap();
            seen.iter().filter(|&&byte| byte == b'\n').count() as u64
        });
        let (mut output, stats) = start(&options(Format::Table), write);
        output.write(&vec![Event::sample(); EVENTS as usize]);
        assert!(matches!(output.finish(), Err(Error::Closed)));
        let header = 2;
        let rows_seen = reader.join().unwrap() - header;
        let (written, lost) = counts(&stats);
        assert_eq!(written + lost, EVENTS);
        assert!(
            rows_seen <= written && written < EVENTS,
            "{rows_seen} {written}"
        );
    }

    #[test]
    fn a_reader_that_stalls_holds_up_nobody_and_is_told_what_it_missed() {
        let (read, write) = pipe().unwrap();
        let (mut output, stats) = start(&options(Format::Json), write);
        let batch = vec![Event::sample(); 100];
        let mut made = 0;
        let mut push = |output: &mut Output| {
            output.write(&batch);
            made += batch.len() as u64;
        };
        while counts(&stats).1 == 0 {
            push(&mut output);
        }
        // From now on it costs no time to speak of, and no memory.
        let began = Instant::now();
        for _ in 0..1000 {
            push(&mut output);
        }
        assert!(began.elapsed() < DEADLINE);
        let (_, lost) = counts(&stats);
        assert!(lost >= 100_000, "{lost}");

        // It goes on: all that was kept comes, then what is new, and between them how much is missing.
        let lines = BufReader::new(File::from(read)).lines();
        let reader = thread::spawn(|| tally(lines.map(Result::unwrap)));
        wait_until("the output goes on", || {
            push(&mut output);
            counts(&stats).0 > 10_000
        });
        assert!(matches!(output.finish(), Err(Error::Stalled)));
        let (written, lost) = counts(&stats);
        assert_eq!(written + lost, made);
        assert_eq!(reader.join().unwrap(), (written, lost));
    }

    #[test]
    fn a_reader_that_never_reads_is_given_up_and_what_it_has_is_counted_to_the_last_line() {
        let (read, write) = pipe().unwrap();
        let (mut output, stats) = start(&options(Format::Log), write);
        output.write(&vec![Event::sample(); 1000]);
        let began = Instant::now();
        assert!(matches!(output.finish(), Err(Error::Stalled)));
        assert!(began.elapsed() >= DRAIN);
        let (written, lost) = counts(&stats);
        assert_eq!(written + lost, 1000);
        let mut text = Vec::new();
        File::from(read).read_to_end(&mut text).unwrap();
        let lines = text.iter().filter(|&&byte| byte == b'\n').count();
        assert!(lines > 0 && lines as u64 == written, "{lines} {written}");
    }

    #[test]
    fn with_patience_a_reader_may_take_its_time_until_the_end_is_near() {
        let (read, write) = pipe().unwrap();
        let options = Options {
            is_patient: true,
            ..options(Format::Json)
        };
        let (mut output, stats) = start(&options, write);
        let remote = output.remote();
        let (sender, is_done) = mpsc::channel();
        let writer = thread::spawn(move || {
            // More than may wait.
            for _ in 0..100 {
                output.write(&vec![Event::sample(); 100]);
            }
            sender.send(()).unwrap();
            output.finish()
        });
        // Far longer than without patience.
        let waited = is_done.recv_timeout(Duration::from_secs(1));
        assert_eq!(waited, Err(mpsc::RecvTimeoutError::Timeout));
        assert_eq!(counts(&stats), (0, 0));
        remote.end_within(Duration::ZERO);
        is_done.recv_timeout(DEADLINE).unwrap();
        assert!(matches!(writer.join().unwrap(), Err(Error::Stalled)));
        let (written, lost) = counts(&stats);
        assert!(written > 0 && written + lost == 10_000, "{written} {lost}");
        drop(read);
    }

    #[test]
    fn a_write_that_cannot_be_ended_is_left_behind() {
        let (read, write) = pipe().unwrap();
        let stats = Arc::new(Stats::default());
        // As it is where it can't be opened again.
        let sink = Sink::Stdout(sink::Lines::new(write.into(), false));
        let mut output = Output::start(&options(Format::Json), sink, stats.clone(), || ()).unwrap();
        output.write(&vec![Event::sample(); 1000]);
        output.remote().end_within(Duration::ZERO);
        assert!(matches!(output.finish(), Err(Error::Stalled)));
        assert_eq!(counts(&stats), (0, 1000));
        drop(read);
    }

    #[test]
    fn as_many_as_are_wanted_are_written_whatever_is_lost() {
        let (read, write) = pipe().unwrap();
        let (mut output, stats) = start(&options(Format::Json), write);
        assert_eq!(output.left(100), Some(100));
        output.write(&vec![Event::sample(); 60]);
        assert_eq!(output.left(100), Some(40));
        output.lose(10);
        assert_eq!(output.left(100), Some(40));
        output.write(&vec![Event::sample(); 40]);
        let (sender, left) = mpsc::channel();
        let waiting = thread::spawn(move || {
            sender.send(output.left(100)).unwrap();
            output
        });
        // More than a pipe holds: it waits for what is on its way.
        assert_eq!(
            left.recv_timeout(Duration::from_millis(100)),
            Err(mpsc::RecvTimeoutError::Timeout)
        );
        let lines = BufReader::new(File::from(read)).lines();
        let reader = thread::spawn(|| tally(lines.map(Result::unwrap)));
        assert_eq!(left.recv_timeout(DEADLINE), Ok(None));
        waiting.join().unwrap().finish().unwrap_err();
        assert_eq!(counts(&stats), (100, 10));
        assert_eq!(reader.join().unwrap(), (100, 10));
    }

    #[test]
    fn notices_come_while_the_pipeline_sleeps() {
        let (read, write) = pipe().unwrap();
        let (output, stats) = start(&options(Format::Json), write);
        let remote = output.remote();
        let mut lines = BufReader::new(File::from(read)).lines();
        let at = Timestamp::UNIX_EPOCH;
        let lost = |connections| Notice::Lost {
            place: Place::Kernel,
            lost: Lost {
                since: at,
                until: at,
                connections,
                processes: 0,
            },
        };
        let mut next = || {
            let line = lines.next().unwrap().unwrap();
            match json::parse_line(line.as_bytes()).unwrap() {
                crate::event::Record::Notice(notice) => notice,
                other => panic!("{other:?}"),
            }
        };
        remote.notice(lost(1));
        assert_eq!(next(), lost(1));
        let began = Instant::now();
        remote.notice(lost(2));
        remote.notice(lost(3));
        let reason = "no answer".to_owned();
        let blind = Notice::Blind { time: at, reason };
        remote.notice(blind.clone());
        assert_eq!((next(), next()), (blind, lost(5)));
        assert!(began.elapsed() > notices::PAUSE / 2);
        remote.notice(lost(7));
        output.finish().unwrap();
        assert_eq!(next(), lost(7));
        assert_eq!(counts(&stats), (0, 0));
    }
}
