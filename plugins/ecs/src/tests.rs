//! Checks whole lines, each field, and hostile texts.

use lightmon_plugin::{
    Outcome, Parent, Protocol,
    test::{Harness, Sample, event, manifest},
};
use serde_json::{Value, json};

use super::*;

fn ecs(event: Sample) -> Value {
    let mut plugin = Harness::<Ecs>::new("{}").unwrap();
    let verdict = plugin.event(event);
    let line = verdict.get_line().unwrap();
    assert!(
        line.len() <= MAX_LINE_BYTES && !line.contains('\n'),
        "{line}"
    );
    serde_json::from_str(line).unwrap()
}

#[test]
fn a_line_has_all_fields() {
    let line = ecs(event()
        .container("3f4e", "web-server", "nginx:1.27")
        .label("com.docker.compose.project", "shop")
        .tag("country", "US")
        .tag("country_name", "United States")
        .tag("team.name", "web")
        .dname("example.org"));
    assert_eq!(
        line,
        json!({
            "@timestamp": "2026-11-23T15:04:05.123456789Z",
            "ecs": {"version": "8.17.0"},
            "event": {
                "kind": "event", "category": ["network"], "type": ["connection", "start"], "action": "connection_attempted",
                "outcome": "success", "reason": "established", "module": "lightmon", "dataset": "lightmon.connection",
                "duration": 1_234_000
            },
            "network": {"type": "ipv4", "transport": "tcp", "iana_number": "6", "direction": "egress"},
            "source": {"address": "192.168.1.100", "ip": "192.168.1.100", "port": 34567},
            "destination": {
                "address": "93.184.215.14", "ip": "93.184.215.14", "port": 443, "domain": "example.org",
                "geo": {"country_iso_code": "US", "country_name": "United States"}
            },
            "process": {
                "pid": 1234, "thread": {"id": 1235}, "name": "curl", "executable": "/usr/bin/curl",
                "args": ["curl", "-s", "https://example.org/"], "args_count": 3,
                "parent": {"pid": 1000, "name": "bash", "executable": "/usr/bin/bash"}
            },
            "user": {"id": "0", "name": "root", "group": {"id": "0"}},
            "container": {
                "id": "3f4e", "name": "web-server", "image": {"name": "nginx", "tag": ["1.27"]},
                "labels": {"com_docker_compose_project": "shop"}
            },
            "labels": {"team_name": "web"}
        })
    );
}

#[test]
fn unknown_fields_are_absent() {
    let line = ecs(event()
        .no_process()
        .source("0.0.0.0:0")
        .destination("[2001:db8::1]:53")
        .protocol(Protocol::UDP)
        .latency(None)
        .outcome(Outcome::UNREACHABLE, 101));
    assert_eq!(
        line,
        json!({
            "@timestamp": "2026-11-23T15:04:05.123456789Z",
            "ecs": {"version": "8.17.0"},
            "event": {
                "kind": "event", "category": ["network"], "type": ["connection"], "action": "connection_attempted",
                "outcome": "failure", "reason": "unreachable", "module": "lightmon", "dataset": "lightmon.connection"
            },
            "network": {"type": "ipv6", "transport": "udp", "iana_number": "17", "direction": "egress"},
            "destination": {"address": "2001:db8::1", "ip": "2001:db8::1", "port": 53},
            "process": {"pid": 1234, "thread": {"id": 1235}},
            "user": {"id": "0", "group": {"id": "0"}},
            "error": {"code": "ENETUNREACH"}
        })
    );
}

#[test]
fn outcomes_are_mapped() {
    for (outcome, errno, expect) in [
        (
            Outcome::ESTABLISHED,
            0,
            json!([["connection", "start"], "success", "established", null]),
        ),
        (
            Outcome::CONNECTED,
            0,
            json!([["connection", "start"], "success", "connected", null]),
        ),
        (
            Outcome::REFUSED,
            111,
            json!([["connection"], "failure", "refused", "ECONNREFUSED"]),
        ),
        (
            Outcome::TIMED_OUT,
            110,
            json!([["connection"], "failure", "timed-out", "ETIMEDOUT"]),
        ),
        (
            Outcome::DENIED,
            1,
            json!([["connection", "denied"], "failure", "denied", "EPERM"]),
        ),
        (
            Outcome::FAILED,
            524,
            json!([["connection"], "failure", "failed", "524"]),
        ),
        (
            Outcome(200),
            0,
            json!([["connection"], "unknown", "unknown", null]),
        ),
    ] {
        let line = ecs(event().outcome(outcome, errno));
        let event = &line["event"];
        let code = line.pointer("/error/code").unwrap_or(&Value::Null);
        assert_eq!(
            json!([event["type"], event["outcome"], event["reason"], code]),
            expect
        );
    }
    let sctp = ecs(event().protocol(Protocol(132)));
    assert_eq!(
        sctp["network"],
        json!({"type": "ipv4", "iana_number": "132", "direction": "egress"})
    );
}

#[test]
fn images_are_split_into_name_tag_and_hash() {
    for (image, expect) in [
        ("nginx", json!({"name": "nginx"})),
        (
            "registry:5000/web/nginx",
            json!({"name": "registry:5000/web/nginx"}),
        ),
        (
            "registry:5000/nginx:1",
            json!({"name": "registry:5000/nginx", "tag": ["1"]}),
        ),
        (
            "nginx:1@sha256:ab",
            json!({"name": "nginx", "tag": ["1"], "hash": {"all": ["sha256:ab"]}}),
        ),
        ("sha256:ab", json!({"hash": {"all": ["sha256:ab"]}})),
    ] {
        assert_eq!(
            ecs(event().container("1", "x", image))["container"]["image"],
            expect,
            "{image}"
        );
    }
    assert_eq!(
        ecs(event().container("1", "", ""))["container"],
        json!({"id": "1"})
    );
}

/// Elasticsearch rejects objects with duplicate keys.
#[test]
fn label_keys_are_unique() {
    let line = ecs(event()
        .label("a.b", "1")
        .label("a", "2")
        .label("a_b", "3")
        .label("", ""));
    assert_eq!(
        line["container"]["labels"],
        json!({"a": "2", "a_b": "3", "": ""})
    );
}

#[test]
fn hostile_texts_are_preserved() {
    let text = "\"},{\\\n\r\t\u{0}\u{1b}[31m\u{202e}\u{2028}é🔑</script>";
    let line = ecs(event()
        .comm(text)
        .path(text)
        .user(0, text)
        .args([text, ""])
        .parents([Parent {
            pid: 1,
            comm: text.into(),
            path: None,
        }])
        .container(text, text, text)
        .label(text, text)
        .tag(text, text)
        .dname(text));
    for pointer in [
        "/process/name",
        "/process/executable",
        "/process/args/0",
        "/process/parent/name",
        "/user/name",
        "/container/id",
        "/container/name",
        "/destination/domain",
    ] {
        assert_eq!(line.pointer(pointer), Some(&json!(text)), "{pointer}");
    }
    assert_eq!(line["labels"][text], json!(text));
}

/// The line fits and is valid JSON, even if all texts are long and each byte becomes six.
#[test]
fn long_events_fit() {
    let huge = "\u{0}é".repeat(50_000);
    let line = ecs((0..5_000)
        .fold(event(), |event, i| {
            event.label(&format!("{i}{huge:.100}"), &huge[..99])
        })
        .comm(&huge)
        .path(&huge)
        .user(0, &huge)
        .args(vec![huge.clone(); 100])
        .parents([Parent {
            pid: 1,
            comm: huge.clone(),
            path: Some(huge.clone()),
        }])
        .tag("country", &huge)
        .tag("country_name", &huge)
        .tag("x", &huge)
        .dname(&huge));
    assert_eq!(line["process"]["args_count"], 100);
    assert!(huge.starts_with(line["process"]["executable"].as_str().unwrap()));

    // The line contains as many arguments as fit.
    let line = ecs(event().args(vec!["x"; 3_500]));
    assert_eq!(line["process"]["args"].as_array().unwrap().len(), 3_500);

    // For a long command line, only its end is missing.
    let line = ecs(event().args((0..10_000).map(|i| i.to_string())));
    assert_eq!(line["process"]["args_count"], 10_000);
    assert!(line["process"]["args"].as_array().unwrap().len() > 300);
    assert_eq!(line["process"]["executable"], "/usr/bin/curl");
}

#[test]
fn settings_are_refused_and_the_role_is_formatter() {
    assert!(Harness::<Ecs>::new(r#"{"version":"8"}"#).is_err());
    assert_eq!(manifest::<Ecs>()["role"], "formatter");
}
