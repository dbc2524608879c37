use jiff::tz;
use proptest::prelude::*;

use super::*;
use crate::{Outcome, Record, arbitrary};

fn parse(line: &[u8]) -> Result<Event, Malformed> {
    parse_line(line).map(|record| match record {
        Record::Connection(event) => event,
        other => panic!("{other:?} is no event"),
    })
}

fn json(it: &Event) -> Vec<u8> {
    let mut out = Vec::new();
    event(it, &TimeZone::fixed(tz::offset(8)), &mut out);
    out
}

#[test]
fn an_ordinary_event() {
    let line = String::from_utf8(json(&Event::sample())).unwrap();
    assert_eq!(
        line,
        concat!(
            r#"{"v":1,"kernelTime":"13898485459656","goTime":"2026-11-23T23:04:05.123456789+08:00","#,
            r#""time":"2026-11-23T23:04:05.123456789+08:00","pid":1234,"comm":"curl","addressFamily":"AF_INET","#,
            r#""saddr":"192.168.1.100","sport":34567,"daddr":"93.184.215.14","dport":443,"container":"web-server","#,
            r#""id":"ca3fe49eac8-4d3","tid":1235,"uid":0,"gid":0,"user":"root","protocol":"tcp","outcome":"established","latencyNs":1234000,"#,
            r#""procPath":"/usr/bin/curl","procArgs":["curl","-s","https://example.org/"],"#,
            r#""processStarted":"13898000000000","processProvenance":"exec","#,
            r#""parents":[{"pid":1000,"started":"12000000000000","comm":"bash","path":"/usr/bin/bash"}],"#,
            r#""containerId":"3f4e8d0c5b6a79881726354433221100ffeeddccbbaa99887766554433221100","#,
            r#""containerImage":"nginx:1.27","containerProvenance":"exec","labels":{"app":"web"},"cgroupId":4711,"tags":{"country":"US"}}"#,
            "\n"
        )
    );
    assert_eq!(parse(line.as_bytes()).unwrap(), Event::sample());
}

#[test]
fn a_minimal_event() {
    let line = br#"{"time":"2026-11-23T15:04:05Z","pid":7,"daddr":"::ffff:192.0.2.1","dport":80,"errno":111}"#;
    let event = parse(line).unwrap();
    assert_eq!(event.destination, "192.0.2.1:80".parse().unwrap());
    assert_eq!(event.source, "0.0.0.0:0".parse().unwrap());
    assert_eq!(
        (event.pid, event.tid, event.process.pid, event.uid),
        (7, 7, 7, NO_ID)
    );
    assert_eq!(
        (event.outcome, event.protocol),
        (Outcome::Refused, crate::Protocol::Tcp)
    );
    assert_eq!((event.container, event.user), (None, None));
}

#[test]
fn error_texts_are_short_and_safe() {
    let reason = |line: &str| parse_line(line.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        reason(r#"{"pid":"\u001b[2J"}"#),
        r#"column 18: invalid type: string "\u{1b}[2J", expected u32"#
    );
    let long = reason(&format!("{{\"pid\":\"{}\"}}", "é".repeat(100_000)));
    assert!(long.chars().count() < 200 && long.ends_with('…'), "{long}");
    assert_eq!(
        reason(r#"{"pid":1,"daddr":"::1","dport":1}"#),
        "it has neither `time` nor `goTime`"
    );
    assert_eq!(
        reason(r#"{"v":2,"pid":1,"daddr":"::1","dport":1}"#),
        "its schema is version 2, and this lightmon reads 1: replay it with a newer one"
    );
}

#[test]
fn offsets_have_no_seconds() {
    let event = Event {
        time: "1880-01-01T00:00:00Z".parse().unwrap(),
        ..Event::sample()
    };
    let zone = TimeZone::fixed(tz::Offset::from_seconds(-4 * 3600 - 56 * 60 - 2).unwrap());
    let mut out = Vec::new();
    super::event(&event, &zone, &mut out);
    assert_eq!(parse(&out).unwrap().time, event.time);
}

proptest! {
    #[test]
    fn any_event_is_read_back(event in arbitrary::event()) {
        let line = json(&event);
        let read = parse(&line).unwrap();
        prop_assert_eq!(json(&read), line);
        prop_assert_eq!(read, event);
    }

    #[test]
    fn any_event_is_one_line_of_json_that_is_safe_on_a_terminal(event in arbitrary::event()) {
        let line = String::from_utf8(json(&event)).unwrap();
        let line = line.strip_suffix('\n').unwrap();
        prop_assert!(!line.chars().any(escape::is_unsafe), "{}", line);
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        prop_assert_eq!(value["comm"].as_str(), Some(&*event.comm));
        prop_assert_eq!(value["id"].as_str(), Some(&*event.id().to_string()));
        prop_assert_eq!(value["container"].as_str(), Some(event.container.as_ref().and_then(|it| it.name.as_deref()).unwrap_or("")));
    }

    #[test]
    fn no_input_panics(line: Vec<u8>, cut in 0..600_usize, byte: u8) {
        let _ = parse_line(&line);
        let mut line = json(&Event::sample());
        let at = cut % line.len();
        line[at] = byte;
        let _ = parse_line(&line);
        line.truncate(at);
        prop_assert!(parse_line(&line).is_err());
    }
}
