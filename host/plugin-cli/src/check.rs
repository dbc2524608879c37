//! `lightmon plugin check`: whether lightmon will take a plugin, and what to do where it won't. Reads the file first, then
//! loads it as a run does: what this says is what a run says.

use serde_json::json;

use super::{Done, file::File, load, manifest, project::Plugin, say, size};
use lightmon_event::escape::printable;
use lightmon_plugin_host::{Limits, Reason};

/// More of a file than most plugins have; those from Python and JavaScript bring their language along.
const LARGE: u64 = 32 << 20;

/// Check whether lightmon will take a plugin, and say what to do where not
///
/// Reads its file (contract, imports, exports, manifest, size), and loads and starts it under the limits of a run, with the
/// settings that are given.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 fine, perhaps with warnings, 1 lightmon will not take it, 2 wrong usage."
)]
pub(super) struct Args {
    /// The plugin: a .wasm file or a project's folder, which is built; with settings if it needs some
    #[arg(value_name = "PLUGIN[:KEY=VALUE,…]", default_value = ".")]
    plugin: String,

    /// Write one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Fine,
    Warning,
    Wrong,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        }
    }
}

/// One line.
struct Check {
    what: &'static str,
    verdict: Verdict,
    text: String,
    /// What to do, unless it is fine.
    fix: Option<String>,
}

impl Check {
    fn fine(what: &'static str, text: impl Into<String>) -> Self {
        Self {
            what,
            verdict: Verdict::Fine,
            text: text.into(),
            fix: None,
        }
    }

    fn warning(what: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            what,
            verdict: Verdict::Warning,
            text: text.into(),
            fix: Some(fix.into()),
        }
    }

    fn wrong(what: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            what,
            verdict: Verdict::Wrong,
            text: text.into(),
            fix: Some(fix.into()),
        }
    }
}

pub(super) fn run(args: Args) -> anyhow::Result<Done> {
    let plugin = Plugin::open(&args.plugin)?;
    let file = File::read(&plugin.spec.path)?;
    let mut checks = vec![format(&file), bytes(&file), contract(&file)];
    checks.extend(file.imports.iter().map(|name| import(name)));
    checks.extend(exports(&file));
    checks.extend(self::manifest(&file));
    checks.push(match load::load(&plugin.spec, &Limits::default()) {
        Ok(_) => Check::fine("start", "it starts, with these settings"),
        Err(error) => start(&error.reason),
    });
    let is_wrong = checks.iter().any(|check| check.verdict == Verdict::Wrong);
    let text = match args.json {
        true => as_json(&file, &checks),
        false => checks.iter().map(line).collect(),
    };
    say(&text)?;
    Ok(if is_wrong { Done::Wrong } else { Done::Fine })
}

fn format(file: &File) -> Check {
    match (file.is_component, file.bytes.starts_with(b"\0asm")) {
        (true, _) => Check::fine("format", "a component"),
        (false, true) => Check::fine(
            "format",
            "a core module, of which lightmon makes a component",
        ),
        (false, false) => Check::wrong(
            "format",
            "not WebAssembly",
            "give the .wasm file that building the plugin has made",
        ),
    }
}

fn bytes(file: &File) -> Check {
    let bytes = file.bytes.len() as u64;
    let limit = Limits::default().file;
    match bytes {
        n if n > limit => Check::wrong(
            "size",
            format!("{}, {} is the limit", size(n), size(limit)),
            "build it with optimisation and without debug information",
        ),
        n if n > LARGE => Check::warning(
            "size",
            format!("{}: compiling it will take long, once", size(n)),
            "build it with optimisation and without debug information",
        ),
        n => Check::fine("size", size(n)),
    }
}

fn contract(file: &File) -> Check {
    match file.contract() {
        Some(version) => Check::fine("contract", format!("version {}", printable(version))),
        None => Check::wrong(
            "contract",
            "it doesn't export lightmon:plugin/filter",
            "build it with `lightmon plugin build`, or the language's own SDK",
        ),
    }
}

fn import(name: &str) -> Check {
    let shown = printable(name);
    let known = name.split_once('@').map_or(name, |(name, _)| name);
    match known.strip_prefix("lightmon:plugin/") {
        Some("types") => Check::fine("import", format!("{shown}: types only")),
        Some("log" | "counter" | "kv") => {
            Check::fine("import", format!("{shown}: every plugin has it"))
        }
        Some("tables") => Check::fine(
            "import",
            format!("{shown}: look-up files, if the user grants them"),
        ),
        Some(_) => Check::wrong(
            "import",
            format!("{shown}: this lightmon doesn't have it"),
            "build it for the contract in `wit/`, or upgrade lightmon",
        ),
        None if lightmon_plugin_host::is_provided(name) => Check::fine(
            "import",
            format!("{shown}: clock, random and output to the log, no files and no network"),
        ),
        None => Check::wrong(
            "import",
            format!("{shown}: plugins don't get it"),
            "build it without; a plugin reaches nothing but the contract",
        ),
    }
}

fn exports(file: &File) -> Vec<Check> {
    let exports = file.exports.iter().filter_map(|name| {
        let (known, _) = name.split_once('@')?;
        Some(match known.strip_prefix("lightmon:plugin/")? {
            "filter" => Check::fine("export", "filter: it gets events"),
            "tick" => Check::fine("export", "tick: it is called now and then"),
            "stop" => Check::fine("export", "stop: it is called at the end"),
            _ => Check::warning(
                "export",
                format!("{}: lightmon doesn't call it", printable(name)),
                "leave it out, or upgrade lightmon",
            ),
        })
    });
    exports.collect()
}

fn manifest(file: &File) -> Vec<Check> {
    let manifest = match &file.manifest {
        None => {
            return vec![Check::warning(
                "manifest",
                "there is none: lightmon calls it by its file, and shows neither version nor settings",
                "add plugin.json to the project; in Rust, `register!` writes it",
            )];
        }
        Some(Err(reason)) => {
            return vec![Check::wrong(
                "manifest",
                printable(reason),
                "build it again",
            )];
        }
        Some(Ok(manifest)) => manifest,
    };
    let mut checks: Vec<Check> = manifest::problems(manifest)
        .iter()
        .map(|problem| {
            Check::wrong(
                "manifest",
                printable(problem),
                "correct plugin.json, and build it again",
            )
        })
        .collect();
    if checks.is_empty() {
        let role = file.text("role").unwrap_or("filter".to_owned());
        let version = file.text("version").unwrap_or_default();
        checks.push(Check::fine(
            "manifest",
            format!("{} {version}, a {role}", file.name()),
        ));
    }
    for key in ["description", "license", "config"] {
        if !manifest.contains_key(key) {
            let (text, fix) = match key {
                "config" => (
                    "no schema of the settings",
                    "add `config`, a JSON Schema; one without properties if there are none",
                ),
                "license" => ("no licence", "say under which licence others may use it"),
                _ => ("no description", "say in a line what it does"),
            };
            checks.push(Check::warning("manifest", text, fix));
        }
    }
    for (table, why, is_optional) in manifest::tables(manifest) {
        let (table, why) = (printable(table), printable(why));
        let need = if is_optional { "asks for" } else { "needs" };
        checks.push(Check::fine(
            "permission",
            format!("{need} the table `{table}`: {why}; granted by table.{table}=FILE"),
        ));
    }
    checks
}

fn start(reason: &Reason) -> Check {
    let text = reason.to_string();
    // The host's own words say what to do, behind the colon.
    match text.split_once(": ") {
        Some((what, fix)) if !matches!(reason, Reason::Refused(_) | Reason::Init(_)) => {
            Check::wrong("start", what, fix)
        }
        _ => Check::wrong(
            "start",
            text,
            "give the settings that it wants, as in `FILE:KEY=VALUE`, or correct it",
        ),
    }
}

/// `fine     contract    version 0.1.0`.
fn line(check: &Check) -> String {
    let Check {
        what,
        verdict,
        text,
        fix,
    } = check;
    let fix = fix
        .as_ref()
        .map_or(String::new(), |fix| format!("; to do: {fix}"));
    format!("{:<8} {what:<11} {text}{fix}\n", verdict.as_str())
}

fn as_json(file: &File, checks: &[Check]) -> String {
    let checks: Vec<_> = checks
        .iter()
        .map(
            |Check {
                 what,
                 verdict,
                 text,
                 fix,
             }| json!({"verdict": verdict.as_str(), "check": what, "text": text, "fix": fix}),
        )
        .collect();
    let path = file.path.display().to_string();
    format!("{}\n", json!({"plugin": path, "checks": checks}))
}
