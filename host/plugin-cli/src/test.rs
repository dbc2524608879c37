//! `lightmon plugin test`: runs recorded events through a plugin, and compares the output with the expected one. Runs lightmon
//! itself, so that a test includes limits, ticks and the plugin's stop.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};

use super::{Done, Usage, difference, plugin::Plugin, print, project::sources};
use lightmon_event::escape::printable;
use lightmon_plugin_host::Spec;

/// Most lines of differences for one recording.
const MAX_DIFFERENCES: usize = 40;

/// Run recorded events through a plugin and compare the output
///
/// tests/NAME.jsonl has the events, as `-f json` and `lightmon record` write them. tests/NAME.expected.jsonl has the expected
/// output. tests/NAME.config.json, if it exists, has the settings: a JSON object. In it, `table.NAME` and lightmon's other keys
/// mean the same as on the command line. Paths are relative to the project's folder.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 all output is as expected, 1 some output differs, 2 wrong usage or the plugin does not load."
)]
pub(super) struct Args {
    /// Use this plugin: a .wasm file, or a project to build
    ///
    /// The tests of a .wasm file are in the folder tests beside the file, or beside its folder build.
    #[arg(value_name = "PLUGIN[:KEY=VALUE,…]", default_value = ".")]
    plugin: String,

    /// Write the output as the expected output
    #[arg(long)]
    update: bool,
}

pub(super) fn run(args: Args) -> anyhow::Result<Done> {
    let plugin = Plugin::open(&args.plugin)?;
    let folder = folder(&plugin)?;
    let recordings = recordings(&folder.join("tests"))?;
    let mut done = Done::Success;
    for recording in recordings {
        let expected = recording.with_extension("expected.jsonl");
        let name = shown(&recording);
        let lines = run_recording(&plugin.spec, &recording, &folder)?;
        if args.update {
            let was = fs::read(&expected).unwrap_or_default();
            if was != lines.as_bytes() {
                fs::write(&expected, &lines)
                    .with_context(|| format!("write {}", shown(&expected)))?;
                print(&format!("{name}: written to {}\n", shown(&expected)))?;
            } else {
                print(&format!("{name}: as expected\n"))?;
            }
            continue;
        }
        let Ok(wanted) = fs::read_to_string(&expected) else {
            print(&format!(
                "{name}: {} does not exist; `lightmon plugin test --update` writes it\n",
                shown(&expected)
            ))?;
            done = Done::Defects;
            continue;
        };
        let differences = compare(&wanted, &lines);
        if differences.is_empty() {
            print(&format!(
                "{name}: as expected, {} lines\n",
                lines.lines().count()
            ))?;
            continue;
        }
        done = Done::Defects;
        let more = differences.len().saturating_sub(MAX_DIFFERENCES);
        let mut text = format!("{name}: differs\n");
        for difference in differences.iter().take(MAX_DIFFERENCES) {
            text.push_str(&format!("  {difference}\n"));
        }
        if more > 0 {
            text.push_str(&format!("  and {more} more\n"));
        }
        print(&text)?;
    }
    Ok(done)
}

/// Returns the folder that has `tests`.
fn folder(plugin: &Plugin) -> anyhow::Result<PathBuf> {
    if let Some(project) = &plugin.project {
        return Ok(project.folder.clone());
    }
    let path = plugin.spec.path.canonicalize().map_err(|error| {
        let path = printable(&plugin.spec.path.to_string_lossy());
        Usage(format!("plugin {path}: cannot be read: {error}"))
    })?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    Ok(match (folder.ends_with("build"), folder.parent()) {
        (true, Some(parent)) => parent.to_owned(),
        _ => folder.to_owned(),
    })
}

fn recordings(tests: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut recordings = match tests.is_dir() {
        true => sources(tests, "jsonl").with_context(|| format!("read {}", tests.display()))?,
        false => Vec::new(),
    };
    recordings.retain(|path| !path.to_string_lossy().ends_with(".expected.jsonl"));
    if recordings.is_empty() {
        return Err(Usage(format!(
            "{} has no recordings; record events with `lightmon record -o tests/NAME.jsonl`, then run `lightmon plugin test --update`",
            printable(&tests.to_string_lossy())
        ))
        .into());
    }
    Ok(recordings)
}

/// Runs lightmon over a recording. Returns its output.
fn run_recording(spec: &Spec, recording: &Path, folder: &Path) -> anyhow::Result<String> {
    let settings = recording.with_extension("config.json");
    let entry = entry(spec, &settings)?;
    // JSON is YAML.
    let config = env::temp_dir().join(format!("lightmon-test-{}.yaml", std::process::id()));
    let config = TemporaryFile(config);
    fs::write(&config.0, json!({"plugins": [entry]}).to_string())
        .with_context(|| format!("write {}", config.0.display()))?;
    let output = lightmon()?
        .current_dir(folder)
        .args(["-f", "json", "-c"])
        .arg(&config.0)
        .arg("--replay")
        .arg(recording)
        .stdin(Stdio::null())
        .output()
        .context("run lightmon")?;
    let log = String::from_utf8_lossy(&output.stderr);
    let name = shown(recording);
    match output.status.code() {
        Some(0) => {}
        Some(2) => {
            let reason = log.trim().trim_start_matches("lightmon: ").to_owned();
            return Err(Usage(format!("{name}: {reason}")).into());
        }
        _ => bail!("{name}: lightmon failed:\n{}", log.trim_end()),
    }
    // Faults and messages of the plugin, without the summary.
    for line in log.lines().filter(|line| !line.starts_with("lightmon: ")) {
        lightmon_thread::stderr::log(line);
    }
    String::from_utf8(output.stdout).context("read the output")
}

struct TemporaryFile(PathBuf);

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Returns the command `lightmon` without the user's settings, in UTC.
fn lightmon() -> anyhow::Result<Command> {
    let mut command = Command::new(env::current_exe().context("find the lightmon executable")?);
    for (name, _) in env::vars_os() {
        let is_setting = name.to_string_lossy().starts_with("LIGHTMON_");
        if is_setting && name != "LIGHTMON_CACHE_DIR" {
            command.env_remove(name);
        }
    }
    command
        .env("TZ", "UTC")
        .env("LIGHTMON_DEAD_LETTERS", "none");
    Ok(command)
}

/// Returns the plugin's entry for config.yaml. Settings in the file override those of the command line.
fn entry(spec: &Spec, settings: &Path) -> anyhow::Result<Value> {
    let path = spec.path.canonicalize().context("find the plugin")?;
    let mut config = spec.config.clone();
    if settings.is_file() {
        let name = shown(settings);
        let json = fs::read(settings).with_context(|| format!("read {name}"))?;
        let more: Map<String, Value> = serde_json::from_slice(&json)
            .map_err(|error| Usage(format!("{name} is not a JSON object: {error}")))?;
        config.extend(more);
    }
    let mut entry = json!({"path": path.to_str().context("the plugin's path is not UTF-8")?});
    let mut settings = Map::new();
    for (key, value) in config {
        match key.split_once('.') {
            Some(("table", table)) => entry["grant"]["tables"][table] = value,
            Some(("limits", limit)) => entry["limits"][limit] = value,
            _ if ["on_fault", "optional", "sha256", "when"].contains(&&*key) => {
                entry[&*key] = value
            }
            _ => _ = settings.insert(key, value),
        }
    }
    entry["config"] = settings.into();
    Ok(entry)
}

/// Describes the differences, one line each. The differing fields of an event are indented below its line.
fn compare(wanted: &str, lines: &str) -> Vec<String> {
    let parse = |text: &str| -> Vec<(String, Value)> {
        text.lines()
            .map(|line| {
                let value = serde_json::from_str(line).unwrap_or_else(|_| line.into());
                (key(&value), value)
            })
            .collect()
    };
    let (wanted, lines) = (parse(wanted), parse(lines));
    let keys = |lines: &[(String, Value)]| -> Vec<String> {
        lines.iter().map(|(key, _)| key.clone()).collect()
    };
    let mut differences = Vec::new();
    for pair in difference::align(&keys(&wanted), &keys(&lines)) {
        match pair {
            (Some(i), Some(j)) => {
                let fields = difference::fields(&wanted[i].1, &lines[j].1);
                if !fields.is_empty() {
                    differences.push(format!("line {}: {}", j + 1, name(&lines[j].1)));
                    differences.extend(fields.iter().map(|field| format!("    {field}")));
                }
            }
            (Some(i), None) => differences.push(format!("missing: {}", name(&wanted[i].1))),
            (None, Some(j)) => differences.push(format!(
                "line {}, not expected: {}",
                j + 1,
                name(&lines[j].1)
            )),
            (None, None) => {}
        }
    }
    differences
}

/// Identifies a line.
fn key(line: &Value) -> String {
    match (&line["id"], &line["notice"]) {
        (Value::String(id), _) => format!("{id} {}", line["outcome"]),
        (_, Value::String(notice)) => format!("{notice} {}", line["report"]),
        // A line that a plugin wrote has no identity but its position.
        _ => String::new(),
    }
}

/// Names a line for people.
fn name(line: &Value) -> String {
    let text = |key: &str| match &line[key] {
        Value::String(text) => printable(text),
        other => other.to_string(),
    };
    match (line.get("notice"), line.get("daddr")) {
        (Some(_), _) => format!("{} {}", text("notice"), text("report")),
        (None, Some(_)) => format!(
            "{} → {}:{} {}",
            text("comm"),
            text("daddr"),
            text("dport"),
            text("outcome")
        ),
        (None, None) => printable(&line.to_string()),
    }
}

fn shown(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    format!("tests/{}", printable(&name.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str =
        r#"{"id":"1-1","comm":"curl","daddr":"192.0.2.1","dport":80,"outcome":"refused"}"#;
    const B: &str = r#"{"id":"1-2","comm":"nc","daddr":"192.0.2.2","dport":53,"outcome":"sent"}"#;

    #[test]
    fn differences_name_event_and_field() {
        let tagged = A.replace('}', r#","tags":{"a":"b"}}"#);
        assert!(compare(A, A).is_empty());
        assert_eq!(
            compare(&format!("{A}\n{B}\n"), &format!("{tagged}\n")),
            [
                "line 1: curl → 192.0.2.1:80 refused",
                r#"    + tags.a "b""#,
                "missing: nc → 192.0.2.2:53 sent",
            ]
        );
        assert_eq!(
            compare("", B),
            ["line 1, not expected: nc → 192.0.2.2:53 sent"]
        );
        assert_eq!(
            compare("hello", "hullo"),
            [r#"line 1: "hullo""#, r#"     "hello" → "hullo""#]
        );
    }

    #[test]
    fn keys_of_lightmon_are_separated_from_settings() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.config.json");
        fs::write(&file, r#"{"drop_port": 53, "table.country": "x.csv", "on_fault": "drop", "limits.batch": "1s"}"#).unwrap();
        let spec: Spec = format!("{}:a=b", file.display()).parse().unwrap();
        let entry = entry(&spec, &file).unwrap();
        assert_eq!(entry["config"], json!({"a": "b", "drop_port": 53}));
        assert_eq!(entry["grant"], json!({"tables": {"country": "x.csv"}}));
        assert_eq!(
            (&entry["on_fault"], &entry["limits"]),
            (&json!("drop"), &json!({"batch": "1s"}))
        );
    }
}
