//! Checks the behaviour that the suite's README specifies, in the test harness.

use lightmon_plugin::{
    Outcome, Protocol,
    log::Level,
    test::{Harness, Sample, event, manifest},
};

use super::*;

fn plugin(settings: &str) -> Harness<Conformance> {
    Harness::new(settings).unwrap()
}

fn check(event: Sample, tags: &[(&str, &str)]) {
    let verdict = plugin("{}").event(event);
    for (key, value) in tags {
        assert_eq!(verdict.get_tag(key), Some(*value), "{key}");
    }
}

#[test]
fn an_event_gets_every_tag() {
    let full = event()
        .container("3f4e", "web", "nginx:1.27")
        .label("team", "shop")
        .tag("country", "FR")
        .dname("example.org");
    let expect = [
        ("dst", "93.184.215.14:443"),
        ("src", "192.168.1.100:34567"),
        ("time", "1795446245123456789"),
        ("latency", "1234000"),
        ("ids", "1234/1235/0/0"),
        ("who", "root curl /usr/bin/curl"),
        ("args", "3 https://example.org/"),
        ("parent", "1000 bash"),
        ("container", "3f4e web nginx:1.27"),
        ("label", "shop"),
        ("earlier", "1"),
        ("outcome", "1 established"),
        ("protocol", "tcp"),
        ("errno", "0"),
    ];
    let all = expect
        .iter()
        .fold(Verdict::keep(), |verdict, (key, value)| {
            verdict.tag(*key, *value)
        });
    assert_eq!(plugin("{}").event(full), all.set(Field::Arg(1), "***"));
}

#[test]
fn missing_fields_are_dashes() {
    check(
        event()
            .short_lived()
            .latency(None)
            .destination("[2001:db8::1]:80")
            .source("[::]:0"),
        &[
            ("dst", "[2001:db8::1]:80"),
            ("src", "[::]:0"),
            ("latency", "-"),
            ("who", "root curl -"),
            ("args", "-"),
            ("parent", "-"),
            ("container", "-"),
            ("label", "-"),
            ("earlier", "0"),
        ],
    );
    check(
        event()
            .no_process()
            .protocol(Protocol(132))
            .outcome(Outcome(99), 71),
        &[
            ("who", "-"),
            ("outcome", "99 unknown"),
            ("protocol", "132"),
            ("errno", "71"),
        ],
    );
    check(
        event()
            .protocol(Protocol::UDP)
            .outcome(Outcome::REFUSED, 111),
        &[
            ("outcome", "3 refused"),
            ("protocol", "udp"),
            ("errno", "111"),
        ],
    );
}

#[test]
fn long_values_are_truncated_between_characters() {
    let long = "é".repeat(80);
    check(
        event().args(["a", &long]),
        &[("args", &format!("2 {}", "é".repeat(49)))],
    );
    check(
        event().args(["a", &format!("x{long}")]),
        &[("args", &format!("2 x{}", "é".repeat(48)))],
    );
}

#[test]
fn drop_set_and_line() {
    let to = |port: u16| event().destination(&format!("192.0.2.1:{port}"));
    assert_eq!(plugin("{}").event(to(53)), Verdict::drop());
    let mut other = plugin(r#"{"drop_port":"80","greeting":"good day"}"#);
    assert_eq!(other.event(to(80)), Verdict::drop());
    let verdict = other.event(to(514).args(["logger"]));
    assert_eq!(verdict.get_line(), Some("good day curl"));
    assert_eq!(verdict.get(Field::Arg(1)), None, "only one argument");
    assert_eq!(other.event(to(53)).get_line(), None);
}

#[test]
fn totals_survive_a_fault() {
    let mut plugin = plugin("{}");
    assert_eq!(plugin.plugin.needs(), Fields::all());
    assert_eq!(
        plugin.tick(Duration::ZERO),
        [Report::new("seen").field("events", 0)]
    );
    plugin.batch([event(), event().destination("192.0.2.1:53")]);
    plugin.restart().unwrap();
    plugin.batch([event()]);
    assert_eq!(plugin.counters()["events"], 3);
    assert_eq!(plugin.kv()["events"], "3");
    assert_eq!(
        plugin.tick(Duration::ZERO),
        [Report::new("seen").field("events", 3)]
    );
    assert_eq!(
        plugin.stop(Duration::ZERO),
        [Report::new("total").field("events", 3)]
    );
    let started = (Level::Info, "conformance started".to_owned());
    assert_eq!(plugin.logged(), [started.clone(), started]);
}

#[test]
fn destinations_are_looked_up_in_the_table() {
    let settings = r#"{"table":"names"}"#;
    let csv = "network,owner,name\n93.184.0.0/16,x,edge\n";
    let mut plugin = Harness::<Conformance>::with_tables(settings, &[("names", csv)]).unwrap();
    let verdicts = plugin.batch([event(), event().destination("192.0.2.1:1")]);
    assert_eq!(verdicts[0].get_tag("table"), Some("edge"));
    assert_eq!(verdicts[1].get_tag("table"), Some("-"));
    assert!(Harness::<Conformance>::new(settings).is_err());
}

#[test]
fn settings_are_checked() {
    for (settings, error) in [
        (r#"{"drop_prt":1}"#, "unknown setting `drop_prt`"),
        (
            r#"{"drop_port":70000}"#,
            "setting `drop_port`: invalid value: integer `70000`, expected u16",
        ),
    ] {
        let result = Harness::<Conformance>::new(settings);
        assert_eq!(result.err().as_deref(), Some(error));
    }
    assert_eq!(
        plugin(r#"{"when":"dport=1"}"#).plugin.when().as_deref(),
        Some("dport=1")
    );
    assert_eq!(manifest::<Conformance>()["role"], "filter");
}
