use std::{
    fs,
    io::Write as _,
    thread,
    time::{Duration, Instant},
};

use nix::unistd::pipe;

use super::*;
use crate::MAX_BATCH;

const LINE: &[u8] = br#"{"time":"2026-11-23T15:04:05Z","pid":7,"daddr":"192.0.2.1","dport":80}"#;

fn piped() -> (Replay, File) {
    let (read, write) = pipe().unwrap();
    (Replay::new("pipe".to_owned(), read.into()), write.into())
}

fn next(replay: &mut Replay, stop: &Stop, stats: &Stats) -> (usize, Next) {
    let mut batch = Vec::new();
    let next = replay.next(&mut batch, MAX_BATCH, stop, stats).unwrap();
    (batch.len(), next)
}

#[test]
fn line_of_a_pipe_is_returned_before_the_next_is_complete() {
    let (mut replay, mut write) = piped();
    let (stop, stats) = (Stop::new().unwrap(), Stats::default());
    write.write_all(LINE).unwrap();
    write.write_all(b"\n").unwrap();
    assert_eq!(next(&mut replay, &stop, &stats), (1, Next::More));
    write.write_all(&LINE[..20]).unwrap();
    let writer = thread::spawn(move || write.write_all(&LINE[20..]).unwrap());
    // The newline never comes.
    assert_eq!(next(&mut replay, &stop, &stats), (1, Next::More));
    assert_eq!(next(&mut replay, &stop, &stats), (0, Next::End));
    assert_eq!(next(&mut replay, &stop, &stats), (0, Next::End));
    writer.join().unwrap();
    assert_eq!(stats.seen.load(Relaxed), 2);
}

#[test]
fn stop_ends_a_wait_for_a_pipe() {
    let (mut replay, mut write) = piped();
    let (stop, stats) = (Stop::new().unwrap(), Stats::default());
    write
        .write_all(&[LINE, b"\n", LINE, b"\n", &LINE[..20]].concat())
        .unwrap();
    assert_eq!(next(&mut replay, &stop, &stats), (2, Next::More));
    let waiting = thread::spawn({
        let stop = stop.clone();
        move || next(&mut replay, &stop, &stats)
    });
    stop.set();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !waiting.is_finished() && Instant::now() < deadline {
        thread::yield_now();
    }
    assert!(
        waiting.is_finished(),
        "waits for a pipe to which nobody writes"
    );
    assert_eq!(waiting.join().unwrap(), (0, Next::End));
    drop(write);
}

#[test]
fn batches_are_bounded() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        file.path(),
        [LINE, b"\n"].concat().repeat(2 * MAX_BATCH + 1),
    )
    .unwrap();
    let mut replay = Replay::open(file.path()).unwrap();
    let (stop, stats) = (Stop::new().unwrap(), Stats::default());
    let (mut batches, mut total) = (Vec::new(), 0);
    while let (count, Next::More) = next(&mut replay, &stop, &stats) {
        batches.push(count);
        total += count;
    }
    assert_eq!(total, 2 * MAX_BATCH + 1);
    assert!(
        batches.iter().all(|&count| count <= MAX_BATCH) && batches.contains(&MAX_BATCH),
        "{batches:?}"
    );
}

#[test]
fn line_that_is_too_long_is_not_kept_in_memory() {
    let (mut replay, mut write) = piped();
    let (stop, stats) = (Stop::new().unwrap(), Stats::default());
    let writer = thread::spawn(move || {
        for _ in 0..64 {
            write.write_all(&[b' '; 1 << 16]).unwrap();
        }
        write.write_all(b"\n").unwrap();
        write.write_all(LINE).unwrap();
    });
    assert_eq!(next(&mut replay, &stop, &stats), (1, Next::More));
    writer.join().unwrap();
    assert!(replay.line.capacity() <= 2 * MAX_LINE_BYTES);
    assert_eq!(
        (stats.seen.load(Relaxed), stats.malformed.load(Relaxed)),
        (1, 1)
    );
}

#[test]
fn only_the_first_malformed_line_is_logged() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        file.path(),
        [LINE, b"\n{\"pid\":\"\x7f\"}\nnonsense\n"].concat(),
    )
    .unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::sync::Mutex::new(log.reopen().unwrap()))
        .with_ansi(false)
        .finish();
    let stats = Stats::default();
    tracing::subscriber::with_default(subscriber, || {
        let (mut replay, stop) = (Replay::open(file.path()).unwrap(), Stop::new().unwrap());
        while next(&mut replay, &stop, &stats).1 == Next::More {}
    });
    assert_eq!(
        (stats.seen.load(Relaxed), stats.malformed.load(Relaxed)),
        (1, 2)
    );
    let log = fs::read_to_string(log.path()).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(
        log.contains("line=2 ") && log.contains(r#"invalid type: string "\u{7f}", expected u32"#),
        "{log}"
    );
}

#[test]
fn open_fails_if_there_is_no_file_or_it_is_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let error = |path: &Path| Replay::open(path).unwrap_err().to_string();
    let missing = folder.path().join("events.jsonl");
    assert_eq!(
        error(&missing),
        format!(
            "open the recording {}: No such file or directory (os error 2)",
            missing.display()
        )
    );
    let directory = error(folder.path());
    assert!(directory.contains("is a directory"), "{directory}");
}
