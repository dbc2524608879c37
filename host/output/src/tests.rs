//! The whole output, with readers of every kind.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader, Read as _},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    sync::{Arc, atomic::Ordering::Relaxed, mpsc},
    thread,
    time::{Duration, Instant},
};

use jiff::{
    Timestamp,
    tz::{self, TimeZone},
};
use lightmon_event::{Event, Lost, LostIn, Notice, Stats};
use nix::unistd::pipe;

use crate::{
    DRAIN_TIMEOUT, Error, Format, Options, Output, Terminal, notices,
    output::{BUFFER_INTERVAL, MAX_BUFFERED_BYTES},
    sinks::{self, LineWriter, Stdout},
};

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

/// The number of events in JSON lines, and of the losses that notices report.
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
        output.write(&[Event::sample()]);
        output.write::<Event>(&[]);
        output.finish().unwrap();
        assert_eq!(counts(&stats), (3, 0));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        let text = fs::read_to_string(directory.join("lightmon.log.202611232300")).unwrap();
        assert_eq!(text.lines().count(), 3);
    }
    let table = Options::new(Format::Table, Some(root.path().join("table")), false);
    let sink = sinks::open(&table).unwrap();
    assert!(format!("{sink:?}").starts_with("Stdout"), "{sink:?}");
    assert!(!root.path().join("table").exists());
}

#[test]
fn a_batch_is_one_write() {
    // A write to a datagram socket is one datagram.
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let (mut output, stats) = start(&options(Format::Log), ours);
    for _ in 0..2 {
        output.write_buffered(&vec![Event::sample(); 100]);
        let mut datagram = vec![0; 1 << 20];
        let length = theirs.recv(&mut datagram).unwrap();
        let lines = datagram[..length].split_inclusive(|&byte| byte == b'\n');
        assert_eq!(lines.count(), 100);
    }
    output.finish().unwrap();
    assert_eq!(counts(&stats), (200, 0));
}

#[test]
fn batches_that_come_quickly_share_a_write_to_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (mut output, stats) = start(&options(Format::Json), file.reopen().unwrap());
    let lines = || fs::read_to_string(file.path()).unwrap().lines().count();
    let one = [Event::sample()];

    output.write_buffered(&one);
    assert_eq!(lines(), 1, "after a while without any");
    let mut made = 1;
    // On a busy machine not every attempt is quick enough.
    let mut keep_one = |output: &mut Output| {
        let mut is_kept = || {
            output.write(&one);
            output.write_buffered(&one);
            made += 2;
            lines() < made
        };
        assert!((0..1000).any(|_| is_kept()), "nothing waits");
        made
    };

    let made = keep_one(&mut output);
    output.write_buffered::<Event>(&[]);
    assert_eq!(lines(), made, "as soon as nothing comes");

    let made = keep_one(&mut output);
    thread::sleep(BUFFER_INTERVAL);
    output.write_buffered(&one);
    assert_eq!(lines(), made + 1, "after some time");
    output.write_buffered(&vec![Event::sample(); MAX_BUFFERED_BYTES / 500]);
    let made = made + 1 + MAX_BUFFERED_BYTES / 500;
    assert_eq!(lines(), made, "as soon as it is much");

    output.write_notice(&Notice::Lost {
        place: LostIn::Kernel,
        lost: Lost {
            since: Timestamp::UNIX_EPOCH,
            until: Timestamp::UNIX_EPOCH,
            connections: 1,
            processes: 0,
        },
    });
    output.write_buffered(&one);
    output.finish().unwrap();
    assert_eq!(lines(), made + 2, "at the end");
    assert_eq!(counts(&stats), (made as u64 + 1, 0));
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
fn a_closed_reader_is_reported_and_all_is_lost() {
    let through_the_writer = |file| LineWriter::new(file, false);
    let at_once = |file| LineWriter::non_blocking(file).unwrap();
    for lines in [through_the_writer as fn(File) -> _, at_once] {
        let (read, write) = pipe().unwrap();
        // A pipe without a reader could not be opened again.
        let lines = lines(write.into());
        drop(read);
        let stats = Arc::new(Stats::default());
        let (sender, closed) = mpsc::channel();
        let sink = Box::new(Stdout::new(lines));
        let closing = move || sender.send(()).unwrap();
        let options = options(Format::Json);
        let mut output = Output::start(&options, sink, stats.clone(), closing).unwrap();
        output.write(&[Event::sample()]);
        closed.recv_timeout(DEADLINE).unwrap();
        assert!(output.handle().is_over());
        output.write(&[Event::sample()]);
        output.handle().lose(5);
        assert!(matches!(output.finish(), Err(Error::Closed)));
        assert_eq!(counts(&stats), (0, 7));
    }
}

#[test]
fn a_huge_batch_is_written_in_parts_and_counted_whole() {
    let huge = Event {
        user: Some("x".repeat(600_000).into()),
        ..Event::sample()
    };
    let batch = vec![huge; 7];
    let options = Options {
        is_lossless: true,
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
fn whole_lines_count_as_written_and_the_others_as_lost() {
    const EVENTS: u64 = 10_000;
    let (read, write) = pipe().unwrap();
    // The reader closes the pipe within a batch that is far larger than the pipe's buffer.
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
fn a_stalled_reader_stalls_nobody_and_learns_what_it_missed() {
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
    // From now on a batch costs next to no time and no memory.
    let began = Instant::now();
    for _ in 0..1000 {
        push(&mut output);
    }
    assert!(began.elapsed() < DEADLINE);
    let (_, lost) = counts(&stats);
    assert!(lost >= 100_000, "{lost}");

    // The reader goes on. It gets what was queued, then a notice of what is missing, then what is new.
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
fn the_drain_ends_for_a_reader_that_never_reads_and_counts_the_lines_it_has() {
    let (read, write) = pipe().unwrap();
    let (mut output, stats) = start(&options(Format::Log), write);
    output.write(&vec![Event::sample(); 1000]);
    let began = Instant::now();
    assert!(matches!(output.finish(), Err(Error::Stalled)));
    assert!(began.elapsed() >= DRAIN_TIMEOUT);
    let (written, lost) = counts(&stats);
    assert_eq!(written + lost, 1000);
    let mut text = Vec::new();
    File::from(read).read_to_end(&mut text).unwrap();
    let lines = text.iter().filter(|&&byte| byte == b'\n').count();
    assert!(lines > 0 && lines as u64 == written, "{lines} {written}");
}

#[test]
fn a_lossless_run_waits_for_its_reader_until_a_deadline_is_set() {
    let (read, write) = pipe().unwrap();
    let options = Options {
        is_lossless: true,
        ..options(Format::Json)
    };
    let (mut output, stats) = start(&options, write);
    let handle = output.handle();
    let (sender, is_done) = mpsc::channel();
    let writer = thread::spawn(move || {
        // More than fits into the queue.
        for _ in 0..100 {
            output.write(&vec![Event::sample(); 100]);
        }
        sender.send(()).unwrap();
        output.finish()
    });
    // Far longer than a run waits that is not lossless.
    let waited = is_done.recv_timeout(Duration::from_secs(1));
    assert_eq!(waited, Err(mpsc::RecvTimeoutError::Timeout));
    assert_eq!(counts(&stats), (0, 0));
    handle.end_within(Duration::ZERO);
    is_done.recv_timeout(DEADLINE).unwrap();
    assert!(matches!(writer.join().unwrap(), Err(Error::Stalled)));
    let (written, lost) = counts(&stats);
    assert!(written > 0 && written + lost == 10_000, "{written} {lost}");
    drop(read);
}

#[test]
fn a_write_that_cannot_be_ended_is_abandoned() {
    let (read, write) = pipe().unwrap();
    let stats = Arc::new(Stats::default());
    // As for a file that can't be opened again.
    let sink = Box::new(Stdout::new(LineWriter::new(write.into(), false)));
    let mut output = Output::start(&options(Format::Json), sink, stats.clone(), || ()).unwrap();
    output.write(&vec![Event::sample(); 1000]);
    output.handle().end_within(Duration::ZERO);
    assert!(matches!(output.finish(), Err(Error::Stalled)));
    assert_eq!(counts(&stats), (0, 1000));
    drop(read);
}

#[test]
fn left_counts_what_is_written_and_not_what_is_lost() {
    let (read, write) = pipe().unwrap();
    let (mut output, stats) = start(&options(Format::Json), write);
    assert_eq!(output.handle().left(100), Some(100));
    output.write(&vec![Event::sample(); 60]);
    assert_eq!(output.handle().left(100), Some(40));
    output.handle().lose(10);
    assert_eq!(output.handle().left(100), Some(40));
    output.write(&vec![Event::sample(); 40]);
    let (sender, left) = mpsc::channel();
    let waiting = thread::spawn(move || {
        sender.send(output.handle().left(100)).unwrap();
        output
    });
    // More than fits into the pipe: `left` waits for what is queued.
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
fn notices_are_written_while_the_pipeline_waits() {
    let (read, write) = pipe().unwrap();
    let (output, stats) = start(&options(Format::Json), write);
    let handle = output.handle();
    let mut lines = BufReader::new(File::from(read)).lines();
    let at = Timestamp::UNIX_EPOCH;
    let lost = |connections| Notice::Lost {
        place: LostIn::Kernel,
        lost: Lost {
            since: at,
            until: at,
            connections,
            processes: 0,
        },
    };
    let mut next = || {
        let line = lines.next().unwrap().unwrap();
        match lightmon_event::json::parse_line(line.as_bytes()).unwrap() {
            lightmon_event::Record::Notice(notice) => notice,
            other => panic!("{other:?}"),
        }
    };
    handle.notice(lost(1));
    assert_eq!(next(), lost(1));
    let began = Instant::now();
    handle.notice(lost(2));
    handle.notice(lost(3));
    let reason = "no answer".to_owned();
    let blind = Notice::Blind { time: at, reason };
    handle.notice(blind.clone());
    assert_eq!((next(), next()), (blind, lost(5)));
    assert!(began.elapsed() > notices::LOSS_REPORT_INTERVAL / 2);
    handle.notice(lost(7));
    output.finish().unwrap();
    assert_eq!(next(), lost(7));
    assert_eq!(counts(&stats), (0, 0));
}
