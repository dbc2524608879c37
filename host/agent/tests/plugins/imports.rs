//! What plugins may call does what the contract says, and ends where it says.

use crate::{
    Host, Run, event, events,
    guest::{component, module, with_manifest},
    logged,
    monitor::Lightmon,
    patient,
};

fn tag<'a>(event: &'a lightmon_event::Event, key: &str) -> Option<&'a str> {
    let mut tags = event.tags.iter();
    tags.find(|tag| tag.0 == key).map(|tag| &*tag.1)
}

/// What comes of an event to that port: its tag `kv`.
fn kv(run: &mut Run, port: u16) -> Option<String> {
    tag(&run.pass(vec![event(port)])[0], "kv").map(str::to_owned)
}

#[test]
fn messages_are_marked_escaped_and_cut() {
    let mut run = Host::new(patient())
        .with("p.wasm", module(&["import_log", "log"]), "")
        .run();
    let log = logged(|| {
        for port in 0..=5 {
            run.pass(vec![event(port)]);
        }
    });
    let text = r"hello\n\u{1b}[31m plugin=p";
    let expected = ["ERROR", "ERROR", "WARN", "INFO"].map(|level| format!("{level} {text}"));
    assert_eq!(log[..4], expected, "debugging is off");
    assert_eq!(log[4], format!("INFO {}… plugin=p", "x".repeat(2048)));
    assert_eq!(log.len(), 5);
}

#[test]
fn excess_messages_are_suppressed_and_counted() {
    let log = logged(|| {
        let mut run = Host::new(patient())
            .with("p.wasm", component(&["import_log", "log"]), "")
            .run();
        run.pass(vec![event(10_000)]);
    });
    let mut left_out = 0;
    for line in &log {
        match line
            .strip_prefix("WARN ")
            .and_then(|line| line.split_once(" messages left out: "))
        {
            Some((n, rest)) => {
                left_out += n.parse::<usize>().expect("a number");
                assert_eq!(rest, "a plugin can log 20 a second plugin=p");
            }
            None => assert_eq!(line, "INFO hello plugin=p"),
        }
    }
    let told = log.iter().filter(|line| line.starts_with("INFO")).count();
    assert_eq!(told + left_out, 10_000);
    // A second's worth, or some more on a busy machine.
    assert!((20..1000).contains(&told), "{log:?}");
}

#[test]
fn counters_are_shown_and_bounded() {
    let mut run = Host::new(patient())
        .with("p.wasm", module(&["import_counter", "counter"]), "")
        .run();
    run.pass(events(&[2]));
    run.pass(events(&[1]));
    let summary = run.stats.plugins[0].to_string();
    assert!(summary.ends_with(", n00 14, n01 7"), "{summary}");
    assert_eq!(run.counts(0)[2], 2, "the names that are too long");

    run.pass(events(&[65]));
    let counters = run.stats.plugins[0].counters();
    assert_eq!(
        (counters.len(), counters["n00"], counters["n63"]),
        (64, 21, 7)
    );
    assert_eq!(run.counts(0)[2], 4, "and one too many");
}

#[test]
fn kv_survives_a_fault() {
    let bytes = module(&["import_kv", "kv"]);
    let mut run = Host::new(patient())
        .with("p.wasm", &bytes, "")
        .with("q.wasm", &bytes, "")
        .run();
    assert_eq!(kv(&mut run, 1), None);
    kv(&mut run, 2);
    assert_eq!(kv(&mut run, 1).as_deref(), Some("one"));
    kv(&mut run, 6);
    assert_eq!(run.counts(0)[1], 1);
    assert_eq!(kv(&mut run, 1).as_deref(), Some("one"));
    kv(&mut run, 3);
    assert_eq!(kv(&mut run, 1), None);
}

/// The new file's instance finds what the old one's has kept.
#[test]
fn kv_survives_a_reload() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("p.wasm");
    let bytes = module(&["import_kv", "kv"]);
    std::fs::write(&path, &bytes).expect("a file");
    let mut lightmon = Lightmon::start(&[&path], &[]);
    lightmon.pass(2);
    let new = folder.path().join("new");
    std::fs::write(&new, with_manifest(bytes, "{}")).expect("a file");
    std::fs::rename(&new, &path).expect("a file");
    lightmon.hang_up();
    lightmon.hear("plugin replaced by its file of");
    assert_eq!(lightmon.pass(1)["tags"]["kv"], "one");
    assert_eq!(lightmon.end().0, Some(0));
}

#[test]
fn plugins_do_not_share_kv() {
    let bytes = module(&["import_kv", "kv"]);
    // The second is asked about port 1 only.
    let mut run = Host::new(patient())
        .with("keeps.wasm", &bytes, "")
        .with("q.wasm", module(&["import_kv", "kv"]), ":when=dport=1")
        .run();
    kv(&mut run, 2);
    let out = run.pass(vec![event(1)]);
    assert_eq!(tag(&out[0], "kv"), Some("one"));
    assert_eq!(
        run.stats.plugins[1]
            .tagged
            .load(std::sync::atomic::Ordering::Relaxed),
        0
    );
}

#[test]
fn kv_has_a_size_limit() {
    let mut run = Host::new(patient())
        .with("p.wasm", module(&["import_kv", "kv"]), "")
        .run();
    assert_eq!(kv(&mut run, 4).as_deref(), Some("1"));
    assert_eq!(kv(&mut run, 4).as_deref(), Some("1"), "in its own place");
    kv(&mut run, 5);
    let limits = lightmon_plugin_host::Limits {
        kv: 1_000_064,
        ..patient()
    };
    let mut run = Host::new(limits)
        .with("p.wasm", module(&["import_kv", "kv"]), "")
        .run();
    assert_eq!(
        kv(&mut run, 4).as_deref(),
        Some("0"),
        "a byte for the key is missing"
    );
}
