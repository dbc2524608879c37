//! Checks the verdicts for various settings.

use std::time::Instant;

use lightmon_plugin::test::{Harness, Sample, event, manifest};

use super::*;

fn verdict(settings: &str, event: Sample) -> Verdict {
    let mut plugin = Harness::<Blocklist>::new(settings).unwrap();
    plugin.event(event)
}

fn to(destination: &str) -> Sample {
    event().destination(destination)
}

#[test]
fn the_tag_is_the_matching_network() {
    let settings = r#"{"networks":"192.0.2.0/24+2001:db8::/32"}"#;
    for (destination, entry) in [
        ("192.0.2.1:443", Some("192.0.2.0/24")),
        ("[::ffff:192.0.2.1]:443", Some("192.0.2.0/24")),
        ("[2001:db8::1]:443", Some("2001:db8::/32")),
        ("192.0.3.1:443", None),
        ("[2001:db9::1]:443", None),
    ] {
        let expect = entry.map_or(Verdict::keep(), |it| Verdict::keep().tag("blocklist", it));
        assert_eq!(verdict(settings, to(destination)), expect, "{destination}");
    }
}

#[test]
fn the_action_drop_drops() {
    let settings = r#"{"networks":["192.0.2.0/24"],"action":"drop"}"#;
    assert_eq!(verdict(settings, to("192.0.2.1:443")), Verdict::drop());
    assert_eq!(verdict(settings, to("192.0.3.1:443")), Verdict::keep());
}

#[test]
fn host_names_match() {
    let settings = r#"{"networks":"192.0.2.0/24","domains":["example.org"],"name":"bad"}"#;
    let other = || to("198.51.100.1:443");
    let tagged = |entry: &str| Verdict::keep().tag("bad", entry);
    assert_eq!(verdict(settings, other()), Verdict::keep());
    assert_eq!(
        verdict(settings, other().dname("example.com")),
        Verdict::keep()
    );
    assert_eq!(
        verdict(settings, other().dname("www.Example.org.")),
        tagged("example.org")
    );
    // The address takes precedence.
    let both = to("192.0.2.1:443").dname("example.org");
    assert_eq!(verdict(settings, both), tagged("192.0.2.0/24"));
    let drop = r#"{"domains":"example.org","action":"drop"}"#;
    assert_eq!(verdict(drop, other().dname("example.org")), Verdict::drop());
    // The plugin requests host names only if it uses them.
    let needs = |settings| Harness::<Blocklist>::new(settings).unwrap().plugin.needs();
    assert_eq!(needs(r#"{"networks":"192.0.2.0/24"}"#), Fields::empty());
    assert_eq!(needs(drop), Fields::DNAME);
}

#[test]
fn a_tag_is_never_too_long() {
    let label = "a".repeat(60);
    let long = format!("{label}.{label}.{label}");
    let key = "k".repeat(64);
    let settings = format!(r#"{{"domains":"{long}","name":"{key}"}}"#);
    let verdict = verdict(&settings, event().dname(&long));
    assert_eq!(verdict.get_tag(&key), Some(&long[..64]));
}

#[test]
fn comments_and_blank_lines_are_ignored() {
    let settings = r##"{"networks":"# list, of today\n\n192.0.2.0/24 # a, b\r\n\t198.51.100.0/24,203.0.113.7;x\n"}"##;
    for destination in ["192.0.2.1:1", "198.51.100.1:1", "203.0.113.7:1"] {
        assert!(
            verdict(settings, to(destination))
                .get_tag("blocklist")
                .is_some(),
            "{destination}"
        );
    }
    let settings = r##"{"networks":["# list","","192.0.2.0/24  # a"]}"##;
    assert!(
        verdict(settings, to("192.0.2.1:1"))
            .get_tag("blocklist")
            .is_some()
    );
}

#[test]
fn settings_are_checked() {
    for (settings, error) in [
        (
            "{}",
            "no list: set `networks`, `domains`, `table.networks` or `table.names`",
        ),
        (
            r##"{"networks":"# none"}"##,
            "no list: set `networks`, `domains`, `table.networks` or `table.names`",
        ),
        (
            r#"{"networks":["192.0.2.0/24","192.0.2.0/40"]}"#,
            "setting `networks`: `192.0.2.0/40`: the prefix length is missing or longer than the address",
        ),
        (
            r#"{"networks":"192.0.2.0/24+example.org"}"#,
            "setting `networks`: `example.org`: not an address or a network such as 192.0.2.0/24",
        ),
        (
            r#"{"domains":"0.0.0.0 ads.example"}"#,
            "setting `domains`: `0.0.0.0`: not a host name: put addresses and networks into `networks`",
        ),
        (
            r#"{"networks":7}"#,
            "setting `networks`: expected a text or a list of texts",
        ),
        (
            r#"{"networks":"::1","name":""}"#,
            "setting `name`: expected 1 to 64 bytes without control characters",
        ),
        (
            r#"{"networks":"::1","action":"block"}"#,
            "setting `action`: unknown variant `block`, expected `tag` or `drop`",
        ),
        (
            r#"{"network":"::1"}"#,
            "unknown field `network`, expected one of `networks`, `domains`, `name`, `action`, `column`",
        ),
    ] {
        let result = Harness::<Blocklist>::new(settings);
        assert_eq!(result.err().as_deref(), Some(error), "{settings}");
    }
}

/// Published lists have this size. A linear search would take minutes.
#[test]
fn a_large_list_is_searched_quickly() {
    let networks: Vec<String> = (0..100_000u32)
        .map(|n| format!("\"{}.{}.{}.0/25\"", 1 + n / 65_536, n / 256 % 256, n % 256))
        .collect();
    let start = Instant::now();
    let settings = format!(r#"{{"networks":[{}]}}"#, networks.join(","));
    let mut plugin = Harness::<Blocklist>::new(&settings).unwrap();
    let (lower, upper) = (to("1.1.1.127:443"), to("1.1.1.128:443"));
    let events = (0..100_000).flat_map(|_| [lower.clone(), upper.clone()]);
    let batch = plugin.make_batch(events);
    let hits = batch
        .events()
        .filter(|event| plugin.plugin.on_event(event).get_tag("blocklist").is_some());
    assert_eq!(hits.count(), 100_000);
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn the_manifest_is_json() {
    let manifest = manifest::<Blocklist>();
    assert_eq!(manifest["role"], "filter");
    assert!(manifest["config"]["properties"]["networks"].is_object());
}

const NETWORKS: &str =
    "network,list\n192.0.2.0/24,scanners\n192.0.2.7,c2\n2001:db8::/32,scanners\n";
const NAMES: &str = "name,list\nexample.org,ads\n";

#[test]
fn granted_files_are_searched() {
    let tables = [("networks", NETWORKS), ("names", NAMES)];
    let mut plugin = Harness::<Blocklist>::with_tables("{}", &tables).unwrap();
    assert_eq!(plugin.plugin.needs(), Fields::DNAME);
    let tagged = |list: &str| Verdict::keep().tag("blocklist", list);
    assert_eq!(
        plugin.batch([
            to("192.0.2.7:1"),
            to("198.51.100.1:1"),
            to("[64:ff9b::192.0.2.1]:1"),
            to("[2001:db8::1]:1"),
            to("198.51.100.1:1").dname("www.example.org"),
            to("192.0.2.1:1").dname("example.org"),
            to("[64:ff9b::192.0.2.7]:1"),
        ]),
        [
            tagged("c2"),
            Verdict::keep(),
            tagged("scanners"),
            tagged("scanners"),
            tagged("ads"),
            tagged("scanners"),
            tagged("c2"),
        ]
    );
}

#[test]
fn settings_take_precedence_over_files() {
    let settings = r#"{"networks":"192.0.2.0/25+203.0.113.0/24","action":"drop"}"#;
    let tables = [("networks", NETWORKS)];
    let mut plugin = Harness::<Blocklist>::with_tables(settings, &tables).unwrap();
    let verdicts = plugin.batch(
        [
            "192.0.2.1:1",
            "192.0.2.129:1",
            "203.0.113.1:1",
            "198.51.100.1:1",
        ]
        .map(to),
    );
    let dropped: Vec<_> = verdicts.iter().map(Verdict::is_drop).collect();
    assert_eq!(dropped, [true, true, true, false]);
    // The tag is the entry of the settings, not the name of the file's list.
    let settings = r#"{"networks":"192.0.2.0/25"}"#;
    let mut plugin = Harness::<Blocklist>::with_tables(settings, &tables).unwrap();
    let verdict = plugin.event(to("192.0.2.7:1"));
    assert_eq!(verdict.get_tag("blocklist"), Some("192.0.2.0/25"));
}

#[test]
fn the_column_is_checked() {
    let other = ("networks", "network,source\n192.0.2.0/24,us\n");
    let refused = Harness::<Blocklist>::with_tables("{}", &[other]);
    assert_eq!(
        refused.err().as_deref(),
        Some("table `networks` has no column `list`")
    );
    let settings = r#"{"column":"source"}"#;
    let mut plugin = Harness::<Blocklist>::with_tables(settings, &[other]).unwrap();
    let verdict = plugin.event(to("192.0.2.7:1"));
    assert_eq!(verdict.get_tag("blocklist"), Some("us"));
}

#[test]
fn a_long_list_name_is_truncated_between_characters() {
    let csv = format!("network,list\n192.0.2.0/24,{}\n", "é".repeat(100));
    let mut plugin = Harness::<Blocklist>::with_tables("{}", &[("networks", &csv)]).unwrap();
    let verdict = plugin.event(to("192.0.2.7:1"));
    assert_eq!(
        verdict.get_tag("blocklist").map(str::len),
        Some(118),
        "of 128 - 9"
    );
}
