//! The conformance suite: the plugin that is written in each language gives the same answers. What it does is told in
//! `plugin-sdk/conformance/README.md`; `plugin-sdk/conformance/build.sh` makes the plugins.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const TABLE: &str =
    "network,name\n198.51.100.0/24,documentation\n2001:db8::/32,\"six, for documentation\"\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn file(name: &str) -> PathBuf {
    root().join("plugin-sdk/conformance").join(name)
}

/// The plugin of a language, and a folder of its own.
struct Suite {
    plugin: PathBuf,
    folder: tempfile::TempDir,
}

impl Suite {
    fn new(language: &str) -> Self {
        let plugin = root()
            .join("target/conformance")
            .join(format!("{language}.wasm"));
        assert!(
            plugin.is_file(),
            "{} is missing: make it with plugin-sdk/conformance/build.sh {language}",
            plugin.display()
        );
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("names.csv"), TABLE).expect("a table");
        Self { plugin, folder }
    }

    /// The plugin's settings as they stand in a configuration file, where numbers are numbers. The table is always granted.
    fn run(&self, settings: &str) -> Output {
        let config = self.folder.path().join("config.yaml");
        let table = self.folder.path().join("names.csv");
        let text = format!(
            "plugins:\n  - path: {}\n    config: {settings}\n    grant: {{tables: {{names: {}}}}}\n",
            self.plugin.display(),
            table.display()
        );
        fs::write(&config, text).expect("a configuration file");
        self.lightmon(&["--config", &config.to_string_lossy()])
    }

    /// The same from the command line, where all settings are text.
    fn run_with(&self, settings: &str) -> Output {
        let table = self.folder.path().join("names.csv");
        let spec = format!(
            "{}:table.names={}{settings}",
            self.plugin.display(),
            table.display()
        );
        self.lightmon(&["--plugin", &spec])
    }

    fn lightmon(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_lightmon"))
            .args(["--format", "json", "--replay"])
            .arg(file("events.jsonl"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("TZ", "UTC")
            // Those of Python and JavaScript take long to compile.
            .env(
                "LIGHTMON_CACHE_DIR",
                root().join("target/conformance/cache"),
            )
            .output()
            .expect("lightmon runs")
    }
}

/// The events and the reports that were written.
fn lines(output: &Output) -> (Vec<String>, Vec<serde_json::Value>) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {told}", output.status);
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    let (mut events, mut reports) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match serde_json::from_str::<serde_json::Value>(line) {
            Ok(json) if json["notice"] == "report" => reports.push(json),
            _ => events.push(line.to_owned()),
        }
    }
    (events, reports)
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What events.jsonl holds, for as far as the suite wants to know.
fn recorded() -> Vec<serde_json::Value> {
    let text = fs::read_to_string(file("events.jsonl")).expect("the events");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("an event"))
        .collect()
}

fn conforms(language: &str) {
    let suite = Suite::new(language);
    answers(&suite);
    settings(&suite);
    table(&suite);
    refusals(&suite);
}

/// Each event, the counter, the memory, the reports and the message.
fn answers(suite: &Suite) {
    let output = suite.run("{}");
    let (events, reports) = lines(&output);
    let expected = fs::read_to_string(file("expected.jsonl")).expect("the answers");
    for (i, (got, want)) in events.iter().zip(expected.lines()).enumerate() {
        assert_eq!(got, want, "line {} of expected.jsonl", i + 1);
    }
    assert_eq!(events.len(), expected.lines().count(), "lines");

    let told = told(&output);
    let sum = recorded().len().to_string();
    assert!(told.contains("conformance started"), "{told}");
    assert!(
        told.contains(&format!("events {sum}")),
        "the counter: {told}"
    );
    let named = |name: &str| {
        reports
            .iter()
            .filter(|it| it["report"] == name)
            .collect::<Vec<_>>()
    };
    assert!(
        !named("seen").is_empty(),
        "the events take longer than a second: {reports:?}"
    );
    let total = named("total");
    assert!(
        total.len() == 1 && total[0]["fields"]["events"] == sum.as_str(),
        "{reports:?}"
    );
}

/// Numbers from both places, text, and `when`.
fn settings(suite: &Suite) {
    let to = |port: u64| recorded().iter().filter(|it| it["dport"] == port).count();
    let all = recorded().len();
    for output in [
        suite.run("{drop_port: 443}"),
        suite.run_with(",drop_port=443"),
    ] {
        let (events, _) = lines(&output);
        assert_eq!(events.len(), all - to(443), "drop_port");
    }
    let (events, _) = lines(&suite.run_with(",greeting=ahoy"));
    assert!(events.iter().any(|line| line == "ahoy logger"), "greeting");

    let (events, _) = lines(&suite.run("{when: dport=22}"));
    let tagged = events
        .iter()
        .filter(|line| line.contains("\"ids\":"))
        .count();
    assert_eq!((events.len(), tagged), (all, to(22)), "when");
}

fn table(suite: &Suite) {
    let (events, _) = lines(&suite.run("{table: names}"));
    for line in events {
        let Ok(event) = serde_json::from_str::<serde_json::Value>(&line) else {
            continue;
        };
        let destination = event["daddr"].as_str().expect("an address");
        let want = match destination {
            it if it.starts_with("198.51.100.") => "documentation",
            it if it.starts_with("2001:db8:") => "six, for documentation",
            _ => "-",
        };
        assert_eq!(event["tags"]["table"], want, "{line}");
    }
    let refused = suite.run("{table: nothing}");
    assert_eq!(
        refused.status.code(),
        Some(2),
        "a table that was not granted: {}",
        told(&refused)
    );
}

fn refusals(suite: &Suite) {
    for refused in [suite.run("{drop_prot: 1}"), suite.run_with(",drop_prot=1")] {
        let told = told(&refused);
        assert_eq!(refused.status.code(), Some(2), "{told}");
        assert!(told.contains("unknown setting `drop_prot`"), "{told}");
    }
}

#[test]
#[ignore = "needs the built conformance plugins"]
fn rust() {
    conforms("rust");
}

#[test]
#[ignore = "needs the built conformance plugins"]
fn c() {
    conforms("c");
}

#[test]
#[ignore = "needs the built conformance plugins"]
fn go() {
    conforms("go");
}

#[test]
#[ignore = "needs the built conformance plugins"]
fn js() {
    conforms("js");
}

#[test]
#[ignore = "needs the built conformance plugins"]
fn python() {
    conforms("python");
}
