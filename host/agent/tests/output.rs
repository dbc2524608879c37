//! The recording in `fixtures/events.jsonl` through every format, as a whole text each: what users see, and what no
//! hostile text may do to it. After a wanted change: `INSTA_UPDATE=always cargo test -p lightmon --test output`, and read
//! the difference.

use std::{io::Write as _, path::Path, sync::atomic::Ordering::Relaxed};

use jiff::tz::{TimeZone, offset};
use lightmon_capture::{MAX_BATCH, Next, Source as _, replay::Replay};
use lightmon_event::{Event, Record, Stats};
use lightmon_output::{Format, Formatter, Terminal};
use lightmon_thread::Stop;

const EVENTS: &str = "tests/fixtures/events.jsonl";

fn replay(path: &Path) -> (Vec<Event>, Stats) {
    let (mut replay, stop, stats) = (
        Replay::open(path).unwrap(),
        Stop::new().unwrap(),
        Stats::default(),
    );
    let (mut events, mut batch) = (Vec::new(), Vec::new());
    loop {
        let next = replay.next(&mut batch, MAX_BATCH, &stop, &stats).unwrap();
        assert!(batch.len() <= MAX_BATCH);
        events.extend(batch.drain(..).map(|record| match record {
            Record::Connection(event) => event,
            other => panic!("a recording has no {other:?}"),
        }));
        if next == Next::End {
            return (events, stats);
        }
    }
}

fn format(events: &[Event], format: Format, terminal: Terminal, tags: bool) -> String {
    let mut formatter = Formatter::new(format, TimeZone::fixed(offset(8)), terminal, tags);
    let mut out = Vec::new();
    formatter.begin(&mut out);
    for event in events {
        formatter.event(event, &mut out);
    }
    String::from_utf8(out).unwrap()
}

fn events() -> Vec<Event> {
    replay(Path::new(EVENTS)).0
}

fn table(width: fn() -> Option<u16>, color: bool, tags: bool) -> String {
    format(&events(), Format::Table, Terminal { width, color }, tags)
}

#[test]
fn a_recording_is_read_back_byte_by_byte() {
    let (events, stats) = replay(Path::new(EVENTS));
    assert_eq!(
        (
            events.len(),
            stats.seen.load(Relaxed),
            stats.malformed.load(Relaxed)
        ),
        (12, 12, 0)
    );
    let recording = std::fs::read_to_string(EVENTS).unwrap();
    let json = format(&events, Format::Json, Terminal::NONE, true);
    for (line, recorded) in json.lines().zip(recording.lines()) {
        assert_eq!(line, recorded);
    }
    assert_eq!(json, recording);
}

#[test]
fn log() {
    let log = format(&events(), Format::Log, Terminal::NONE, true);
    assert_eq!(log.lines().count(), 12);
    insta::assert_snapshot!(log);
}

#[test]
fn table_in_80_columns() {
    insta::assert_snapshot!(table(|| Some(80), false, true));
}

#[test]
fn table_in_120_columns() {
    insta::assert_snapshot!(table(|| Some(120), false, false));
}

#[test]
fn table_in_200_columns_with_tags() {
    insta::assert_snapshot!(table(|| Some(200), false, true));
}

#[test]
fn table_in_a_narrow_terminal() {
    insta::assert_snapshot!(table(|| Some(60), false, false));
}

#[test]
fn table_in_a_pipe() {
    insta::assert_snapshot!(table(|| None, false, true));
}

#[test]
fn table_in_color() {
    let table = table(|| Some(100), true, false);
    // Readable in the snapshot, and a real escape can't hide in it.
    insta::assert_snapshot!(table.replace("\x1b", "ESC"));
}

#[test]
fn a_line_of_a_plugin_replaces_the_event() {
    let mut events = events();
    events.truncate(2);
    events[0].line = Some("{\"msg\":\"a\tb\u{202e}\"}\r\n\x1b[31mforged".to_owned());
    let json = format(&events, Format::Json, Terminal::NONE, false);
    let log = format(&events, Format::Log, Terminal::NONE, false);
    let table = format(&events, Format::Table, Terminal::NONE, false);
    let first = |text: &str, skip| text.lines().nth(skip).unwrap().to_owned();
    assert_eq!(
        first(&json, 0),
        "{\"msg\":\"a\tb\\u202e\"}\\u000d\\u000a\\u001b[31mforged"
    );
    assert_eq!(first(&log, 0), first(&json, 0));
    assert_eq!(
        first(&table, 2),
        r#"{"msg":"a\tb\u{202e}"}\r\n\x1b[31mforged"#
    );
    assert_eq!(
        (
            json.lines().count(),
            log.lines().count(),
            table.lines().count()
        ),
        (2, 2, 4)
    );
}

#[test]
fn the_originals_lines_are_read() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    // Its documentation's sample (whose trailing comma its program didn't write), no comma, and the newline gone.
    write!(
        file,
        r#"{{"kernelTime":"13898485459656","goTime":"2025-04-17T14:09:49.162027869+08:00","pid":1234,"comm":"nginx","addressFamily":"AF_INET","saddr":"192.168.1.100","sport":34567,"daddr":"10.0.0.1","dport":80,"container":"web-server"}}"#
    )
    .unwrap();
    let (events, stats) = replay(file.path());
    assert_eq!(
        (stats.seen.load(Relaxed), stats.malformed.load(Relaxed)),
        (1, 0)
    );
    insta::assert_snapshot!(format(&events, Format::Table, Terminal::NONE, false));
    insta::assert_snapshot!(format(&events, Format::Log, Terminal::NONE, false));
    insta::assert_snapshot!(format(&events, Format::Json, Terminal::NONE, false));
}

#[test]
fn lines_that_are_not_events_are_skipped_and_counted() {
    let good = std::fs::read_to_string(EVENTS).unwrap();
    let good = good.lines().next().unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let with = |from: &str, to: &str| {
        let line = good.replace(from, to);
        assert_ne!(line, good, "{from}");
        line.into_bytes()
    };
    let malformed = [
        b"not json".to_vec(),
        b"{}".to_vec(),
        b"[]".to_vec(),
        b"{\"pid\":1".to_vec(),
        with("\"pid\":1234", "\"pid\":\"1234\""),
        with("\"pid\":1234", "\"pid\":-1"),
        with("\"dport\":443", "\"dport\":65536"),
        with("198.51.100.7", "198.51.100.256"),
        with("2026-11-23", "2026-13-23"),
        with("\"established\"", "\"splendid\""),
        with("\"tcp\"", "\"sctp\""),
        with("\"v\":1", "\"v\":2"),
        with("\"pid\":1234", "\"pid\":1234,\"pid\":1234"),
        with("\"cgroupId\":4711", "\"tags\":{\"a\":\"1\",\"a\":\"2\"}"),
        with("curl", "\\ud800"),
        [b"{\"comm\":\"", &[0xff, 0xfe][..], b"\"}"].concat(),
        with("root", &"x".repeat(2 << 20)),
        "[".repeat(100_000).into_bytes(),
        vec![b'x'; 3 << 20],
    ];
    for line in &malformed {
        file.write_all(good.as_bytes()).unwrap();
        file.write_all(b"\r\n\n").unwrap();
        file.write_all(line).unwrap();
        file.write_all(b"\n").unwrap();
    }
    let (events, stats) = replay(file.path());
    assert_eq!(stats.malformed.load(Relaxed), malformed.len() as u64);
    assert_eq!(stats.seen.load(Relaxed), malformed.len() as u64);
    assert_eq!(events.len(), malformed.len());
}

#[test]
fn unknown_keys_are_ignored() {
    let good = std::fs::read_to_string(EVENTS).unwrap();
    let good = good.lines().next().unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(
        file,
        "{}",
        good.replace("\"v\":1", "\"v\":1,\"dns\":{\"name\":[\"example.org\"]}")
    )
    .unwrap();
    assert_eq!(
        format(&replay(file.path()).0, Format::Json, Terminal::NONE, false),
        format!("{good}\n")
    );
}
