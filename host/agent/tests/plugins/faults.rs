//! Plugins that fail: the monitor continues, the events are written, each fault is counted and logged once.

use std::time::{Duration, Instant};

use lightmon_event::Event;
use lightmon_plugin_host::Limits;

use crate::{Host, events, guest::module, logged, patient, ports, short};

/// Faults are forgotten at once: then there is neither a pause nor an end.
fn forgetful(limits: Limits) -> Limits {
    Limits {
        window: Duration::ZERO,
        ..limits
    }
}

/// The events as they come out when a plugin of that name has not seen them.
fn skipped(name: &str, ports: &[u16]) -> Vec<Event> {
    let mut events = events(ports);
    events
        .iter_mut()
        .for_each(|event| event.tag("plugin_skipped", name));
    events
}

/// Runs three batches through a plugin that fails on each. Returns the log.
fn fails(guest: &str, limits: Limits) -> Vec<String> {
    let host = Host::new(forgetful(limits)).with("evil.wasm", module(&[guest]), "");
    let mut run = host.run();
    let log = logged(|| {
        for _ in 0..3 {
            assert_eq!(run.pass(events(&[80, 443])), skipped("evil", &[80, 443]));
        }
    });
    assert_eq!(run.counts(0), [0, 3, 0], "{guest}");
    assert_eq!(run.skipped(0), 6, "{guest}");
    log
}

#[test]
fn each_fault_is_logged_once() {
    let text = |fault: &str| {
        format!(
            "WARN plugin failed on a batch; it is restarted (logged once for each kind of fault) plugin=evil fault={fault}"
        )
    };
    for (guest, fault) in [
        ("trap", "trapped: wasm `unreachable` instruction executed"),
        (
            "memory",
            "requested 138412032 bytes of memory, the limit is 67108864",
        ),
        ("recursion", "recursed deeper than its stack of 512 KiB"),
        ("huge_text", "returned more than 4096 KiB"),
        ("million", "returned more than 4096 KiB"),
    ] {
        assert_eq!(fails(guest, patient()), [text(fault)], "{guest}");
    }
    assert_eq!(fails("loop", short()), [text("took longer than 100ms")]);
    for guest in ["huge_answer", "not_utf8", "no_such_action"] {
        let log = fails(guest, patient());
        let start = text("returned data that can't be read: ");
        assert_eq!(log.len(), 1, "{guest}: {log:?}");
        assert!(log[0].starts_with(&start), "{guest}: {log:?}");
    }
}

#[test]
fn on_fault_drop_drops_and_counts() {
    let mut run = Host::new(patient())
        .with("evil.wasm", module(&["trap"]), ":on_fault=drop")
        .with("tag.wasm", module(&["tag_all"]), "")
        .run();
    assert!(run.pass(events(&[1, 2, 3])).is_empty());
    assert_eq!(run.counts(0), [3, 1, 0]);
    assert_eq!(run.counts(1), [0, 0, 0]);
}

/// What a redactor could not see must not get out, unless the user says so.
#[test]
fn a_redactor_drops_what_it_fails_on() {
    let redactor = || {
        let (name, manifest) = (b"lightmon:manifest", br#"{"role":"redactor"}"#);
        let mut wasm = module(&["trap"]);
        // A custom section: id 0, then lengths that fit into one byte each (WebAssembly 5.5.3).
        wasm.extend([0, (1 + name.len() + manifest.len()) as u8, name.len() as u8]);
        wasm.extend([&name[..], &manifest[..]].concat());
        wasm
    };
    for (settings, left) in [("", 0), (":on_fault=drop", 0), (":on_fault=pass", 2)] {
        let mut run = Host::new(patient())
            .with("redactor.wasm", redactor(), settings)
            .run();
        assert_eq!(run.pass(events(&[1, 2])).len(), left, "{settings}");
    }
}

#[test]
fn a_failing_plugin_does_not_stop_the_chain() {
    let mut run = Host::new(patient())
        .with("tag.wasm", module(&["tag_all"]), "")
        .with("evil.wasm", module(&["trap"]), "")
        .with("drop.wasm", module(&["drop_port"]), "")
        .run();
    let out = run.pass(events(&[53, 80]));
    assert_eq!(ports(&out), [80]);
    let tags: Vec<_> = out[0].tags.iter().map(|(key, _)| &**key).collect();
    assert_eq!(tags.len(), 2);
    assert_eq!(tags[1], "plugin_skipped");
    assert_eq!(run.counts(2), [1, 0, 0]);
}

/// The guest fails on one or two of 64 events. It drops the first event of each batch that succeeds, which shows how lightmon
/// bisected the batch.
#[test]
fn the_other_events_get_their_verdicts() {
    let mut batch: Vec<u16> = (1000..1064).collect();
    batch[10] = 666;
    let mut run = Host::new(forgetful(patient()))
        .with("evil.wasm", module(&["poison_trap"]), "")
        .run();
    let out = ports(&run.pass(events(&batch)));
    // Halves without it: 32..64, 16..32, 0..8, 12..16, 8..10, 11.
    let dropped: Vec<u16> = batch.iter().filter(|p| !out.contains(p)).copied().collect();
    assert_eq!(dropped, [1000, 1008, 1011, 1012, 1016, 1032]);
    assert_eq!(run.counts(0), [6, 1, 0]);

    batch[50] = 666;
    let out = ports(&run.pass(events(&batch)));
    assert_eq!(out.iter().filter(|&&port| port == 666).count(), 2);
    assert_eq!(run.counts(0), [6 + 10, 2, 0]);

    // And the next batch is none the worse.
    assert_eq!(ports(&run.pass(events(&[1, 2]))), [2]);
}

#[test]
fn only_the_failing_event_is_dropped() {
    let mut run = Host::new(patient())
        .with("evil.wasm", module(&["poison_trap"]), ":on_fault=drop")
        .run();
    assert_eq!(ports(&run.pass(events(&[1, 2, 666, 4]))), [2]);
    assert_eq!(run.counts(0), [3, 1, 0]);
}

#[test]
fn a_batch_in_which_every_event_fails_ends() {
    let mut run = Host::new(patient())
        .with("evil.wasm", module(&["poison_trap"]), "")
        .run();
    let poison = [666; 256];
    assert_eq!(run.pass(events(&poison)), skipped("evil", &poison));
    assert_eq!(run.counts(0), [0, 1, 0]);
}

#[test]
fn endless_loops_are_stopped_in_time() {
    let mut run = Host::new(Limits {
        faults: 100,
        ..short()
    })
    .with("loop.wasm", module(&["loop"]), "")
    .with("poison.wasm", module(&["poison_loop"]), "")
    .run();
    let batch: Vec<u16> = (666..666 + 256).collect();
    let start = Instant::now();
    let out = run.pass(events(&batch));
    // 100 ms for the batch and as much for asking again, for each of the two; the rest is a busy machine.
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(out[0].destination.port(), 666);
    assert_eq!((run.counts(0)[1], run.counts(1)[1]), (1, 1));
}

/// After the second fault within the window, the plugin is paused. After the fifth, it is disabled.
#[test]
fn too_many_faults_disable_the_plugin_with_one_message() {
    for (settings, left, events_do) in [
        ("", 2, "pass unchanged"),
        (":on_fault=drop", 0, "are dropped"),
    ] {
        let mut run = Host::new(patient())
            .with("evil.wasm", module(&["trap", "init_when"]), settings)
            .run();
        let start = Instant::now();
        let mut batches = 0;
        let log = logged(|| {
            while run.counts(0)[1] < 5 || batches < 10 {
                assert!(start.elapsed() < Duration::from_secs(60));
                // The plugin does not ask for these fields.
                let out = ports(&run.pass(events(&[53, 80, 53])));
                assert_eq!(out.len(), left + 1);
                assert!(out.contains(&80));
                batches += 1;
            }
            let out = run.pass(events(&[53, 80]));
            assert_eq!(out.last(), events(&[80]).last());
        });
        // 100, 200 and 400 ms, during which batches went on.
        assert!(start.elapsed() >= Duration::from_millis(700));
        assert_eq!(run.skipped(0), 2 * batches + 1);
        assert_eq!(log.len(), 2, "{log:?}");
        assert_eq!(
            log[1],
            format!(
                r#"ERROR plugin disabled until it is reloaded, by SIGHUP or --watch; its events {events_do} plugin=evil reason="5 faults within 60s, the last: it trapped: wasm `unreachable` instruction executed""#
            )
        );
    }
}

/// With `halt` lightmon ends, and says why; the batch comes out nevertheless.
#[test]
fn on_fault_halt_ends_lightmon() {
    let mut run = Host::new(patient())
        .with("evil.wasm", module(&["trap"]), ":on_fault=halt")
        .run();
    assert_eq!(run.pass(events(&[1, 2])), skipped("evil", &[1, 2]));
    assert_eq!(
        run.halted.unwrap().to_string(),
        "plugin evil trapped: wasm `unreachable` instruction executed: lightmon stops because of on_fault=halt"
    );
}

/// The way past all of them, for what they have no time for.
#[test]
fn events_that_bypass_plugins_are_marked_or_dropped() {
    let mut run = Host::new(patient())
        .with("a.wasm", module(&["tag_all"]), "")
        .with("b.wasm", module(&["tag_all"]), "")
        .run();
    let mut batch = events(&[1, 2]);
    run.chain.bypass().apply(&mut batch, &run.stats).unwrap();
    assert_eq!(batch, skipped("a b", &[1, 2]));
    assert_eq!((run.skipped(0), run.skipped(1)), (2, 2));
    assert_eq!(run.pass(events(&[1]))[0].tags.len(), 1, "tagged by both");

    let run = Host::new(patient())
        .with("a.wasm", module(&["tag_all"]), "")
        .with("b.wasm", module(&["tag_all"]), ":on_fault=drop")
        .with("c.wasm", module(&["tag_all"]), "")
        .run();
    let mut batch = events(&[1, 2]);
    run.chain.bypass().apply(&mut batch, &run.stats).unwrap();
    assert_eq!(batch, []);
    assert_eq!([0, 1, 2].map(|i| run.skipped(i)), [2, 2, 0]);
    assert_eq!(run.counts(1)[0], 2);
}

#[test]
fn old_faults_are_forgotten() {
    let limits = Limits {
        window: Duration::ZERO,
        ..patient()
    };
    let mut run = Host::new(limits)
        .with("evil.wasm", module(&["trap"]), "")
        .run();
    for _ in 0..20 {
        run.pass(events(&[1]));
    }
    assert_eq!(run.counts(0), [0, 20, 0]);
}
