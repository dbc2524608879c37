//! Writes events as log, JSON or table, one write a batch, and counts those that were written and those that were lost.
//! Changes no event and holds none back; what it can't write is lost, counted and said, never kept.
//!
//! | format | where to | for |
//! |---|---|---|
//! | `log` | standard output, or the files in the log path, one an hour | the original lightmon's log parsers |
//! | `json` | the same | programs; it is complete and can be replayed |
//! | `table` | standard output | people |
//!
//! A line that a plugin has written takes its event's place in every format. Text from processes, containers and plugins
//! can't break a line or steer a terminal (`crate::escape`).

#[cfg(test)]
mod arbitrary;
mod format;
pub(crate) mod json;
mod log;
mod rotate;
mod sink;
mod table;
mod terminal;

use std::{
    borrow::Borrow,
    io::{self, ErrorKind},
    path::PathBuf,
    sync::atomic::Ordering::Relaxed,
};

use jiff::{Timestamp, tz::TimeZone};

pub use self::{
    format::{Format, Formatter, UnknownFormat},
    terminal::Terminal,
};
use crate::{event::Event, stats::Stats};

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
    /// The zone of all times shown, and of the log files' hours.
    pub zone: TimeZone,
    /// What standard output is.
    pub terminal: Terminal,
    /// The time by which log files are named.
    pub clock: fn() -> Timestamp,
}

impl Options {
    /// In the system's time and zone, for the terminal there is.
    pub fn new(format: Format, log_path: Option<PathBuf>, tags: bool) -> Self {
        Self {
            format,
            log_path,
            tags,
            zone: TimeZone::system(),
            terminal: Terminal::of_stdout(),
            clock: Timestamp::now,
        }
    }
}

/// Why something could not be written. The text names the cause: it is no `source`, lest it be said twice.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody reads standard output any more: a reason to end, not to complain.
    #[error("the reader of standard output has gone")]
    Closed,
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
}

/// Where events end.
#[derive(Debug)]
pub struct Output {
    formatter: Formatter,
    sink: Sink,
    clock: fn() -> Timestamp,
    buffer: Vec<u8>,
}

/// A batch of ordinary events is far below it: then it is one write. Of huge ones, so much is held in memory.
const FLUSH: usize = 1 << 20;

impl Output {
    /// Opens the sink and writes what comes before the first event.
    ///
    /// # Errors
    /// When it can't be opened or written to.
    pub fn open(options: &Options) -> Result<Self, Error> {
        let mut output = Self {
            formatter: Formatter::new(
                options.format,
                options.zone.clone(),
                options.terminal,
                options.tags,
            ),
            sink: Sink::open(options)?,
            clock: options.clock,
            buffer: Vec::new(),
        };
        output.formatter.begin(&mut output.buffer);
        output.flush(0, 0, &Stats::default())?;
        Ok(output)
    }

    /// Writes a batch, and counts each of its events as written or lost. Waits for a reader that is slow.
    ///
    /// # Errors
    /// When not all of it could be written. After [`Error::Closed`] nothing more can be.
    pub fn write<E: Borrow<Event>>(&mut self, events: &[E], stats: &Stats) -> Result<(), Error> {
        self.formatter.begin(&mut self.buffer);
        let mut header = self.buffer.len();
        let mut pending = 0;
        for (i, event) in events.iter().enumerate() {
            self.formatter.event(event.borrow(), &mut self.buffer);
            pending += 1;
            if self.buffer.len() >= FLUSH {
                if let Err(error) = self.flush(header, pending, stats) {
                    let rest = events.len() - i - 1;
                    stats.lost_output.fetch_add(rest as u64, Relaxed);
                    return Err(error);
                }
                (header, pending) = (0, 0);
            }
        }
        self.flush(header, pending, stats)
    }

    /// Ends. Nothing is waiting to be written; a log file's disk is asked whether it has it all.
    ///
    /// # Errors
    /// When it hasn't.
    pub fn finish(self) -> Result<(), Error> {
        match self.sink {
            Sink::Stdout(_) => Ok(()),
            Sink::Files(files) => files.finish(),
        }
    }

    /// Writes the buffer: after the first `header` bytes, a line for each of the `events`.
    fn flush(&mut self, header: usize, events: u64, stats: &Stats) -> Result<(), Error> {
        let result = match &mut self.sink {
            _ if self.buffer.is_empty() => Ok(()),
            Sink::Stdout(stdout) => match stdout.append(&self.buffer) {
                (_, Ok(())) => Ok(()),
                (written, Err(cause)) => Err((written, of_stdout(cause))),
            },
            Sink::Files(files) => files.append((self.clock)(), &self.buffer),
        };
        let whole = match &result {
            Ok(()) => events,
            Err((written, _)) => {
                let lines = self.buffer[..*written].iter().skip(header);
                lines.filter(|&&byte| byte == b'\n').count() as u64
            }
        };
        stats.written.fetch_add(whole, Relaxed);
        stats.lost_output.fetch_add(events - whole, Relaxed);
        self.buffer.clear();
        self.buffer.shrink_to(FLUSH);
        result.map_err(|(_, error)| error)
    }
}

fn of_stdout(cause: io::Error) -> Error {
    match cause.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Error::Closed,
        _ => Error::Write {
            to: "standard output".to_owned(),
            cause,
        },
    }
}

#[derive(Debug)]
enum Sink {
    Stdout(sink::Lines),
    Files(rotate::Files),
}

impl Sink {
    fn open(options: &Options) -> Result<Self, Error> {
        match &options.log_path {
            Some(directory) if options.format != Format::Table => {
                rotate::Files::open(directory, options.zone.clone(), (options.clock)())
                    .map(Self::Files)
            }
            _ => sink::Lines::stdout().map(Self::Stdout).map_err(of_stdout),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File, OpenOptions},
        io::Read as _,
        os::{fd::OwnedFd, unix::net::UnixDatagram},
        thread,
    };

    use jiff::tz;
    use nix::unistd::pipe;

    use super::*;

    fn output(format: Format, file: File) -> Output {
        Output {
            formatter: Formatter::new(format, TimeZone::UTC, Terminal::NONE, false),
            sink: Sink::Stdout(sink::Lines::new(file, false)),
            clock: Timestamp::now,
            buffer: Vec::new(),
        }
    }

    fn full() -> File {
        OpenOptions::new().write(true).open("/dev/full").unwrap()
    }

    fn counts(stats: &Stats) -> (u64, u64) {
        (stats.written.load(Relaxed), stats.lost_output.load(Relaxed))
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
            let mut output = Output::open(&options).unwrap();
            let stats = Stats::default();
            output
                .write(&[Event::sample(), Event::sample()], &stats)
                .unwrap();
            output.write(&[Box::new(Event::sample())], &stats).unwrap();
            output.write::<Event>(&[], &stats).unwrap();
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
        let mut output = output(Format::Log, OwnedFd::from(ours).into());
        let stats = Stats::default();
        output.write(&vec![Event::sample(); 100], &stats).unwrap();
        let mut datagram = vec![0; 1 << 20];
        let length = theirs.recv(&mut datagram).unwrap();
        let lines = datagram[..length].split_inclusive(|&byte| byte == b'\n');
        assert_eq!((lines.count(), counts(&stats)), (100, (100, 0)));
    }

    #[test]
    fn a_full_disk_loses_events_and_counts_them() {
        let (mut output, stats) = (output(Format::Table, full()), Stats::default());
        for _ in 0..2 {
            let error = output
                .write(&[Event::sample(), Event::sample()], &stats)
                .unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("write to standard output: No space left"),
                "{error}"
            );
        }
        assert_eq!(counts(&stats), (0, 4));
        assert!(output.buffer.is_empty());
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error_to_complain_of() {
        let (read, write) = pipe().unwrap();
        drop(read);
        let (mut output, stats) = (output(Format::Json, write.into()), Stats::default());
        let error = output.write(&[Event::sample()], &stats).unwrap_err();
        assert!(matches!(error, Error::Closed));
        assert_eq!(counts(&stats), (0, 1));
    }

    #[test]
    fn a_huge_batch_is_written_in_parts_and_counted_whole() {
        let huge = Event {
            user: Some("x".repeat(600_000).into()),
            ..Event::sample()
        };
        let batch = vec![huge; 7];

        let file = tempfile::NamedTempFile::new().unwrap();
        let (mut good, stats) = (
            output(Format::Json, file.reopen().unwrap()),
            Stats::default(),
        );
        good.write(&batch, &stats).unwrap();
        assert_eq!(counts(&stats), (7, 0));
        assert!(good.buffer.capacity() <= FLUSH);
        assert_eq!(fs::read_to_string(file.path()).unwrap().lines().count(), 7);

        let (mut bad, stats) = (output(Format::Json, full()), Stats::default());
        bad.write(&batch, &stats).unwrap_err();
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
        let (mut output, stats) = (output(Format::Table, write.into()), Stats::default());
        let batch = vec![Event::sample(); EVENTS as usize];
        assert!(matches!(output.write(&batch, &stats), Err(Error::Closed)));
        let header = 2;
        let rows_seen = reader.join().unwrap() - header;
        let (written, lost) = counts(&stats);
        assert_eq!(written + lost, EVENTS);
        assert!(
            rows_seen <= written && written < EVENTS,
            "{rows_seen} {written}"
        );
    }
}
