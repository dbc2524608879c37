//! Readers that stall, leave or have no room: lightmon says so, counts to the last line, ends in time, and goes on
//! capturing meanwhile.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader, PipeReader, PipeWriter, Read as _, Write as _, pipe},
    net::{Ipv4Addr, UdpSocket},
    os::fd::AsFd as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::lightmon::{DEADLINE, Ended, Lightmon, command};

/// A recording that is more than anybody holds in memory.
fn recording(lines: usize) -> tempfile::NamedTempFile {
    let events = fs::read_to_string("tests/fixtures/events.jsonl").unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let all: String = events.split_inclusive('\n').cycle().take(lines).collect();
    file.write_all(all.as_bytes()).unwrap();
    file
}

fn replay(recording: &Path) -> Command {
    command(&["-f", "json", "--replay", recording.to_str().unwrap()])
}

/// Waits until the pipe is full. Does not read.
fn wait_until_full(writer: &PipeWriter) {
    let mut fds = [PollFd::new(writer.as_fd(), PollFlags::POLLOUT)];
    let deadline = Instant::now() + DEADLINE;
    while poll(&mut fds, PollTimeout::ZERO) != Ok(0) {
        assert!(Instant::now() < deadline, "the pipe does not fill");
        thread::yield_now();
    }
}

/// The result of a run. `lines` are those that were not read before.
fn end(mut child: Child, rest: Option<PipeReader>) -> Ended {
    let deadline = Instant::now() + DEADLINE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("lightmon does not end");
        }
        thread::yield_now();
    }
    let mut text = Vec::new();
    if let Some(mut rest) = rest {
        rest.read_to_end(&mut text).unwrap();
    }
    let whole = text
        .split_inclusive(|&byte| byte == b'\n')
        .filter(|line| line.ends_with(b"\n"));
    let lines = whole
        .map(|line| String::from_utf8(line.to_owned()).unwrap())
        .collect();
    let output = child.wait_with_output().unwrap();
    let messages = String::from_utf8(output.stderr).unwrap();
    Ended {
        status: output.status,
        lines,
        messages: messages.lines().map(str::to_owned).collect(),
    }
}

fn terminate(child: &Child) {
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
}

/// Events, and connections that lines say were lost there.
fn tally<'a>(lines: impl IntoIterator<Item = &'a str>, place: &str) -> (u64, u64) {
    let (mut events, mut lost) = (0, 0);
    for line in lines {
        let line: Value = serde_json::from_str(line).unwrap();
        match line["notice"].as_str() {
            None => events += 1,
            Some("lost") if line["where"] == place => {
                lost += line["connections"].as_u64().unwrap();
            }
            Some(_) => {}
        }
    }
    (events, lost)
}

#[test]
fn a_closed_stdout_is_reported_and_the_rest_counted() {
    let recording = recording(50_000);
    let mut child = replay(recording.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    // As `head -1` does.
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.starts_with("{\"v\":1,"), "{line}");
    let ended = end(child, None);
    assert_eq!(ended.status.code(), Some(1), "{:#?}", ended.messages);
    let last = ended.messages.last().unwrap();
    assert!(last.contains("the reader of standard output has gone"));
    assert!(!ended.messages.iter().any(|line| line.contains("panicked")));
    let balance = ended.balance();
    assert!(balance.lost > 0 && balance.written > 0);
}

#[test]
fn a_stalled_reader_does_not_delay_the_end() {
    let recording = recording(50_000);
    let (reader, writer) = pipe().unwrap();
    let child = replay(recording.path())
        .stdout(writer.try_clone().unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until_full(&writer);
    drop(writer);
    terminate(&child);
    let ended = end(child, Some(reader));
    assert_eq!(ended.status.code(), Some(1), "{:#?}", ended.messages);
    let balance = ended.balance();
    assert!(balance.lost > 0 && balance.written > 0);
    assert_eq!(ended.lines.len() as u64, balance.written);
    let last = ended.messages.last().unwrap();
    assert!(last.contains("was too slow"), "{last}");
}

#[test]
fn nobody_reading_stderr_does_not_block_lightmon() {
    let recording = recording(50_000);
    let (reader, writer) = pipe().unwrap();
    let child = replay(recording.path())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer.try_clone().unwrap())
        .spawn()
        .unwrap();
    wait_until_full(&writer);
    drop(writer);
    terminate(&child);
    assert_eq!(end(child, Some(reader)).status.code(), Some(1));
}

#[test]
fn notices_of_a_recording_are_passed_on_in_their_place() {
    let event = fs::read_to_string("tests/fixtures/events.jsonl").unwrap();
    let event = event.lines().next().unwrap();
    let text = format!(
        "{event}\n{}\n{event}\n{}\n{event}\n{}\n",
        r#"{"v":1,"time":"2026-11-23T23:04:06.500000000+08:00","notice":"lost","since":"2026-11-23T23:04:05.000000000+08:00","until":"2026-11-23T23:04:06.500000000+08:00","where":"kernel","connections":12,"processes":3}"#,
        r#"{"v":1,"time":"2026-11-23T23:05:00.000000000+08:00","notice":"blind","reason":"no \u001b answer"}"#,
        r#"{"v":1,"time":"2026-11-23T23:06:00.000000000+08:00","notice":"sighted"}"#,
    );
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let output = replay(file.path())
        .env("TZ", "Asia/Shanghai")
        .args(["--exclude", "dport=1"])
        .output()
        .unwrap();
    let messages = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{messages}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
    assert_eq!(
        messages,
        "lightmon: seen 3 = written 3 + excluded 0 (kernel 0, host 0) + dropped 0 + lost 0 (kernel 0, output 0)\n"
    );
}

#[test]
#[ignore = "needs root: make test runs it"]
fn a_full_disk_is_reported_and_the_losses_when_it_has_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let lightmon = env!("CARGO_BIN_EXE_lightmon");
    let script = format!(
        "mount -t tmpfs -o size=1m none {folder} && exec {lightmon} -f json --log-path {folder} --replay -"
    );
    let mut child = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut messages = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut heard = Vec::new();
    let mut hear = |text: &str, heard: &mut Vec<String>| {
        while heard.last().is_none_or(|last| !last.contains(text)) {
            heard.push(messages.next().expect(text).unwrap());
        }
    };
    let events = fs::read(recording(3000)).unwrap();
    stdin.write_all(&events).unwrap();
    hear("No space left on device", &mut heard);

    // The files are in a mount namespace of the test.
    let inside = format!("/proc/{}/root{folder}", child.id());
    let log = fs::read_dir(&inside).unwrap().next().unwrap().unwrap();
    let mut reader = File::open(log.path()).unwrap();
    OpenOptions::new()
        .write(true)
        .open(log.path())
        .unwrap()
        .set_len(0)
        .unwrap();
    // All that is still on its way finds room from now on, or is lost before.
    let event = &events[..=events.iter().position(|&byte| byte == b'\n').unwrap()];
    stdin.write_all(event).unwrap();
    hear("takes events again", &mut heard);
    drop(stdin);
    hear("lightmon: write to", &mut heard);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let ended = Ended {
        status: child.wait().unwrap(),
        lines: Vec::new(),
        messages: heard,
    };
    assert_eq!(ended.status.code(), Some(1));
    let balance = ended.balance();
    assert_eq!(balance.seen, 3001);
    assert!(balance.lost > 0 && balance.written > 0);
    let (events, lost) = tally(text.lines().filter(|line| !line.is_empty()), "output");
    assert_eq!(lost, balance.lost, "{:#?}", ended.messages);
    assert!(events > 0 && events <= balance.written);
    let said = |text| ended.messages.iter().filter(|it| it.contains(text)).count();
    assert_eq!(
        said("until writing works again"),
        1,
        "{:#?}",
        ended.messages
    );
}

#[test]
#[ignore = "needs root: make test runs it"]
fn a_stalled_reader_loses_only_what_it_does_not_read() {
    // More than would fit into the kernel's buffer.
    const LOST: u64 = 2500;
    let mut child = command(&["-f", "json", "--buffer-size", "256K"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (sender, messages) = mpsc::channel();
    let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    let listener = thread::spawn(move || {
        for line in stderr {
            sender.send(line.unwrap()).unwrap();
        }
    });
    let mut heard = Vec::new();
    while heard.iter().all(|it: &String| !it.contains("watching")) {
        heard.push(messages.recv_timeout(DEADLINE).expect("it starts"));
    }

    let peer = UdpSocket::bind((Ipv4Addr::new(127, 0, 16, 1), 0)).unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = peer.local_addr().unwrap();
    let connect = || socket.connect(address).unwrap();
    // Nobody reads stdout, but lightmon still reads and counts the kernel's events.
    let said = |message: &String| -> Option<u64> {
        let (_, rest) = message.split_once("lost ")?;
        let (n, _) = rest.split_once(" connections: the output took no more")?;
        n.parse().ok()
    };
    let deadline = Instant::now() + DEADLINE;
    while heard.iter().filter_map(said).sum::<u64>() < LOST {
        assert!(Instant::now() < deadline, "{heard:#?}");
        (0..100).for_each(|_| connect());
        // No faster than a debug build, and those of the tests beside this one, can follow.
        thread::sleep(Duration::from_millis(5));
        heard.extend(messages.try_iter());
    }
    assert!(heard.iter().any(|it| it.contains("the output is full")));

    // It reads again: and what comes now is all there.
    let reader = thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        text
    });
    let deadline = Instant::now() + DEADLINE;
    while heard.iter().all(|it| !it.contains("takes events again")) {
        assert!(Instant::now() < deadline, "{heard:#?}");
        connect();
        heard.extend(messages.try_iter());
    }
    terminate(&child);
    let text = reader.join().unwrap();
    let status = child.wait().unwrap();
    listener.join().unwrap();
    heard.extend(messages.try_iter());
    let ended = Ended {
        status,
        lines: Vec::new(),
        messages: heard,
    };
    assert_eq!(ended.status.code(), Some(1), "{:#?}", ended.messages);
    let balance = ended.balance();
    assert!(balance.written > 0);
    let lost_output = balance.lost - balance.lost_kernel;
    assert_eq!(
        tally(text.lines(), "output"),
        (balance.written, lost_output),
        "{:#?}",
        ended.messages
    );
}

#[test]
#[ignore = "needs root: make test runs it"]
fn the_kernel_gets_the_given_buffer_size() {
    let lightmon = Lightmon::start(&["--buffer-size", "128K"]);
    // proc(5): what a descriptor of a map says of it; 27 is BPF_MAP_TYPE_RINGBUF.
    let sizes: Vec<_> = fs::read_dir(format!("/proc/{}/fdinfo", lightmon.id()))
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok())
        .filter(|info| info.contains("map_type:\t27\n"))
        .map(|info| info.contains("max_entries:\t131072\n"))
        .collect();
    assert_eq!(sizes, [true]);
    lightmon.stop(Signal::SIGTERM).balance();
}
