//! Reads a plugin's manifest from its section `lightmon:manifest`, which the SDK writes. Runs none of its code.
//!
//! The manifest gives a plugin no rights: the role `redactor`, for example, only makes lightmon more careful.

use memchr::memmem;
use serde::Deserialize;
use serde_json::{Map, Value};
use wasmparser::{Parser, Payload};

/// The purpose of a plugin.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Drops and tags events.
    #[default]
    Filter,
    /// Hides secrets: events that it could not process must not be written.
    Redactor,
    /// Writes output lines.
    Formatter,
}

/// The known parts of the manifest.
#[derive(Default)]
pub(crate) struct Manifest {
    pub(crate) role: Role,
    /// The tables that the plugin asks for.
    pub(crate) permissions: Vec<Permission>,
    /// The JSON Schema of the settings.
    pub(crate) config: Value,
}

/// A table that the plugin asks for.
#[derive(Deserialize)]
pub(crate) struct Permission {
    pub(crate) table: String,
    pub(crate) why: Option<String>,
    /// Whether the plugin works without the table.
    #[serde(default)]
    pub(crate) optional: bool,
}

impl Manifest {
    /// Reads the manifest of a plugin's file. Invalid parts get their default.
    pub(crate) fn of(wasm: &[u8]) -> Option<Self> {
        let sections = Parser::new(0).parse_all(wasm).map_while(Result::ok);
        let mut parts: Map<String, Value> = sections
            .filter_map(|payload| match payload {
                Payload::CustomSection(section) if section.name() == "lightmon:manifest" => {
                    serde_json::from_slice(section.data()).ok()
                }
                _ => None,
            })
            .next()?;
        let mut part = |key: &str| parts.remove(key).unwrap_or_default();
        Some(Self {
            role: serde_json::from_value(part("role")).unwrap_or_default(),
            config: part("config"),
            permissions: serde_json::from_value(part("permissions")).unwrap_or_default(),
        })
    }
}

/// Whether a plugin contains the runtime of Python or JavaScript. The tools for these languages write no common section, but they
/// leave these names. A plugin that contains such a name without need gets more memory; the user can limit the memory.
pub(crate) fn brings_a_runtime(wasm: &[u8]) -> bool {
    let names = ["libpython3.", "componentize_py_runtime", "StarlingMonkey"];
    names
        .iter()
        .any(|name| memmem::find(wasm, name.as_bytes()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_manifest(text: &str) -> Vec<u8> {
        let text = text.replace('"', "\\\"");
        wat::parse_str(format!(
            r#"(module (@custom "lightmon:manifest" "{text}"))"#
        ))
        .unwrap()
    }

    #[test]
    fn roles() {
        for (manifest, expect) in [
            (r#"{"name":"a","role":"redactor"}"#, Role::Redactor),
            (r#"{"role":"formatter"}"#, Role::Formatter),
            (r#"{"role":"filter"}"#, Role::Filter),
            ("{}", Role::Filter),
            (r#"{"role":"king"}"#, Role::Filter),
            ("nonsense", Role::Filter),
        ] {
            let role = Manifest::of(&with_manifest(manifest))
                .unwrap_or_default()
                .role;
            assert_eq!(role, expect, "{manifest}");
        }
        assert!(Manifest::of(b"\0asm").is_none());
        assert!(Manifest::of(b"").is_none());
    }
}
