//! Plugins that fail, on purpose: the monitor goes on, the events come out, each fault is counted and told once.

use std::time::{Duration, Instant};

use lightmon::plugin::Limits;

use crate::{Host, events, guest::module, logged, patient, ports, short};

/// Three batches through a plugin that fails on each: what was logged.
fn fails(guest: &str, limits: Limits) -> Vec<String> {
    let host = Host::new(Limits {
        faults: 100,
        ..limits
    })
    .with("evil.wasm", module(&[guest]), "");
    let mut run = host.run();
    let log = logged(|| {
        for _ in 0..3 {
            assert_eq!(run.pass(events(&[80, 443])), events(&[80, 443]));
        }
    });
    assert_eq!(run.counts(0), [0, 3, 0], "{guest}");
    log
}

#[test]
fn each_fault_is_told_once() {
    let text = |fault: &str| {
        format!(
            "WARN plugin failed on a batch; it is restarted (told once for each kind of fault) plugin=evil fault={fault}"
        )
    };
    for (guest, fault) in [
        ("trap", "trapped: wasm `unreachable` instruction executed"),
        (
            "memory",
            "wanted 138412032 bytes of memory, 67108864 is the limit",
        ),
        ("recursion", "recursed deeper than its stack of 512 KiB"),
        ("huge_text", "gave an answer larger than 4096 KiB"),
        ("million", "gave an answer larger than 4096 KiB"),
    ] {
        assert_eq!(fails(guest, patient()), [text(fault)], "{guest}");
    }
    assert_eq!(fails("loop", short()), [text("took longer than 100ms")]);
    for guest in ["huge_answer", "not_utf8", "no_such_action"] {
        let log = fails(guest, patient());
        let start = text("gave an answer that can't be read: ");
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
fn a_plugin_that_fails_does_not_spoil_the_chain() {
    let mut run = Host::new(patient())
        .with("tag.wasm", module(&["tag_all"]), "")
        .with("evil.wasm", module(&["trap"]), "")
        .with("drop.wasm", module(&["drop_port"]), "")
        .run();
    let out = run.pass(events(&[53, 80]));
    assert_eq!(ports(&out), [80]);
    assert_eq!(out[0].tags.len(), 1);
    assert_eq!(run.counts(2), [1, 0, 0]);
}

/// 64 events, of which one, or two, are more than the guest can bear. It drops the first event of each batch that it
/// survives, which shows how the others were asked about again.
#[test]
fn the_others_get_their_verdicts() {
    let mut batch: Vec<u16> = (1000..1064).collect();
    batch[10] = 666;
    let mut run = Host::new(patient())
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
fn poison_that_is_dropped_takes_no_other_event_along() {
    let mut run = Host::new(patient())
        .with("evil.wasm", module(&["poison_trap"]), ":on_fault=drop")
        .run();
    assert_eq!(ports(&run.pass(events(&[1, 2, 666, 4]))), [2]);
    assert_eq!(run.counts(0), [3, 1, 0]);
}

#[test]
fn a_batch_full_of_poison_ends() {
    let mut run = Host::new(patient())
        .with("evil.wasm", module(&["poison_trap"]), "")
        .run();
    let batch = events(&[666; 256]);
    assert_eq!(run.pass(batch.clone()), batch);
    assert_eq!(run.counts(0), [0, 1, 0]);
}

#[test]
fn endless_loops_cost_a_bounded_time() {
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

#[test]
fn too_many_faults_disable_it_and_that_is_told_once() {
    for (settings, left, events_do) in [
        ("", 2, "pass unchanged"),
        (":on_fault=drop", 0, "are dropped"),
    ] {
        let mut run = Host::new(patient())
            .with("evil.wasm", module(&["trap", "init_when"]), settings)
            .run();
        let log = logged(|| {
            for _ in 0..10 {
                // What it doesn't ask for is not its business, working or not.
                let out = ports(&run.pass(events(&[53, 80, 53])));
                assert_eq!(out.len(), left + 1);
                assert!(out.contains(&80));
            }
        });
        assert_eq!(run.counts(0)[1], 5);
        assert_eq!(log.len(), 2, "{log:?}");
        assert_eq!(
            log[1],
            format!(
                r#"ERROR plugin disabled until lightmon is started again; its events {events_do} plugin=evil reason="5 faults within 60s, the last: it trapped: wasm `unreachable` instruction executed""#
            )
        );
    }
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
