//! A plugin that was built when contract 0.1 was new, and never since: it must go on working.

use std::{fs, process::Command};

use serde_json::Value;

use crate::monitor::line;

const STORED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/plugin-0.1.wasm"
);

#[test]
fn a_plugin_of_contract_0_1_still_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (events, table, out) = (path("events.jsonl"), path("names.csv"), path("out"));
    let recorded: Vec<String> = [53, 443, 514, 1].map(line).into();
    fs::write(&events, recorded.join("\n")).expect("a file");
    fs::write(&table, "network,name\n192.0.2.0/24,docs\n").expect("a file");

    let done = Command::new(env!("CARGO_BIN_EXE_lightmon"))
        .args([
            "-f",
            "json",
            "--replay",
            &events,
            "--plugin",
            &format!("{STORED}:table.names={table}"),
        ])
        .env("LIGHTMON_CACHE_DIR", "none")
        .env("LIGHTMON_DEAD_LETTERS", "none")
        .env_remove("RUST_LOG")
        .stdout(fs::File::create(&out).expect("a file"))
        .output()
        .expect("the binary");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("stored plugin"), "its own message: {said}");
    assert!(said.contains("seen 3"), "its own counter: {said}");

    let out = fs::read_to_string(&out).expect("what it wrote");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 4, "{out}");
    let json = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");

    // Port 53 is dropped; the others have all tags, and their argument is masked.
    let event = json(lines[0]);
    assert_eq!(
        (&event["dport"], &event["procArgs"][1]),
        (&443.into(), &"***".into())
    );
    assert_eq!(
        event["tags"],
        serde_json::json!({
            "to": "192.0.2.1", "ends": "established", "run_by": "", "image": "", "team": "-", "earlier": "0", "name": "docs"
        })
    );
    assert_eq!(lines[1], "line of curl");
    // Its `when` leaves this one out.
    let event = json(lines[2]);
    assert_eq!((&event["dport"], &event["tags"]), (&1.into(), &Value::Null));
    let report = json(lines[3]);
    assert_eq!(
        (&report["report"], &report["fields"]["events"]),
        (&"total".into(), &"3".into())
    );
}
