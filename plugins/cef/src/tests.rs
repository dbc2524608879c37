//! Checks whole lines with a parser that implements only the rules of the format.

use std::collections::BTreeMap;

use lightmon_plugin::{
    Outcome, Parent, Protocol,
    test::{Harness, Sample, event, manifest},
};

use super::*;

/// The longest line that the host accepts.
const MAX_LINE_BYTES: usize = 16 << 10;

fn cef(event: Sample) -> String {
    let mut plugin = Harness::<Cef>::new("{}").unwrap();
    let verdict = plugin.event(event);
    let line = verdict.get_line().unwrap();
    assert!(
        line.len() <= MAX_LINE_BYTES && !line.contains(char::is_control),
        "{line}"
    );
    line.to_owned()
}

/// Parses a line into the seven fields of the header and the extension.
fn read(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let mut header = vec![String::new()];
    let mut chars = line.chars();
    while header.len() < 8 {
        match chars.next().unwrap() {
            '\\' => header.last_mut().unwrap().push(chars.next().unwrap()),
            '|' => header.push(String::new()),
            c => header.last_mut().unwrap().push(c),
        }
    }
    header.pop();
    let mut extension = BTreeMap::new();
    let mut rest = chars.as_str();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').unwrap();
        assert!(key.chars().all(|c| c.is_ascii_alphanumeric()), "{key}");
        let mut value = String::new();
        let mut chars = after.chars();
        while let Some(c) = chars.next() {
            // A space ends the value only if a key follows it.
            let is_end = c == ' '
                && chars
                    .as_str()
                    .find(|c: char| !c.is_ascii_alphanumeric())
                    .is_some_and(|at| at > 0 && chars.as_str()[at..].starts_with('='));
            match c {
                _ if is_end => break,
                '\\' => value.push(match chars.next().unwrap() {
                    'n' => '\n',
                    'r' => '\r',
                    c @ ('=' | '\\') => c,
                    other => panic!("\\{other} is not an escape sequence"),
                }),
                '=' => panic!("an unescaped = in {line}"),
                c => value.push(c),
            }
        }
        rest = chars.as_str();
        assert_eq!(extension.insert(key.to_owned(), value), None, "{key} twice");
    }
    (header, extension)
}

#[test]
fn a_line_has_all_fields() {
    let line = cef(event()
        .container("3f4e", "web-server", "nginx:1.27")
        .tag("country", "US")
        .tag("team", "web")
        .dname("example.org"));
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        line,
        format!(
            "CEF:0|gotoolkits|lightmon|{version}|established|Connection established|1|rt=1795446245123 end=1795446245124 cn1=1234 \
             cn1Label=Latency in microseconds outcome=success proto=TCP deviceDirection=1 src=192.168.1.100 spt=34567 \
             dst=93.184.215.14 dpt=443 dhost=example.org spid=1234 suid=0 suser=root sproc=/usr/bin/curl \
             cs1=curl -s https://example.org/ cs1Label=Command line cs5=/usr/bin/bash cs5Label=Parent process cs2=3f4e \
             cs2Label=Container id cs3=web-server cs3Label=Container name cs4=nginx:1.27 cs4Label=Container image \
             cs6=country\\=US team\\=web cs6Label=Tags"
        )
    );
    assert_eq!(manifest::<Cef>()["version"], version);
    assert_eq!(manifest::<Cef>()["role"], "formatter");
}

#[test]
fn unknown_fields_are_absent() {
    let line = cef(event()
        .no_process()
        .source("[::]:0")
        .destination("[2001:db8::1]:53")
        .protocol(Protocol(132))
        .latency(None)
        .outcome(Outcome::UNREACHABLE, 101));
    let (_, extension) = read(&line);
    let extension: Vec<_> = extension
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(
        extension,
        [
            "c6a3=2001:db8::1",
            "c6a3Label=Destination IPv6 Address",
            "cn2=101",
            "cn2Label=errno",
            "deviceDirection=1",
            "dpt=53",
            "outcome=failure",
            "proto=132",
            "rt=1795446245123",
            "spid=1234",
            "suid=0",
        ]
    );
    let (_, extension) = read(&cef(event().short_lived().source("[2001:db8::2]:7")));
    assert_eq!(extension["sproc"], "curl");
    assert_eq!(
        (&*extension["c6a2"], &*extension["spt"]),
        ("2001:db8::2", "7")
    );
    assert!(!extension.contains_key("cs1") && !extension.contains_key("src"));
}

#[test]
fn the_severity_depends_on_the_outcome() {
    for (outcome, class, name, severity, result) in [
        (
            Outcome::ESTABLISHED,
            "established",
            "Connection established",
            "1",
            Some("success"),
        ),
        (
            Outcome::SENT,
            "sent",
            "Connection sent",
            "1",
            Some("success"),
        ),
        (Outcome::PENDING, "pending", "Connection pending", "2", None),
        (
            Outcome::ABORTED,
            "aborted",
            "Connection aborted",
            "2",
            Some("failure"),
        ),
        (
            Outcome::REFUSED,
            "refused",
            "Connection refused",
            "3",
            Some("failure"),
        ),
        (
            Outcome::TIMED_OUT,
            "timed-out",
            "Connection timed out",
            "3",
            Some("failure"),
        ),
        (
            Outcome::FAILED,
            "failed",
            "Connection failed",
            "4",
            Some("failure"),
        ),
        (
            Outcome::DENIED,
            "denied",
            "Connection denied",
            "6",
            Some("failure"),
        ),
        (Outcome(200), "unknown", "Connection unknown", "4", None),
    ] {
        let (header, extension) = read(&cef(event().outcome(outcome, 0)));
        assert_eq!(
            header[..4],
            ["CEF:0", "gotoolkits", "lightmon", env!("CARGO_PKG_VERSION")]
        );
        assert_eq!(header[4..], [class, name, severity]);
        assert_eq!(
            extension.get("outcome").map(String::as_str),
            result,
            "{class}"
        );
    }
}

/// Text that an attacker controls cannot add a field or a line.
#[test]
fn hostile_text_stays_in_its_field() {
    let hostile = "x dst=6.6.6.6 |a\\ \\= cs1Label=x\nCEF:0|x|\r\\";
    let line = cef(event()
        .args([hostile, "b"])
        .path(hostile)
        .user(0, hostile)
        .container(hostile, hostile, hostile)
        .tag(hostile, hostile)
        .dname(hostile)
        .parents([Parent {
            pid: 1,
            comm: "x".into(),
            path: Some(hostile.into()),
        }]));
    let (_, extension) = read(&line);
    assert_eq!(extension["dst"], "93.184.215.14");
    for key in ["suser", "sproc", "cs2", "cs3", "cs4", "cs5", "dhost"] {
        assert_eq!(extension[key], hostile, "{key}");
    }
    assert_eq!(extension["cs1"], format!("{hostile} b"));
    assert_eq!(extension["cs1Label"], "Command line");
    assert_eq!(extension["cs6"], format!("{hostile}={hostile}"));
    // Characters without an escape in CEF are written as text.
    let (_, extension) = read(&cef(event().path("/tmp/\x1b[2J\u{202e}\u{9b}")));
    assert_eq!(extension["sproc"], r"/tmp/\u{1b}[2J\u{202e}\u{9b}");
}

/// The host accepts the line, however long the texts are.
#[test]
fn long_texts_are_truncated() {
    for piece in ["x", "=", "é", "\u{e0001}", "\x1b"] {
        let long = piece.repeat(20_000);
        let mut sample = event()
            .args([&*long, &long])
            .path(&long)
            .user(u32::MAX, &long)
            .container(&long, &long, &long)
            .dname(&long)
            .source("[2001:db8:1111:2222:3333:4444:5555:6666]:65535")
            .destination("[2001:db8:1111:2222:3333:4444:5555:6666]:65535")
            .pid(u32::MAX)
            .outcome(Outcome::ADDRESS_UNAVAILABLE, u16::MAX)
            .parents([Parent {
                pid: 1,
                comm: long.clone(),
                path: Some(long.clone()),
            }]);
        for n in 0..32 {
            sample = sample.tag(&n.to_string(), &long[..long.floor_char_boundary(126)]);
        }
        let (_, extension) = read(&cef(sample));
        assert!(extension["sproc"].len() <= 1023 && extension["cs1"].len() <= 4000);
        assert!(extension["cs6"].starts_with("0="));
    }
}

#[test]
fn settings_are_refused() {
    assert_eq!(
        Harness::<Cef>::new(r#"{"vendor":"x"}"#).err().as_deref(),
        Some("unknown setting `vendor`: the plugin has no settings")
    );
}
