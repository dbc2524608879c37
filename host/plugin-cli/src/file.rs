//! Reads a plugin's file: imports, exports, manifest, and the tools that built it. Does not run the plugin.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use wasmparser::{BinaryReaderError, KnownCustom, Parser, Payload};

use super::{Usage, manifest};

use lightmon_event::escape::printable;

/// The interface that a plugin exports, without the version.
const FILTER: &str = "lightmon:plugin/filter@";

/// Content of a plugin's file.
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// Full names of interfaces and functions, sorted.
    pub(super) imports: BTreeSet<String>,
    pub(super) exports: BTreeSet<String>,
    /// The language or tool that built the file, such as `Rust 1.96.0`.
    pub(super) language: Option<String>,
    /// The error is what is wrong with the manifest.
    pub(super) manifest: Option<Result<Map<String, Value>, String>>,
    pub(super) is_component: bool,
}

impl File {
    /// Reads the file. A file that is not WebAssembly has neither imports nor exports.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = printable(&path.to_string_lossy());
        let is_file = path
            .metadata()
            .map_err(|error| Usage(format!("plugin {shown}: cannot be read: {error}")))?
            .is_file();
        if !is_file {
            return Err(Usage(format!(
                "plugin {shown}: is neither a .wasm file nor the folder of a project"
            ))
            .into());
        }
        let bytes = fs::read(path).with_context(|| format!("read {shown}"))?;
        let is_component = Parser::is_component(&bytes);
        // If the file is damaged, the loader reports it.
        let (imports, exports) = match is_component {
            true => names(&bytes).unwrap_or_default(),
            false => lightmon_plugin_host::component(&bytes)
                .ok()
                .and_then(|component| names(&component).ok())
                .unwrap_or_default(),
        };
        Ok(Self {
            path: path.to_owned(),
            imports,
            exports,
            language: language(&bytes),
            manifest: manifest::of(&bytes).map(manifest::parse),
            is_component,
            bytes,
        })
    }

    /// The version of the contract that the file exports.
    pub(super) fn contract(&self) -> Option<&str> {
        self.exports
            .iter()
            .find_map(|name| name.strip_prefix(FILTER))
    }

    /// The name in the manifest, or else of the file.
    pub(super) fn name(&self) -> String {
        self.text("name").unwrap_or_else(|| {
            let stem = self.path.file_stem().unwrap_or(self.path.as_os_str());
            printable(&stem.to_string_lossy())
        })
    }

    /// Returns a text of the manifest, escaped for display.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let manifest = self.manifest.as_ref()?.as_ref().ok()?;
        manifest.get(key)?.as_str().map(printable)
    }

    /// The digest for the key `sha256=`.
    pub(super) fn sha256(&self) -> String {
        let digest = Sha256::digest(&self.bytes);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

type Names = (BTreeSet<String>, BTreeSet<String>);

/// Returns the imports and exports of a component, without those of nested components.
fn names(component: &[u8]) -> Result<Names, BinaryReaderError> {
    let (mut names, mut depth) = (Names::default(), 0_u32);
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 1 => {
                for import in imports {
                    names.0.insert(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(exports) if depth == 1 => {
                for export in exports {
                    names.1.insert(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Returns language and version from the sections `producers`, or else the tool that built the file.
fn language(wasm: &[u8]) -> Option<String> {
    let mut tool = None;
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        let Payload::CustomSection(section) = payload else {
            continue;
        };
        let KnownCustom::Producers(fields) = section.as_known() else {
            continue;
        };
        for field in fields.into_iter().map_while(Result::ok) {
            let mut values = field.values.into_iter().map_while(Result::ok);
            match (field.name, values.next()) {
                ("language", Some(value)) => {
                    return Some(printable(
                        format!("{} {}", value.name, value.version).trim(),
                    ));
                }
                ("processed-by", Some(value)) if !value.name.starts_with("wit-") => {
                    let value = format!("{} {}", value.name, value.version);
                    tool.get_or_insert(printable(value.trim()));
                }
                _ => {}
            }
        }
    }
    tool
}
