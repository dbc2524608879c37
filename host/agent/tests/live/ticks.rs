//! Plugins that are called now and then, while no event comes to them.

#[path = "../plugins/guest.rs"]
#[allow(dead_code, reason = "the plugins' own tests use the rest")]
mod guest;

use std::{fs, path::PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::lightmon::Lightmon;

/// A plugin made of that text, in a folder that holds it.
fn plugin(text: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("p.wasm");
    fs::write(&file, guest::of_text(text)).unwrap();
    (folder, file)
}

/// The plugin gets no event: nobody connects to port 0.
fn with(file: &std::path::Path, settings: &str) -> String {
    format!("{}:when=dport=0,limits.tick=20s{settings}", file.display())
}

#[test]
#[ignore = "needs root: make test runs it"]
fn tick_is_called_without_events() {
    let (_folder, file) = plugin(&guest::text(&["tick"]).replace("PERIOD", "100"));
    let lightmon = Lightmon::start(&["-f", "json", "--plugin", &with(&file, "")]);
    let mut times = Vec::new();
    for _ in 0..2 {
        let line = lightmon.line(|line| line.contains(r#""notice":"report""#));
        let report: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&report["plugin"], &report["report"]),
            (&"p".into(), &"seen".into())
        );
        assert_eq!(report["fields"]["events"], "0");
        times.push(report["time"].as_str().unwrap().to_owned());
    }
    assert!(times[0] < times[1], "{times:?}");
}

#[test]
#[ignore = "needs root: make test runs it"]
fn on_fault_halt_ends_lightmon_without_events() {
    let text = guest::text(&["keep", "evil_tick"])
        .replace("$TICK", "$evil")
        .replace("$STOP", "$good")
        .replace("BODY", "(unreachable)");
    let (_folder, file) = plugin(&text);
    let lightmon = Lightmon::start(&["-f", "json", "--plugin", &with(&file, ",on_fault=halt")]);
    let ended = lightmon.wait();
    assert_eq!(ended.status.code(), Some(1), "{:#?}", ended.messages);
    let last = ended.messages.last().unwrap();
    assert!(
        last.contains("plugin p") && last.contains("trapped"),
        "{last}"
    );
}
