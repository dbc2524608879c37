//! `lightmon plugin inspect`: shows a plugin's manifest and interface. Does not run the plugin.

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use wit_component::{DecodedWasm, WitPrinter};

use super::{Done, file::File, manifest, plugin::Plugin, print, size};

use lightmon_event::escape::printable;

/// Show a plugin's manifest and interface, without running it
///
/// Name, version, settings and permissions come from the manifest. The fields and events that a plugin asks for are known only
/// when it runs, so they are not shown.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Use this plugin: a .wasm file, or a project to build
    #[arg(value_name = "PLUGIN", default_value = ".")]
    plugin: String,

    /// Write one JSON object
    #[arg(long)]
    json: bool,

    /// Write the interface as WIT
    #[arg(long, conflicts_with = "json")]
    wit: bool,
}

pub(super) fn run(args: Args) -> anyhow::Result<Done> {
    let plugin = Plugin::open(&args.plugin)?;
    let file = File::read(&plugin.spec.path)?;
    if !file.bytes.starts_with(b"\0asm") {
        bail!(
            "{} is not WebAssembly; pass the .wasm file that the build wrote",
            printable(&file.path.to_string_lossy())
        );
    }
    print(&match (args.wit, args.json) {
        (true, _) => wit(&file)?,
        (false, true) => format!("{}\n", as_json(&file)),
        (false, false) => as_text(&file),
    })?;
    Ok(Done::Success)
}

fn as_text(file: &File) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            text.push_str(&format!("{key:<12} {value}\n"));
        }
    };
    line("name", Some(file.name()));
    for key in ["version", "description", "license", "homepage", "notice"] {
        line(key, file.text(key));
    }
    line(
        "role",
        Some(file.text("role").unwrap_or("filter".to_owned())),
    );
    line("example", file.text("example"));
    if let Some(Ok(manifest)) = &file.manifest {
        for (name, setting) in settings(manifest) {
            line(
                "setting",
                Some(format!("{} {}", printable(name), describe(setting))),
            );
        }
        for (table, why, is_optional) in manifest::tables(manifest) {
            let optional = if is_optional { " (optional)" } else { "" };
            line(
                "permission",
                Some(format!(
                    "table `{}`{optional}: {}",
                    printable(table),
                    printable(why)
                )),
            );
        }
    } else {
        line("manifest", Some("none".to_owned()));
    }
    line("contract", file.contract().map(printable));
    for (key, names) in [("import", &file.imports), ("export", &file.exports)] {
        for name in names {
            line(key, Some(printable(name)));
        }
    }
    line("language", file.language.clone());
    let kind = if file.is_component {
        "component"
    } else {
        "core module"
    };
    line(
        "file",
        Some(format!("{kind}, {}", size(file.bytes.len() as u64))),
    );
    line("sha256", Some(file.sha256()));
    text
}

fn as_json(file: &File) -> Value {
    json!({
        "name": file.name(),
        "manifest": file.manifest.as_ref().and_then(|manifest| manifest.as_ref().ok()),
        "contract": file.contract(),
        "imports": file.imports,
        "exports": file.exports,
        "language": file.language,
        "component": file.is_component,
        "bytes": file.bytes.len(),
        "sha256": file.sha256(),
    })
}

/// The settings in the manifest's JSON Schema.
fn settings(manifest: &serde_json::Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let properties = manifest
        .get("config")
        .and_then(|config| config.get("properties"));
    properties.and_then(Value::as_object).into_iter().flatten()
}

/// Describes a setting: `integer, default 100: milliseconds that are slow`.
fn describe(setting: &Value) -> String {
    let text = |key: &str| setting.get(key).and_then(Value::as_str).map(printable);
    let mut described = text("type").unwrap_or("any".to_owned());
    if let Some(default) = setting.get("default") {
        described.push_str(&format!(", default {}", printable(&default.to_string())));
    }
    if let Some(description) = text("description") {
        described.push_str(&format!(": {description}"));
    }
    described
}

fn wit(file: &File) -> anyhow::Result<String> {
    let encoded;
    let component = match file.is_component {
        true => &file.bytes,
        false => {
            encoded = lightmon_plugin_host::component(&file.bytes)
                .map_err(|reason| anyhow::anyhow!("the file {reason}"))?;
            &encoded
        }
    };
    let decoded = wit_component::decode(component).context("read the interface")?;
    let mut printer = WitPrinter::default();
    let DecodedWasm::Component(resolve, world) = &decoded else {
        bail!("the file is an interface, not a plugin");
    };
    let package = resolve.worlds[*world]
        .package
        .context("the world has no package")?;
    let others: Vec<_> = resolve
        .packages
        .iter()
        .map(|(id, _)| id)
        .filter(|id| *id != package)
        .collect();
    printer.print(resolve, package, &others)?;
    Ok(printer.output.to_string())
}
