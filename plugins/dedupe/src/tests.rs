//! Checks event by event what the plugin keeps and drops.

use lightmon_plugin::{
    Outcome, Protocol,
    test::{Harness, Sample, event, manifest},
};

use super::*;

const START: u64 = 1_795_446_245;

/// An event that many seconds after the start of the test.
fn at(seconds: u64) -> Sample {
    event().time(Duration::from_secs(START + seconds))
}

fn refused(seconds: u64) -> Sample {
    at(seconds).outcome(Outcome::REFUSED, 111)
}

fn pending(seconds: u64) -> Sample {
    at(seconds)
        .outcome(Outcome::PENDING, 0)
        .latency(Some(Duration::from_secs(1)))
}

fn timed_out(seconds: u64) -> Sample {
    at(seconds)
        .outcome(Outcome::TIMED_OUT, 110)
        .latency(Some(Duration::from_secs(20)))
}

/// Checks for each event whether it is kept, and with which count.
fn check(settings: &str, events: Vec<(Sample, Option<u64>)>) {
    let mut plugin = Harness::<Dedupe>::new(settings).unwrap();
    for (i, (event, expect)) in events.into_iter().enumerate() {
        let expect = match expect {
            None => Verdict::drop(),
            Some(0) => Verdict::keep(),
            Some(n) => Verdict::keep().tag("repeated", n.to_string()),
        };
        assert_eq!(plugin.event(event), expect, "{settings}: event {i}");
    }
}

#[test]
fn one_event_in_each_window_is_kept() {
    check(
        "{}",
        vec![
            (at(0), Some(0)),
            (at(1), None),
            (at(59), None),
            (at(60), Some(2)),
            (at(61), None),
            (at(119), None),
            (at(500), Some(2)),
            (at(1000), Some(0)),
        ],
    );
    check(
        r#"{"window":"10"}"#,
        vec![(at(0), Some(0)), (at(9), None), (at(10), Some(1))],
    );
}

#[test]
fn a_different_outcome_is_always_kept() {
    check(
        "{}",
        vec![
            (at(0), Some(0)),
            (at(1), None),
            (refused(2), Some(1)),
            (refused(3), None),
            (at(4), Some(1)),
            (refused(5), Some(0)),
            (at(6), Some(0)),
            (at(7), None),
            // Another errno is another outcome.
            (at(8).outcome(Outcome::FAILED, 22), Some(1)),
            (at(9).outcome(Outcome::FAILED, 71), Some(0)),
            (at(10).outcome(Outcome::FAILED, 71), None),
            // An outcome that this version does not know counts too.
            (at(11).outcome(Outcome(200), 0), Some(1)),
        ],
    );
}

#[test]
fn pending_and_its_outcome_are_kept() {
    check(
        "{}",
        vec![
            (pending(0), Some(0)),
            (timed_out(0), Some(0)),
            // Repeated within a window: dropped.
            (pending(10), None),
            (timed_out(10), None),
            (pending(60), Some(2)),
            (timed_out(60), Some(0)),
        ],
    );
    // The `pending` event was kept, so the outcome is kept, although it repeats the outcome of connections in between.
    check(
        "{}",
        vec![
            (at(0), Some(0)),
            (pending(1), Some(0)),
            (at(2), None),
            (at(1).latency(Some(Duration::from_secs(3))), Some(1)),
            (at(5), None),
        ],
    );
    // The times of the two events differ by some nanoseconds.
    let later = Duration::from_secs(START + 1) + Duration::from_micros(50);
    check(
        "{}",
        vec![
            (timed_out(0), Some(0)),
            (pending(1), Some(0)),
            (timed_out(1).time(later), Some(0)),
        ],
    );
    // The `pending` event was forgotten.
    check(
        r#"{"max_keys":1}"#,
        vec![
            (pending(0), Some(0)),
            (pending(1).destination("192.0.2.1:1"), Some(0)),
            (at(2), Some(0)),
            (at(3), None),
            (at(0).latency(Some(Duration::from_secs(4))), Some(1)),
        ],
    );
    // The `pending` event was dropped, but the outcome is a different one.
    check(
        "{}",
        vec![
            (pending(0), Some(0)),
            (timed_out(0), Some(0)),
            (pending(1), None),
            (refused(1), Some(1)),
        ],
    );
}

#[test]
fn different_keys_are_independent() {
    check(
        "{}",
        vec![
            (at(0), Some(0)),
            (at(1).destination("192.0.2.1:443"), Some(0)),
            (at(1).destination("192.0.2.1:80"), Some(0)),
            (at(1).destination("[2001:db8::1]:443"), Some(0)),
            (at(1).protocol(Protocol::UDP), Some(0)),
            (at(1).path("/tmp/curl"), Some(0)),
            (at(1).user(1000, "joe"), Some(0)),
            (at(1).container("3f4e", "web", "nginx"), Some(0)),
            (at(1).container("5a6b", "web", "nginx"), Some(0)),
            (at(1).no_process(), Some(0)),
            (at(1).short_lived(), Some(0)),
            // A process whose name is the path of another program.
            (at(1).short_lived().comm("/usr/bin/curl"), Some(0)),
            // Fields that are not part of the key do not matter.
            (at(2).pid(99).args(["x"]).source("192.0.2.9:1"), None),
        ],
    );
}

#[test]
fn the_key_can_be_chosen() {
    check(
        r#"{"key":"path"}"#,
        vec![
            (at(0), Some(0)),
            (at(1).destination("192.0.2.1:80").user(7, "x"), None),
            (at(2).path("/bin/nc"), Some(0)),
        ],
    );
    check(
        r#"{"key":["comm","args","pid","image"]}"#,
        vec![
            (at(0).args(["a", "b"]), Some(0)),
            (at(0).args(["ab"]), Some(0)),
            (at(0).args(["a", "b"]).pid(7), Some(0)),
            (at(0).args(["a", "b"]).comm("nc"), Some(0)),
            (at(0).args(["a", "b"]).container("x", "x", "nginx"), Some(0)),
            (at(0).args(["a", "b"]).path("/x"), None),
        ],
    );
    let needs = |settings| Harness::<Dedupe>::new(settings).unwrap().plugin.needs();
    assert_eq!(needs("{}"), Fields::PROCESS | Fields::CONTAINER);
    assert_eq!(needs(r#"{"key":"destination+port+user"}"#), Fields::empty());
    assert_eq!(needs(r#"{"key":"args"}"#), Fields::ARGS);
}

/// After the clock was set back, an event is kept, and later ones are counted as before.
#[test]
fn time_may_run_backwards() {
    check(
        "{}",
        vec![
            (at(10_000), Some(0)),
            (at(9_999), None),
            (at(5_000), Some(1)),
            (at(5_001), None),
            (at(10_001), Some(1)),
        ],
    );
}

/// Checks the guarantee with random events of few keys: if an event is dropped, the last kept event of its key is within the
/// window and has the same outcome; and all counts add up.
#[test]
fn a_dropped_event_repeats_a_kept_one() {
    let mut plugin = Harness::<Dedupe>::new(r#"{"key":"port","window":5}"#).unwrap();
    let mut random = 1u64;
    let mut next = |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let outcomes = [Outcome::ESTABLISHED, Outcome::REFUSED, Outcome::DENIED];
    let mut last = [None; 3];
    let (mut dropped, mut counted, mut owed) = (0, 0, [0u64; 3]);
    for n in 0..20_000 {
        let (port, outcome) = (next(3) as usize, outcomes[(next(20) / 9) as usize]);
        let time = n / 4;
        let sample = at(time)
            .outcome(outcome, 0)
            .destination(&format!("192.0.2.1:{port}"));
        let verdict = plugin.event(sample);
        let is_repeated = last[port].is_some_and(|(end, since)| end == outcome && time - since < 5);
        assert_eq!(verdict.is_drop(), is_repeated, "event {n}");
        if is_repeated {
            dropped += 1;
            owed[port] += 1;
        } else {
            last[port] = Some((outcome, time));
            counted += verdict
                .get_tag("repeated")
                .map_or(0, |it| it.parse::<u64>().unwrap());
            owed[port] = 0;
        }
    }
    assert!(dropped > 1_000);
    assert_eq!(dropped, counted + owed.iter().sum::<u64>());
}

#[test]
fn settings_are_checked() {
    for (settings, error) in [
        (
            r#"{"window":0}"#,
            "setting `window`: expected at least 1 second",
        ),
        (
            r#"{"max_keys":0}"#,
            "setting `max_keys`: expected 1 to 100000",
        ),
        (
            r#"{"max_keys":"100001"}"#,
            "setting `max_keys`: expected 1 to 100000",
        ),
        (
            r#"{"key":""}"#,
            "setting `key`: empty, so that all connections would be equal",
        ),
        (
            r#"{"key":"outcome"}"#,
            "setting `key`: unknown variant `outcome`, expected one of `path`, `comm`, `args`, `pid`, `user`, `container`, \
             `image`, `destination`, `port`, `protocol`",
        ),
        (
            r#"{"keys":"path"}"#,
            "unknown field `keys`, expected one of `key`, `window`, `max_keys`, `report`",
        ),
    ] {
        let result = Harness::<Dedupe>::new(settings);
        assert_eq!(result.err().as_deref(), Some(error), "{settings}");
    }
    assert_eq!(
        manifest::<Dedupe>()["config"]["properties"]["window"]["default"],
        60
    );
}

/// A report of a key.
fn of_key(key: &str, count: u64) -> Report {
    Report::new("suppressed")
        .field("count", count)
        .field("key", key)
}

#[test]
fn reports_count_the_dropped_events() {
    let mut plugin = Harness::<Dedupe>::new(r#"{"report":300}"#).unwrap();
    assert_eq!(plugin.plugin.tick_period(), Some(Duration::from_secs(300)));
    let to_db = |seconds| {
        at(seconds)
            .destination("[2001:db8::5]:5432")
            .container("3f4e", "web", "nginx")
    };
    plugin.batch([at(0), at(1), to_db(1), to_db(2), to_db(3), refused(4)]);
    assert_eq!(plugin.counters()["suppressed"], 3);
    let reports = plugin.tick(Duration::ZERO);
    assert_eq!(
        reports,
        [
            Report::new("suppressed").field("total", 3),
            of_key(
                "path=/usr/bin/curl uid=0 container=web destination=2001:db8::5 port=5432 protocol=tcp",
                2
            ),
            of_key(
                "path=/usr/bin/curl uid=0 destination=93.184.215.14 port=443 protocol=tcp",
                1
            ),
        ]
    );
    // Each dropped event is reported once. Reports do not change what is kept.
    assert_eq!(plugin.tick(Duration::ZERO), []);
    assert_eq!(plugin.event(at(5)), Verdict::keep());
    assert_eq!(plugin.event(at(6)), Verdict::drop());
    let end = plugin.stop(Duration::ZERO);
    assert_eq!(end[0].get("total"), Some("1"));
    assert_eq!(plugin.stop(Duration::ZERO), []);
}

#[test]
fn the_only_report_is_at_the_end_by_default() {
    let mut plugin = Harness::<Dedupe>::new("{}").unwrap();
    assert_eq!(plugin.plugin.tick_period(), None);
    plugin.batch([at(0), at(1)]);
    assert_eq!(plugin.stop(Duration::ZERO)[0].get("total"), Some("1"));
}

#[test]
fn a_report_names_the_top_keys_and_counts_all() {
    let settings = r#"{"key":"port","max_keys":30}"#;
    let mut plugin = Harness::<Dedupe>::new(settings).unwrap();
    let to = |port: u32| at(0).destination(&format!("192.0.2.1:{port}"));
    for port in 1..=40 {
        for _ in 0..=port {
            let _ = plugin.event(to(port));
        }
    }
    let reports = plugin.stop(Duration::ZERO);
    assert_eq!(reports.len(), 1 + MAX_REPORTED_KEYS);
    // The total includes the events of forgotten keys.
    let total = Report::new("suppressed").field("total", 820);
    assert_eq!(reports[0], total.field("others", 210));
    assert_eq!(reports[1], of_key("port=40", 40));
    assert_eq!(reports[20], of_key("port=21", 21));
}

/// Later plugins, such as redact, do not see reports.
#[test]
fn arguments_are_not_reported() {
    let mut plugin = Harness::<Dedupe>::new(r#"{"key":"args+comm"}"#).unwrap();
    let run = |password: &str| at(0).args(["psql", &format!("password={password}")]);
    plugin.batch([run("one"), run("one"), run("two"), run("two")]);
    let reports = plugin.stop(Duration::ZERO);
    assert_eq!(reports[1..], [of_key("args=2 comm=curl", 2)]);
}

#[test]
fn long_descriptions_are_truncated() {
    let mut plugin = Harness::<Dedupe>::new("{}").unwrap();
    let path = format!("/{}", "é".repeat(300));
    plugin.batch([at(0).path(&path), at(1).path(&path)]);
    let reports = plugin.stop(Duration::ZERO);
    assert_eq!(reports[1].get("key").map(str::len), Some(120));
}
