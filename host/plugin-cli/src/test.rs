//! `lightmon plugin test`: recorded events through a plugin, and what comes out against what should. A run of lightmon itself
//! does it, so that what is tested is what happens: limits, ticks and last words included.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};

use super::{
    Done, Usage, difference,
    project::{Plugin, sources},
    say,
};
use lightmon_event::escape::printable;
use lightmon_plugin_host::Spec;

/// Most lines of differences for one recording.
const MOST: usize = 40;

/// Send recorded events through a plugin, and compare what comes out with what should
///
/// Each tests/NAME.jsonl holds events as `-f json` and `lightmon record` write them, tests/NAME.expected.jsonl what must come
/// out, and tests/NAME.config.json, if it is there, the settings: a JSON object, in which `table.COUNTRY` and other keys of
/// lightmon's own mean what they mean on the command line; files are in the project's folder.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 all is as expected, 1 something differs, 2 wrong usage, or the plugin can't be used."
)]
pub(super) struct Args {
    /// The plugin: a project's folder, which is built, or a .wasm file, whose tests are beside it or beside its folder build
    #[arg(value_name = "PLUGIN[:KEY=VALUE,…]", default_value = ".")]
    plugin: String,

    /// Write what comes out as what should
    #[arg(long)]
    update: bool,
}

pub(super) fn run(args: Args) -> anyhow::Result<Done> {
    let plugin = Plugin::open(&args.plugin)?;
    let folder = folder(&plugin)?;
    let recordings = recordings(&folder.join("tests"))?;
    let mut done = Done::Fine;
    for recording in recordings {
        let expected = recording.with_extension("expected.jsonl");
        let name = shown(&recording);
        let lines = pass(&plugin.spec, &recording, &folder)?;
        if args.update {
            let was = fs::read(&expected).unwrap_or_default();
            if was != lines.as_bytes() {
                fs::write(&expected, &lines)
                    .with_context(|| format!("write {}", shown(&expected)))?;
                say(&format!("{name}: written to {}\n", shown(&expected)))?;
            } else {
                say(&format!("{name}: as expected\n"))?;
            }
            continue;
        }
        let Ok(wanted) = fs::read_to_string(&expected) else {
            say(&format!(
                "{name}: there is no {}; `lightmon plugin test --update` writes it\n",
                shown(&expected)
            ))?;
            done = Done::Wrong;
            continue;
        };
        let differences = compare(&wanted, &lines);
        if differences.is_empty() {
            say(&format!(
                "{name}: as expected, {} lines\n",
                lines.lines().count()
            ))?;
            continue;
        }
        done = Done::Wrong;
        let more = differences.len().saturating_sub(MOST);
        let mut text = format!("{name}: differs\n");
        for difference in differences.iter().take(MOST) {
            text.push_str(&format!("  {difference}\n"));
        }
        if more > 0 {
            text.push_str(&format!("  and {more} more\n"));
        }
        say(&text)?;
    }
    Ok(done)
}

/// In which `tests` is.
fn folder(plugin: &Plugin) -> anyhow::Result<PathBuf> {
    if let Some(project) = &plugin.project {
        return Ok(project.folder.clone());
    }
    let path = plugin.spec.path.canonicalize().map_err(|error| {
        let path = printable(&plugin.spec.path.to_string_lossy());
        Usage(format!("plugin {path}: can't be read: {error}"))
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
            "there are no recorded events in {}: record some with `lightmon record -o tests/NAME.jsonl`, then say `lightmon plugin test --update`",
            printable(&tests.to_string_lossy())
        ))
        .into());
    }
    Ok(recordings)
}

/// What comes out of a run.
fn pass(spec: &Spec, recording: &Path, folder: &Path) -> anyhow::Result<String> {
    let settings = recording.with_extension("config.json");
    let entry = entry(spec, &settings)?;
    // JSON is YAML.
    let config = env::temp_dir().join(format!("lightmon-test-{}.yaml", std::process::id()));
    let config = Temporary(config);
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
    let said = String::from_utf8_lossy(&output.stderr);
    let name = shown(recording);
    match output.status.code() {
        Some(0) => {}
        Some(2) => {
            let said = said.trim().trim_start_matches("lightmon: ").to_owned();
            return Err(Usage(format!("{name}: {said}")).into());
        }
        _ => bail!("{name}: lightmon has failed:\n{}", said.trim_end()),
    }
    // Faults and messages of the plugin, but not the summary.
    for line in said.lines().filter(|line| !line.starts_with("lightmon: ")) {
        lightmon_thread::stderr::log(line);
    }
    String::from_utf8(output.stdout).context("read what comes out")
}

struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// lightmon itself, without settings of its user's, in a time zone that is everywhere the same.
pub(super) fn lightmon() -> anyhow::Result<Command> {
    let mut command = Command::new(env::current_exe().context("find lightmon itself")?);
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

/// The plugin as config.yaml has it: settings from the command line, and over them those from the file.
fn entry(spec: &Spec, settings: &Path) -> anyhow::Result<Value> {
    let path = spec.path.canonicalize().context("find the plugin")?;
    let mut config = spec.config.clone();
    if settings.is_file() {
        let name = shown(settings);
        let json = fs::read(settings).with_context(|| format!("read {name}"))?;
        let more: Map<String, Value> = serde_json::from_slice(&json)
            .map_err(|error| Usage(format!("{name} is no JSON object: {error}")))?;
        config.extend(more);
    }
    let mut entry = json!({"path": path.to_str().context("the plugin's path is no UTF-8")?});
    let mut own = Map::new();
    for (key, value) in config {
        match key.split_once('.') {
            Some(("table", table)) => entry["grant"]["tables"][table] = value,
            Some(("limits", limit)) => entry["limits"][limit] = value,
            _ if ["on_fault", "optional", "sha256", "when"].contains(&&*key) => {
                entry[&*key] = value
            }
            _ => _ = own.insert(key, value),
        }
    }
    entry["config"] = own.into();
    Ok(entry)
}

/// What differs, a line each, with the fields of what is there but not the same indented under it.
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

/// What makes a line the one that was meant.
fn key(line: &Value) -> String {
    match (&line["id"], &line["notice"]) {
        (Value::String(id), _) => format!("{id} {}", line["outcome"]),
        (_, Value::String(notice)) => format!("{notice} {}", line["report"]),
        // Lines that a plugin has written: the place is all there is.
        _ => String::new(),
    }
}

/// What a line is about.
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
    fn differences_are_said_by_event_and_field() {
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
    fn settings_of_lightmons_own_are_told_apart() {
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
