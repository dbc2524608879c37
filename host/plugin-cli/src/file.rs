//! A plugin's file, read and not run: what it imports and exports, what it says of itself, what it was made with.

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

/// The exported interface, before its version.
const FILTER: &str = "lightmon:plugin/filter@";

/// What is in the file.
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// Full names of interfaces and functions, sorted.
    pub(super) imports: BTreeSet<String>,
    pub(super) exports: BTreeSet<String>,
    /// The first of what it was made with, such as `Rust 1.96.0`.
    pub(super) language: Option<String>,
    /// As text if it is damaged.
    pub(super) manifest: Option<Result<Map<String, Value>, String>>,
    pub(super) is_component: bool,
}

impl File {
    /// Reads it; what is no WebAssembly has neither imports nor exports.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = printable(&path.to_string_lossy());
        let is_file = path
            .metadata()
            .map_err(|error| Usage(format!("plugin {shown}: can't be read: {error}")))?
            .is_file();
        if !is_file {
            return Err(Usage(format!(
                "plugin {shown}: is neither a file nor a project's folder"
            ))
            .into());
        }
        let bytes = fs::read(path).with_context(|| format!("read {shown}"))?;
        let is_component = Parser::is_component(&bytes);
        // What is damaged is for the loader to judge.
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

    /// The version of the contract that it names.
    pub(super) fn contract(&self) -> Option<&str> {
        self.exports
            .iter()
            .find_map(|name| name.strip_prefix(FILTER))
    }

    /// By its manifest, or else by the file.
    pub(super) fn name(&self) -> String {
        self.text("name").unwrap_or_else(|| {
            let stem = self.path.file_stem().unwrap_or(self.path.as_os_str());
            printable(&stem.to_string_lossy())
        })
    }

    /// A text of the manifest, fit to be shown.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let manifest = self.manifest.as_ref()?.as_ref().ok()?;
        manifest.get(key)?.as_str().map(printable)
    }

    /// What `sha256=` wants.
    pub(super) fn sha256(&self) -> String {
        let digest = Sha256::digest(&self.bytes);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

type Names = (BTreeSet<String>, BTreeSet<String>);

/// What a component imports and exports; not what is inside of it does.
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

/// By the sections `producers`: Rust, C11, Go… with its version; else by the tool that has made it.
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
