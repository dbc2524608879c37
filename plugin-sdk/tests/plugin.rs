//! A plugin that asks for what its settings say, through the harness and through the exported functions.

use lightmon_plugin::{
    Config, Event, Field, Fields, Outcome, Plugin, Role, Verdict,
    bindings::Guest,
    test::{Harness, event, manifest},
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Echo {
    needs: Vec<String>,
    #[serde(default)]
    when: Option<String>,
}

impl Plugin for Echo {
    fn new(config: &Config) -> Result<Self, String> {
        config.parse()
    }

    fn needs(&self) -> Fields {
        self.needs
            .iter()
            .filter_map(|name| Fields::from_name(name))
            .fold(Fields::empty(), Fields::union)
    }

    fn when(&self) -> Option<String> {
        self.when.clone()
    }

    /// Writes what it can see.
    fn on_event(&mut self, event: &Event<'_>) -> Verdict {
        if event.outcome() == Outcome::REFUSED {
            return Verdict::drop();
        }
        let process = event.process();
        let container = event.container();
        Verdict::keep().line(format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            process.map(|it| &it.comm),
            process.map(|it| it.args().len()),
            process.map(|it| it.parents().len()),
            container.map(|it| &it.name),
            container.and_then(|it| it.label("app")),
            event.tag("country"),
            event.dname(),
            event.extra("mark"),
        ))
    }
}

lightmon_plugin::register!(
    Echo,
    role: Role::Formatter,
    config: r#"{"type":"object","properties":{"needs":{"type":"array"}}}"#,
    example: "--plugin echo.wasm:needs=ARGS",
);

fn full() -> lightmon_plugin::test::Sample {
    event()
        .container("3f4e", "web", "nginx")
        .label("app", "shop")
        .tag("country", "FR")
        .dname("example.org")
        .extra("mark", "7")
}

#[test]
fn only_what_was_asked_for() {
    for (needs, line) in [
        ("", "None None None None None None None None"),
        (
            "PROCESS",
            r#"Some("curl") Some(0) Some(0) None None None None None"#,
        ),
        (
            "ARGS",
            r#"Some("curl") Some(3) Some(0) None None None None None"#,
        ),
        (
            "PARENTS",
            r#"Some("curl") Some(0) Some(1) None None None None None"#,
        ),
        (
            "CONTAINER",
            r#"None None None Some("web") None None None None"#,
        ),
        (
            "LABELS",
            r#"None None None Some("web") Some("shop") None None None"#,
        ),
        (
            "TAGS+DNAME",
            r#"None None None None None Some("FR") Some("example.org") None"#,
        ),
        ("EXTRA", r#"None None None None None None None Some("7")"#),
    ] {
        let mut plugin = Harness::<Echo>::new(&format!(r#"{{"needs":"{needs}"}}"#)).unwrap();
        assert_eq!(plugin.event(full()).get_line(), Some(line), "{needs}");
    }
}

#[test]
fn processes_and_containers_come_once_a_batch() {
    let plugin = Harness::<Echo>::new(r#"{"needs":"PROCESS+CONTAINER"}"#).unwrap();
    let batch = plugin.make_batch([full(), full(), full().comm("wget"), event()]);
    assert_eq!(batch.events().len(), 4);
    assert_eq!(batch.processes().len(), 2);
    assert_eq!(batch.containers().len(), 1);
    let comms = batch.events().map(|it| it.process().unwrap().comm.as_str());
    assert_eq!(comms.collect::<Vec<_>>(), ["curl", "curl", "wget", "curl"]);
}

#[test]
fn verdicts_keep_their_events() {
    let mut plugin = Harness::<Echo>::new(r#"{"needs":[]}"#).unwrap();
    let verdicts = plugin.batch([
        event().outcome(Outcome::REFUSED, 111),
        event(),
        event().outcome(Outcome::REFUSED, 111),
    ]);
    let dropped = verdicts.iter().map(Verdict::is_drop);
    assert_eq!(dropped.collect::<Vec<_>>(), [true, false, true]);
    assert!(verdicts[1].get_line().is_some());
    assert_eq!(verdicts[1].get(Field::User), None);
}

/// What the host calls.
#[test]
fn exports() {
    assert_eq!(
        Echo::init(r#"{"needs":"ARGS+TAGS","when":"dport=443"}"#.to_owned())
            .map(|it| (it.needs, it.when)),
        Ok((Fields::ARGS | Fields::TAGS, Some("dport=443".to_owned())))
    );
    let batch = Harness::<Echo>::new(r#"{"needs":"ARGS"}"#)
        .unwrap()
        .make_batch([event()]);
    assert_eq!(batch.events().len(), 1);
    let empty = lightmon_plugin::bindings::Batch {
        processes: vec![],
        containers: vec![],
        events: vec![],
    };
    assert_eq!(Echo::process(empty), []);
    assert_eq!(
        Echo::init(r#"{"neds":"ARGS"}"#.to_owned()).map(|_| ()),
        Err("unknown field `neds`, expected `needs` or `when`".to_owned())
    );
}

#[test]
fn manifest_comes_from_the_crate() {
    let manifest = manifest::<Echo>();
    for (key, value) in [
        ("/name", "lightmon-plugin"),
        ("/version", env!("CARGO_PKG_VERSION")),
        ("/license", "Apache-2.0"),
        ("/homepage", env!("CARGO_PKG_REPOSITORY")),
        ("/role", "formatter"),
        ("/config/type", "object"),
        ("/example", "--plugin echo.wasm:needs=ARGS"),
    ] {
        assert_eq!(
            manifest.pointer(key).and_then(|it| it.as_str()),
            Some(value),
            "{key}"
        );
    }
}
