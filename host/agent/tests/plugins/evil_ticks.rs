//! Evil guests whose tick fails, in the whole monitor: the monitor continues, each event is written, and one
//! message says what failed.

use std::{fs, path::Path, process::Command};

use crate::{
    guest::{module, of_text, text},
    monitor::{Lightmon, line},
};

const EVENTS: usize = 12;

/// `call` is the one that does `body`.
fn guest(call: &str, body: &str) -> Vec<u8> {
    let (tick, stop) = match call {
        "tick" => ("evil", "good"),
        _ => ("good", "evil"),
    };
    let text = text(&["keep", "evil_tick"])
        .replace("$TICK", &format!("${tick}"))
        .replace("$STOP", &format!("${stop}"))
        .replace("BODY", body);
    of_text(&text)
}

/// Runs a recording in which one tick is due. Returns output and log.
fn run(guest: &[u8], format: &str) -> (String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let (plugin, recording) = (
        folder.path().join("evil.wasm"),
        folder.path().join("a.jsonl"),
    );
    let lines: Vec<String> = (0..EVENTS)
        .map(|i| match i + 1 {
            EVENTS => line(80).replace("15:04:05Z", "15:04:06Z"),
            _ => line(80),
        })
        .collect();
    fs::write(&plugin, guest).expect("a file");
    fs::write(&recording, lines.join("\n")).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_lightmon"))
        .args(["--replay", "-", "-f", format, "--plugin"])
        .arg(&plugin)
        .env("TZ", "UTC")
        .env("LIGHTMON_CACHE_DIR", "none")
        .env("LIGHTMON_DEAD_LETTERS", "none")
        .stdin(fs::File::open(&recording).expect("a recording"))
        .output()
        .expect("the binary");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let (lines, messages) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{messages}");
    (lines, messages)
}

#[test]
fn a_failing_tick_is_logged_once_and_loses_no_event() {
    for (body, fault) in [
        ("(unreachable)", "trapped: "),
        (
            "(loop $again (br $again)) (unreachable)",
            "took longer than",
        ),
        (
            "(call $evil (local.get $now))",
            "recursed deeper than its stack",
        ),
        (
            "(drop (memory.grow (i32.const 30000))) (unreachable)",
            "bytes of memory, ",
        ),
        ("(i32.const -16)", "returned data that can't be read: "),
        (
            "(i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 100000000)) (i32.const 16)",
            "returned ",
        ),
    ] {
        for (call, on) in [
            ("tick", "plugin failed on its tick"),
            ("stop", "plugin failed when it was told to stop"),
        ] {
            let (lines, messages) = run(&guest(call, body), "json");
            let about: Vec<_> = messages
                .lines()
                .filter(|it| it.contains("plugin=evil"))
                .collect();
            assert_eq!(about.len(), 1, "{call} {body}: {messages}");
            assert!(
                about[0].contains(on) && about[0].contains(fault),
                "{call} {body}: {about:?}"
            );
            assert_eq!(lines.lines().count(), EVENTS, "{call} {body}: {lines}");
            let balance = format!("seen {EVENTS} = written {EVENTS} ");
            assert!(messages.contains(&balance), "{call} {body}: {messages}");
        }
    }
}

/// Its input is open, and no event comes any more.
#[test]
fn on_fault_halt_ends_lightmon_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = folder.path().join("evil.wasm");
    for (guest, events) in [(module(&["trap"]), 1), (guest("tick", "(unreachable)"), 2)] {
        fs::write(&plugin, guest).expect("a file");
        let spec = format!("{}:on_fault=halt", plugin.display());
        let mut lightmon = Lightmon::start(&[Path::new(&spec)], &[]);
        for second in 0..events {
            lightmon.send_line(&line(80).replace("04:05Z", &format!("04:0{second}Z")));
        }
        let (status, messages) = lightmon.wait();
        assert_eq!(status, Some(1), "{messages:?}");
        let last = messages.last().expect("a message");
        assert!(last.contains("evil") && last.contains("trapped"), "{last}");
    }
}

#[test]
fn reports_are_escaped() {
    for call in ["tick", "stop"] {
        for format in ["json", "log", "table"] {
            let (lines, _) = run(&guest(call, "(call $report)"), format);
            let reports = lines.lines().filter(|line| line.contains("[2Jx"));
            assert_eq!(reports.count(), 1, "{call} {format}: {lines}");
            let is_safe = |c: char| !c.is_control() || c == '\n';
            assert!(lines.chars().all(is_safe), "{call} {format}: {lines:?}");
        }
    }
}
