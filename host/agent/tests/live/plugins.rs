//! The plugins that come with lightmon, as `make plugins` has built them, in the binary on a recording.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::chown,
    path::PathBuf,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::lightmon::{Lightmon, command};

/// A built plugin, with settings.
fn plugin(name_and_settings: &str) -> String {
    let (name, settings) = name_and_settings
        .split_once(':')
        .unwrap_or((name_and_settings, ""));
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins");
    let file = folder.join(format!("{name}.wasm"));
    assert!(
        file.exists(),
        "{} is missing: run `make plugins`",
        file.display()
    );
    if settings.is_empty() {
        file.display().to_string()
    } else {
        format!("{}:{settings}", file.display())
    }
}

/// What comes out of a recording that is led through these plugins, and the summary.
fn run(recording: &str, plugins: &[&str]) -> (Vec<String>, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), recording).unwrap();
    let plugins: Vec<_> = plugins.iter().map(|it| plugin(it)).collect();
    let mut args = vec!["-f", "json", "--replay", file.path().to_str().unwrap()];
    for plugin in &plugins {
        args.extend(["--plugin", plugin]);
    }
    let output = command(&args).output().unwrap();
    let messages = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{messages}");
    let lines = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    (lines, messages.lines().last().unwrap().to_owned())
}

/// A line that `-f json` would have written.
fn line(daddr: &str, args: &[&str]) -> String {
    let event = serde_json::json!({
        "v": 1, "time": "2026-11-23T15:04:05Z", "pid": 7, "comm": "curl", "daddr": daddr, "dport": 443,
        "procPath": "/usr/bin/curl", "procArgs": args, "outcome": "established", "protocol": "tcp",
    });
    format!("{event}\n")
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[test]
#[ignore = "needs the plugins: make test builds and runs it"]
fn geoip_names_the_country_of_public_destinations() {
    let countries = [
        ("8.8.8.8", Some(("US", "United States"))),
        ("193.0.6.139", Some(("NL", "Netherlands"))),
        ("2001:67c:2e8:22::c100:68b", Some(("NL", "Netherlands"))),
        ("2001:4860:4860::8888", Some(("US", "United States"))),
        ("10.0.0.1", None),
        ("127.0.0.1", None),
        ("169.254.1.1", None),
        ("::1", None),
        ("fe80::1", None),
        ("fd00::1", None),
    ];
    let recording: String = countries
        .iter()
        .map(|(address, _)| line(address, &[]))
        .collect();
    let (lines, summary) = run(&recording, &["geoip"]);
    assert_eq!(
        summary,
        "lightmon: seen 10 = written 10 + excluded 0 (kernel 0, host 0) + dropped 0 (geoip 0) + lost 0 (kernel 0, output 0)"
    );
    for (line, (address, country)) in lines.iter().zip(countries) {
        let tags = &json(line)["tags"];
        let found = tags["country"].as_str().zip(tags["country_name"].as_str());
        assert_eq!(found, country, "{address}");
    }
}

#[test]
#[ignore = "needs the plugins: make test builds and runs it"]
fn a_chain_drops_redacts_tags_and_formats() {
    let recording = [
        line("10.0.0.1", &["curl", "http://10.0.0.1/"]),
        line(
            "8.8.8.8",
            &[
                "curl",
                "-H",
                "Authorization: Bearer s3cr3t",
                "--token=s3cr3t",
            ],
        ),
    ]
    .concat();
    let (lines, summary) = run(&recording, &["scope:keep=public", "geoip", "redact", "ecs"]);
    let balance = "lightmon: seen 2 = written 1 + excluded 0 (kernel 0, host 0) + dropped 1 (scope 1, geoip 0, redact 0, ecs 0) + lost 0 (kernel 0, output 0)";
    assert_eq!(summary, balance);
    assert_eq!(lines.len(), 1);
    assert!(!lines[0].contains("s3cr3t"), "{}", lines[0]);
    let event = json(&lines[0]);
    assert_eq!(event["destination"]["ip"], "8.8.8.8");
    assert_eq!(event["destination"]["geo"]["country_iso_code"], "US");
    assert_eq!(event["process"]["executable"], "/usr/bin/curl");
    assert_eq!(event["process"]["args"][0], "curl");
}

/// A thread's name, permitted and effective capabilities, and whether it can never get more.
fn threads(process: u32) -> Vec<(String, u64, u64, bool)> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks
        .filter_map(|task| {
            // It may end meanwhile.
            let status = fs::read_to_string(task.unwrap().path().join("status")).ok()?;
            let field = |name: &str| {
                let line = status.lines().find(|line| line.starts_with(name)).unwrap();
                line[name.len()..].trim().to_owned()
            };
            let mask = |name: &str| u64::from_str_radix(&field(name), 16).unwrap();
            let no_more = field("NoNewPrivs:") == "1";
            Some((field("Name:"), mask("CapPrm:"), mask("CapEff:"), no_more))
        })
        .collect()
}

/// Capabilities by their numbers, see capability.h.
#[test]
#[ignore = "needs root and the plugins: make test builds and runs it"]
fn plugins_run_without_capabilities_and_the_rest_with_few() {
    const DAC_OVERRIDE: u64 = 1 << 1;
    const DAC_READ_SEARCH: u64 = 1 << 2;
    const SYS_PTRACE: u64 = 1 << 19;
    const BPF: u64 = 1 << 39;
    let plugin = plugin("geoip");
    let mut lightmon = Lightmon::start(&["-f", "json", "--plugin", &plugin]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connect = |lightmon: &Lightmon| {
        let _connection = TcpStream::connect(address).unwrap();
        let event = lightmon.event_to("127.0.0.1", address.port());
        assert!(!event["procPath"].is_null(), "{event}");
    };
    connect(&lightmon);
    let threads = threads(lightmon.id());
    for name in ["plugins", "plugin-clock", "messages"] {
        let thread = threads.iter().find(|(other, ..)| other == name);
        let (_, permitted, effective, no_more) = thread.unwrap_or_else(|| panic!("{threads:?}"));
        assert_eq!((*permitted, *effective, *no_more), (0, 0, true), "{name}");
    }
    for (name, permitted, effective, no_more) in &threads {
        let some = match &**name {
            "output" => DAC_OVERRIDE | DAC_READ_SEARCH,
            name if name.starts_with("tokio") => DAC_OVERRIDE | DAC_READ_SEARCH,
            // Of the compiler.
            "plugin-start" => 0,
            _ => DAC_READ_SEARCH | SYS_PTRACE | BPF,
        };
        assert_eq!((permitted & !some, effective & !some), (0, 0), "{name}");
        assert!(no_more, "{name}");
    }
    // Files are read again with the remaining capabilities.
    kill(Pid::from_raw(lightmon.id() as i32), Signal::SIGHUP).unwrap();
    lightmon.hear("none of their files has changed");
    connect(&lightmon);
    let ended = lightmon.stop(Signal::SIGINT);
    assert_eq!(ended.status.code(), Some(0), "{:#?}", ended.messages);
    ended.balance();
}

/// In a home that is closed to all others: read before the capabilities are given up.
#[test]
#[ignore = "needs root and the plugins: make test builds and runs it"]
fn a_plugin_in_another_users_home_can_be_used() {
    let home = tempfile::tempdir().unwrap();
    let copy = home.path().join("scope.wasm");
    fs::copy(plugin("scope"), &copy).unwrap();
    chown(home.path(), Some(1234), Some(1234)).unwrap();
    let recording = tempfile::NamedTempFile::new().unwrap();
    fs::write(recording.path(), line("10.0.0.1", &["curl"])).unwrap();
    let args = ["-f", "json", "--replay", recording.path().to_str().unwrap()];
    let output = command(&args).arg("--plugin").arg(&copy).output().unwrap();
    let messages = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{messages}");
}
