//! What honest plugins want done is done, to the right events.

use crate::{
    Host, event, events,
    guest::{component, module},
    patient, ports,
};

fn tags(event: &lightmon_event::Event) -> Vec<(&str, &str)> {
    let tags = event.tags.iter();
    tags.map(|(key, value)| (&**key, &**value)).collect()
}

#[test]
fn module_and_component_do_the_same() {
    for bytes in [module(&["tag_all"]), component(&["tag_all"])] {
        let mut run = Host::new(patient()).with("t.wasm", bytes, "").run();
        for _ in 0..3 {
            let out = run.pass(events(&[53, 80, 443]));
            assert_eq!(ports(&out), [53, 80, 443]);
            assert!(out.iter().all(|event| tags(event) == [("seen", "yes")]));
        }
        assert!(run.pass(Vec::new()).is_empty());
        assert_eq!(run.counts(0), [0, 0, 0]);
    }
}

#[test]
fn later_plugins_see_tags_but_no_dropped_events() {
    let mut run = Host::new(patient())
        .with("drop.wasm", module(&["drop_port"]), "")
        .with("tag.wasm", module(&["tag_all"]), "")
        .with("drop.tagged.wasm", module(&["drop_tagged"]), "")
        .with("tag.wasm", module(&["tag_all"]), "")
        .run();
    assert_eq!(run.chain.names(), ["drop", "tag", "drop.tagged", "tag#2"]);
    assert!(run.pass(events(&[53, 80, 53, 443, 53])).is_empty());
    // The second plugin saw two, and the third saw its tags.
    assert_eq!(run.counts(0), [3, 0, 0]);
    assert_eq!(run.counts(1), [0, 0, 0]);
    assert_eq!(run.counts(2), [2, 0, 0]);
}

#[test]
fn fields_and_line_are_set_for_the_right_event_only() {
    let mut run = Host::new(patient())
        .with("s.wasm", component(&["set_and_line"]), "")
        .run();
    let one = event(80);
    let out = run.pass(vec![one.clone(), one.clone()]);
    let args = out[0].process.args.as_deref().expect("arguments");
    assert_eq!((&*args[0], &*args[1]), ("curl", "***"));
    assert_eq!(out[0].line.as_deref(), Some("line 2"));
    assert_eq!(
        out[1], one,
        "the other shares the process, but is not touched"
    );
}

#[test]
fn fields_newer_than_the_contract_are_in_extra() {
    let mut run = Host::new(patient())
        .with("e.wasm", component(&["extra_line"]), "")
        .run();
    let mut of_a_unit = event(80);
    of_a_unit.container = None;
    let nothing = run.pass(vec![of_a_unit.clone()]);
    assert_eq!(nothing[0].line, None);
    of_a_unit.unit = Some(std::sync::Arc::new(lightmon_event::Unit {
        name: "nginx.service".into(),
        slice: "system.slice".into(),
    }));
    let out = run.pass(vec![of_a_unit]);
    assert_eq!(out[0].line.as_deref(), Some("unitnginx.service"));
}

#[test]
fn settings_arrive_as_json() {
    let bytes = module(&["config_line"]);
    let mut run = Host::new(patient())
        .with(
            "c.wasm",
            bytes,
            ":on_fault=drop,keys=a,b,path=/x:y,quote=\"",
        )
        .run();
    let out = run.pass(events(&[1]));
    assert_eq!(
        out[0].line.as_deref(),
        Some(r#"{"keys":"a,b","path":"/x:y","quote":"\""}"#)
    );
}

#[test]
fn a_plugin_gets_only_events_that_match_when() {
    let mut run = Host::new(patient())
        .with("w.wasm", module(&["tag_all", "init_when"]), "")
        .run();
    let out = run.pass(events(&[80, 53, 443, 53]));
    let tagged: Vec<usize> = out.iter().map(|event| event.tags.len()).collect();
    assert_eq!(tagged, [0, 1, 0, 1]);

    // Where none matches it is not even called.
    let mut run = Host::new(patient())
        .with("w.wasm", module(&["trap", "init_when"]), "")
        .run();
    assert_eq!(run.pass(events(&[80, 443])), events(&[80, 443]));
    assert_eq!(run.counts(0), [0, 0, 0]);
}

#[test]
fn long_batches_are_cut() {
    let many: Vec<u16> = (0..1000)
        .map(|n| if n % 3 == 0 { 53 } else { 80 })
        .collect();
    let mut run = Host::new(patient())
        .with("d.wasm", module(&["drop_port"]), "")
        .with("t.wasm", module(&["tag_all"]), "")
        .run();
    let out = run.pass(events(&many));
    assert_eq!(out.len(), 666);
    assert!(out.iter().all(|event| tags(event) == [("seen", "yes")]));
    assert_eq!(run.counts(0), [334, 0, 0]);
}

#[test]
fn invalid_decisions_are_ignored_and_the_others_applied() {
    let mut run = Host::new(patient())
        .with("b.wasm", module(&["bad_decisions"]), "")
        .run();
    let out = run.pass(events(&[1, 2, 3]));
    assert_eq!(ports(&out), [1, 3]);
    assert_eq!(tags(&out[0]), [("seen", "\x1b[31m\0")]);
    assert_eq!(out[0].line, None);
    assert_eq!(out[1], event(3));
    assert_eq!(run.counts(0), [1, 0, 4]);
}
