//! Ticks: when lightmon calls a plugin, what a report may have, and what happens if a tick fails.

use std::{fs, time::Duration};

use jiff::Timestamp;
use lightmon_event::Notice;
use lightmon_plugin_host::Limits;

use crate::{
    Host, Run, events,
    guest::{of_text, text},
    logged,
    monitor::line,
    patient,
};

fn guest(parts: &[&str], period: u32) -> Vec<u8> {
    of_text(&text(parts).replace("PERIOD", &period.to_string()))
}

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_000_000 + milliseconds).expect("a time")
}

/// What comes of asking at that time, and whether lightmon would have ended.
fn tick(run: &mut Run, milliseconds: i64) -> (Vec<Notice>, bool) {
    tick_by_clock(run, milliseconds, at(milliseconds))
}

/// The same while the clock shows another time.
fn tick_by_clock(run: &mut Run, milliseconds: i64, clock: Timestamp) -> (Vec<Notice>, bool) {
    let mut reports = Vec::new();
    let times = (clock, after(milliseconds));
    let result = run.chain.tick(times, &run.stats, &mut reports);
    (reports, result.is_err())
}

fn after(milliseconds: i64) -> Duration {
    Duration::from_millis(milliseconds.try_into().expect("not before the start"))
}

fn one(name: &str, events: &str, milliseconds: i64) -> Notice {
    Notice::Report {
        time: at(milliseconds),
        plugin: "p".to_owned(),
        report: name.to_owned(),
        fields: vec![("events".to_owned(), events.to_owned())],
    }
}

fn patient_with_ticks() -> Limits {
    Limits {
        tick: Duration::from_secs(20),
        stop: Duration::from_secs(20),
        ..patient()
    }
}

#[test]
fn tick_is_called_each_period_and_at_the_end() {
    let mut run = Host::new(patient_with_ticks())
        .with("keep.wasm", guest(&["keep"], 0), "")
        .with("p.wasm", guest(&["tick", "stop"], 250), "")
        .run();
    assert_eq!(run.chain.next_tick(), None);
    assert_eq!(tick(&mut run, 0), (vec![], false));
    assert_eq!(run.chain.next_tick(), Some(after(250)));
    run.pass(events(&[1, 2]));
    assert_eq!(tick(&mut run, 249).0, []);
    assert_eq!(tick(&mut run, 260).0, [one("seen", "2", 260)]);
    assert_eq!(run.chain.next_tick(), Some(after(510)));
    assert_eq!(
        tick(&mut run, 5000).0,
        [one("seen", "0", 5000)],
        "not once for each period"
    );
    // Setting the clock back does not stop ticks.
    let early = tick_by_clock(&mut run, 5250, at(0)).0;
    assert_eq!(early, [one("seen", "0", 0)]);
    run.pass(events(&[1]));
    assert_eq!(run.chain.stop(at(360), &run.stats), [one("last", "1", 360)]);
}

#[test]
fn period_zero_disables_tick_and_too_short_periods_are_refused() {
    let mut run = Host::new(patient())
        .with("p.wasm", guest(&["tick"], 0), "")
        .run();
    assert_eq!(tick(&mut run, 0).0, []);
    assert_eq!(run.chain.next_tick(), None);
    assert_eq!(
        Host::new(patient())
            .with("p.wasm", guest(&["tick"], 99), "")
            .error(),
        "plugin p.wasm: asks for a tick every 99 ms: the minimum is 100 ms, and 0 means no ticks"
    );
}

#[test]
fn a_tick_that_fails_is_a_fault() {
    let mut run = Host::new(patient_with_ticks())
        .with("p.wasm", guest(&["tick"], 100), ":on_fault=halt")
        .run();
    tick(&mut run, 0);
    run.pass(events(&[1; 8]));
    let log = logged(|| assert_eq!(tick(&mut run, 100), (vec![], true)));
    assert_eq!(
        log,
        [
            "WARN plugin failed on its tick; it is restarted (logged once for each kind of fault) plugin=p fault=trapped: wasm `unreachable` instruction executed"
        ]
    );
    assert_eq!(run.counts(0), [0, 1, 0]);
    // A new instance goes on.
    run.pass(events(&[1]));
    assert_eq!(tick(&mut run, 200), (vec![one("seen", "1", 200)], false));
}

#[test]
fn endless_stop_is_stopped() {
    let mut run = Host::new(patient())
        .with("p.wasm", guest(&["keep", "stop_loop"], 0), "")
        .run();
    let log = logged(|| assert_eq!(run.chain.stop(at(0), &run.stats), []));
    assert_eq!(
        log,
        ["WARN plugin failed when it was told to stop plugin=p fault=took longer than 100ms"]
    );
}

#[test]
fn reports_are_bounded() {
    for (name, left) in [(64, 64), (65, 0), (0, 0)] {
        let bytes = of_text(&text(&["keep", "reports"]).replace("NAME", &name.to_string()));
        let mut run = Host::new(patient_with_ticks())
            .with("p.wasm", bytes, "")
            .run();
        tick(&mut run, 0);
        let reports = tick(&mut run, 100).0;
        assert_eq!(reports.len(), left, "{name}");
        assert_eq!(run.counts(0), [0, 0, 65 - left as u64]);
        for report in reports {
            let Notice::Report { fields, .. } = report else {
                panic!("{report:?}")
            };
            let text = format!("x{}", "é".repeat(511));
            assert_eq!(fields, [("x".to_owned(), text)]);
        }
    }
}

/// The events' own time, and not the clock, tells when to ask: a replay gives the same lines each time, and a replay of these
/// lines without plugins gives them again.
#[test]
fn reports_are_written_between_the_events_of_a_replay() {
    let folder = tempfile::tempdir().expect("a folder");
    let (plugin, recording) = (folder.path().join("p.wasm"), folder.path().join("a.jsonl"));
    fs::write(&plugin, guest(&["tick", "stop"], 500)).expect("a file");
    let lines: Vec<String> = ["05", "05.4", "05.9", "06", "10"]
        .iter()
        .map(|second| line(80).replace("15:04:05Z", &format!("15:04:{second}Z")))
        .collect();
    fs::write(&recording, lines.join("\n")).expect("a file");
    let replay = |file: &std::path::Path, args: &[&str], plugin: Option<&std::path::Path>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_lightmon"));
        command
            .args(["--replay", "-"])
            .env("LIGHTMON_CACHE_DIR", "none")
            .env("LIGHTMON_DEAD_LETTERS", "none");
        let input = fs::File::open(file).expect("a recording");
        command.env("TZ", "UTC").args(args).stdin(input);
        command.args(plugin.map(|plugin| {
            format!(
                "--plugin={}:limits.tick=20s,limits.stop=20s",
                plugin.display()
            )
        }));
        let output = command.output().expect("the binary");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let text = replay(&recording, &["-f", "json"], Some(&plugin));
    let what: Vec<String> = text
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let time = line["time"].as_str().expect("a time");
            let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
            format!(
                "{} {} {}",
                &time[17..21],
                text(&line["report"]),
                text(&line["fields"]["events"])
            )
        })
        .collect();
    assert_eq!(
        what,
        [
            "05.0 - -",
            "05.4 - -",
            "05.9 seen 2",
            "05.9 - -",
            "06.0 - -",
            "10.0 seen 2",
            "10.0 - -",
            "10.0 last 1"
        ]
    );
    let report = r#"{"v":1,"time":"2026-11-23T15:04:10.000000000+00:00","notice":"report","plugin":"p","report":"last","fields":{"events":"1"}}"#;
    assert_eq!(text.lines().last(), Some(report));
    assert_eq!(text, replay(&recording, &["-f", "json"], Some(&plugin)));
    let again = folder.path().join("again.jsonl");
    fs::write(&again, &text).expect("a file");
    assert_eq!(text, replay(&again, &["-f", "json"], None));

    // Last words come also when enough was written, and in the other formats.
    let text = replay(&recording, &["--count", "2", "-f", "log"], Some(&plugin));
    let last = text.lines().last().expect("a line");
    assert!(
        last.contains(r#""level":"info","msg":"p: last events=2""#),
        "{last}"
    );
    assert!(
        last.ends_with(
            r#""notice":"report","plugin":"p","report":"last","fields":{"events":"2"}}"#
        ),
        "{last}"
    );
    let text = replay(&recording, &["-f", "table"], Some(&plugin));
    assert!(text.contains("p: last events=1"), "{text}");
}
