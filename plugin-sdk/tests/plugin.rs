//! Runs two test plugins through the harness and through the exported functions.

use std::time::Duration;

use lightmon_plugin::{
    Config, Event, Field, Fields, Kind, Outcome, Permission, Plugin, Report, Role, Verdict,
    bindings::{Guest, StopGuest, TickGuest},
    counter, kv,
    log::{self, Level},
    table::Table,
    test::{Harness, event, manifest},
};
use serde::Deserialize;

/// A plugin that requests the fields named in its settings and writes them as the output line.
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

fn event_with_all_fields() -> lightmon_plugin::test::Sample {
    event()
        .container("3f4e", "web", "nginx")
        .label("app", "shop")
        .tag("country", "FR")
        .dname("example.org")
        .extra("mark", "7")
}

#[test]
fn only_requested_fields_are_filled_in() {
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
        let verdict = plugin.event(event_with_all_fields());
        assert_eq!(verdict.get_line(), Some(line), "{needs}");
    }
}

#[test]
fn a_batch_holds_each_process_and_container_once() {
    let plugin = Harness::<Echo>::new(r#"{"needs":"PROCESS+CONTAINER"}"#).unwrap();
    let full = event_with_all_fields();
    let batch = plugin.make_batch([full.clone(), full.clone(), full.comm("wget"), event()]);
    assert_eq!(batch.events().len(), 4);
    assert_eq!(batch.processes().len(), 2);
    assert_eq!(batch.containers().len(), 1);
    let comms = batch.events().map(|it| it.process().unwrap().comm.as_str());
    assert_eq!(comms.collect::<Vec<_>>(), ["curl", "curl", "wget", "curl"]);
}

#[test]
fn verdicts_are_in_the_order_of_the_events() {
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

/// Calls the functions that the host calls.
#[test]
fn init_and_process_are_exported() {
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
fn the_manifest_has_the_values_of_cargo_toml() {
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

/// A plugin that uses all functions of the host.
struct Ledger {
    owners: Option<Table>,
    seen: u64,
}

impl Plugin for Ledger {
    fn new(config: &Config) -> Result<Self, String> {
        config.none()?;
        let owners = Table::open("owners", "owner");
        if let Err(problem) = &owners {
            log::warn(problem);
        }
        let seen = kv::get("seen").and_then(|text| text.parse().ok());
        Ok(Self {
            owners: owners.ok(),
            seen: seen.unwrap_or(0),
        })
    }

    fn kinds(&self) -> Vec<Kind> {
        vec![Kind::CONNECTION, Kind(7)]
    }

    fn on_event(&mut self, event: &Event<'_>) -> Verdict {
        assert_ne!(event.destination_port(), 666, "a fault");
        self.seen += 1;
        counter::add("events", 1);
        kv::set("seen", &self.seen.to_string());
        let owner = self
            .owners
            .and_then(|table| table.lookup_ip(&[event.destination()]).pop()?);
        match owner {
            Some(owner) => Verdict::keep().tag("owner", owner),
            None => Verdict::keep(),
        }
    }

    fn tick_period(&self) -> Option<Duration> {
        Some(Duration::from_millis(1))
    }

    fn on_tick(&mut self, now: Duration) -> Vec<Report> {
        vec![
            Report::new("seen")
                .field("events", self.seen)
                .field("at", now.as_secs()),
        ]
    }

    fn on_stop(&mut self, _now: Duration) -> Vec<Report> {
        log::log(Level::Debug, "ends");
        vec![Report::new("total").field("events", self.seen)]
    }
}

mod ledger {
    use super::*;

    lightmon_plugin::register!(
        Ledger,
        permissions: &[Permission { table: "owners", why: "owners of networks", optional: true }],
    );
}

#[test]
fn the_harness_implements_all_host_functions() {
    let owners = ("owners", "network,owner\n192.0.2.0/24,us\n");
    let mut plugin = Harness::<Ledger>::with_tables("{}", &[owners]).unwrap();
    let to = |destination| event().destination(destination);
    assert_eq!(
        plugin.batch([
            to("192.0.2.1:1"),
            to("192.0.2.1:1").kind(Kind(2)),
            to("192.0.3.1:1").kind(Kind(7)),
        ]),
        [
            Verdict::keep().tag("owner", "us"),
            Verdict::keep(),
            Verdict::keep()
        ]
    );
    assert_eq!(plugin.counters()["events"], 2, "kind 2 is not supported");
    assert_eq!(plugin.kv()["seen"], "2");
    assert_eq!(plugin.logged(), []);
    let reports = plugin.tick(Duration::from_secs(9));
    assert_eq!(
        reports,
        [Report::new("seen").field("events", 2).field("at", 9)]
    );

    plugin.restart().unwrap();
    let verdict = plugin.event(to("192.0.2.1:1"));
    assert_eq!(
        verdict.get_tag("owner"),
        Some("us"),
        "the new instance opened the table"
    );
    assert_eq!(
        plugin.stop(Duration::ZERO),
        [Report::new("total").field("events", 3)]
    );
    assert_eq!(plugin.logged(), [(Level::Debug, "ends".to_owned())]);
}

#[test]
fn each_harness_has_its_own_host() {
    let mut one = Harness::<Ledger>::new("{}").unwrap();
    let mut other = Harness::<Ledger>::new("{}").unwrap();
    other.kv_mut().insert("seen".to_owned(), "40".to_owned());
    other.restart().unwrap();
    let _ = one.event(event());
    other.batch([event(), event()]);
    assert_eq!((&*one.kv()["seen"], &*other.kv()["seen"]), ("1", "42"));
    assert_eq!(
        one.logged(),
        [(Level::Warn, "table `owners` was not granted".to_owned())]
    );

    // Also after a plugin panicked.
    let fault = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        other.event(event().destination("192.0.2.1:666"))
    }));
    assert!(fault.is_err());
    let _ = one.event(event());
    assert_eq!((&*one.kv()["seen"], &*other.kv()["seen"]), ("2", "42"));
}

/// Calls the functions that the host calls between events.
#[test]
fn tick_and_stop_are_exported() {
    assert_eq!(<Ledger as TickGuest>::period(), 0, "before init");
    assert_eq!(<Ledger as TickGuest>::tick(1), []);
    let setup = <Ledger as Guest>::init("{}".to_owned()).unwrap();
    assert_eq!(setup.kinds, [1, 7]);
    assert_eq!(<Ledger as TickGuest>::period(), 100, "the minimum");
    let reports = <Ledger as TickGuest>::tick(2_000_000_000);
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].name, "seen");
    assert_eq!(reports[0].fields[1], ("at".to_owned(), "2".to_owned()));
    assert_eq!(<Ledger as StopGuest>::stop(0)[0].name, "total");

    Echo::init(r#"{"needs":[]}"#.to_owned()).unwrap();
    assert_eq!(<Echo as TickGuest>::period(), 0, "never");
    assert_eq!(<Echo as StopGuest>::stop(0), []);
    let mut echo = Harness::<Echo>::new(r#"{"needs":[]}"#).unwrap();
    assert_eq!(echo.tick(Duration::ZERO), []);
}

#[test]
fn the_manifest_lists_permissions() {
    let permissions = &manifest::<Ledger>()["permissions"];
    assert_eq!(
        *permissions,
        serde_json::json!([{"table": "owners", "why": "owners of networks", "optional": true}])
    );
}
