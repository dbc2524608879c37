//! `lightmon plugin check`: says whether lightmon accepts a plugin, and what to do if not. Reads the file first, then loads the
//! plugin as a run does.

use serde_json::json;

use super::{Done, file::File, load, manifest, plugin::Plugin, print, size};
use lightmon_event::escape::printable;
use lightmon_plugin_host::{Limits, Reason};

/// A larger file gets a warning. Plugins in Python and JavaScript contain the runtime of their language.
const LARGE_FILE_BYTES: u64 = 32 << 20;

/// Check whether lightmon accepts a plugin
///
/// Reads contract, imports, exports, manifest and size of the file. Then loads and starts the plugin under the limits of a run,
/// with the given settings. Says what to do about each defect.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 accepted, perhaps with warnings, 1 rejected, 2 wrong usage.")]
pub(super) struct Args {
    /// Use this plugin: a .wasm file, or a project to build
    #[arg(value_name = "PLUGIN[:KEY=VALUE,…]", default_value = ".")]
    plugin: String,

    /// Write one JSON object
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

/// One line of the result.
struct Check {
    what: &'static str,
    verdict: Verdict,
    text: String,
    /// What to do, unless the verdict is `fine`.
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
        Ok(_) => Check::fine("start", "the plugin starts with these settings"),
        Err(error) => start(&error.reason),
    });
    let is_wrong = checks.iter().any(|check| check.verdict == Verdict::Wrong);
    let text = match args.json {
        true => as_json(&file, &checks),
        false => checks.iter().map(line).collect(),
    };
    print(&text)?;
    Ok(if is_wrong {
        Done::Defects
    } else {
        Done::Success
    })
}

fn format(file: &File) -> Check {
    match (file.is_component, file.bytes.starts_with(b"\0asm")) {
        (true, _) => Check::fine("format", "a component"),
        (false, true) => Check::fine(
            "format",
            "a core module, which lightmon converts to a component",
        ),
        (false, false) => Check::wrong(
            "format",
            "not WebAssembly",
            "pass the .wasm file that the build wrote",
        ),
    }
}

fn bytes(file: &File) -> Check {
    let bytes = file.bytes.len() as u64;
    let limit = Limits::default().file;
    match bytes {
        n if n > limit => Check::wrong(
            "size",
            format!("{}, the limit is {}", size(n), size(limit)),
            "build with optimisation and without debug information",
        ),
        n if n > LARGE_FILE_BYTES => Check::warning(
            "size",
            format!("{}: the first start compiles it and takes long", size(n)),
            "build with optimisation and without debug information",
        ),
        n => Check::fine("size", size(n)),
    }
}

fn contract(file: &File) -> Check {
    match file.contract() {
        Some(version) => Check::fine("contract", format!("version {}", printable(version))),
        None => Check::wrong(
            "contract",
            "the file does not export lightmon:plugin/filter",
            "build with `lightmon plugin build`, or with the SDK of the language",
        ),
    }
}

fn import(name: &str) -> Check {
    let shown = printable(name);
    let known = name.split_once('@').map_or(name, |(name, _)| name);
    match known.strip_prefix("lightmon:plugin/") {
        Some("types") => Check::fine("import", format!("{shown}: types only")),
        Some("log" | "counter" | "kv") => {
            Check::fine("import", format!("{shown}: available to every plugin"))
        }
        Some("tables") => Check::fine(
            "import",
            format!("{shown}: look-up tables, if the user grants them"),
        ),
        Some(_) => Check::wrong(
            "import",
            format!("{shown}: not in this version of lightmon"),
            "build for the contract in `wit/`, or upgrade lightmon",
        ),
        None if lightmon_plugin_host::is_provided(name) => Check::fine(
            "import",
            format!("{shown}: clock, random numbers and log; no files, no network"),
        ),
        None => Check::wrong(
            "import",
            format!("{shown}: not available to plugins"),
            "build without this import; plugins can use the contract only",
        ),
    }
}

fn exports(file: &File) -> Vec<Check> {
    let exports = file.exports.iter().filter_map(|name| {
        let (known, _) = name.split_once('@')?;
        Some(match known.strip_prefix("lightmon:plugin/")? {
            "filter" => Check::fine("export", "filter: lightmon passes events"),
            "tick" => Check::fine("export", "tick: lightmon calls it periodically"),
            "stop" => Check::fine("export", "stop: lightmon calls it at the end"),
            _ => Check::warning(
                "export",
                format!("{}: lightmon does not call it", printable(name)),
                "remove this export, or upgrade lightmon",
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
                "none: lightmon names the plugin after its file, and shows neither version nor settings",
                "add plugin.json to the project; in Rust, `register!` writes it",
            )];
        }
        Some(Err(reason)) => {
            return vec![Check::wrong(
                "manifest",
                printable(reason),
                "build the plugin again",
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
                "correct plugin.json, and build the plugin again",
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
                    "add `config`, a JSON Schema; without properties if there are no settings",
                ),
                "license" => ("no licence", "add `license`, the licence of the plugin"),
                _ => ("no description", "add `description`, one line"),
            };
            checks.push(Check::warning("manifest", text, fix));
        }
    }
    for (table, why, is_optional) in manifest::tables(manifest) {
        let (table, why) = (printable(table), printable(why));
        let need = if is_optional { "asks for" } else { "needs" };
        checks.push(Check::fine(
            "permission",
            format!("{need} the table `{table}`: {why}; grant it with table.{table}=FILE"),
        ));
    }
    checks
}

fn start(reason: &Reason) -> Check {
    let text = reason.to_string();
    // The host's text says what to do, behind the colon.
    match text.split_once(": ") {
        Some((what, fix)) if !matches!(reason, Reason::Refused(_) | Reason::Init(_)) => {
            Check::wrong("start", what, fix)
        }
        _ => Check::wrong(
            "start",
            text,
            "pass the settings that the plugin needs, as in `FILE:KEY=VALUE`, or correct the plugin",
        ),
    }
}

/// Formats `fine     contract    version 0.1.0`.
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
