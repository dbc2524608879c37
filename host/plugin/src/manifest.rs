//! What a plugin says of itself in its section `lightmon:manifest`, which the SDK writes. Runs nothing, and believes it
//! only what costs nobody anything: a redactor asks for more care, not for more rights.

use memchr::memmem;
use serde::Deserialize;
use serde_json::{Map, Value};
use wasmparser::{Parser, Payload};

/// What a plugin is for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// Drops and tags.
    #[default]
    Filter,
    /// Hides what must not get out: what it could not see must not either.
    Redactor,
    /// Writes lines.
    Formatter,
}

/// The manifest, as far as it is understood.
#[derive(Default)]
pub(super) struct Manifest {
    pub(super) role: Role,
    /// The look-up files that it asks for.
    pub(super) permissions: Vec<Permission>,
    /// The JSON Schema of its settings.
    pub(super) config: Value,
}

/// A look-up file that it asks for.
#[derive(Deserialize)]
pub(super) struct Permission {
    pub(super) table: String,
    pub(super) why: Option<String>,
    /// Whether it can do without.
    #[serde(default)]
    pub(super) optional: bool,
}

impl Manifest {
    /// The manifest in a plugin's file; of parts that nobody can understand, the default.
    pub(super) fn of(wasm: &[u8]) -> Option<Self> {
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

/// Whether a plugin was made of Python or JavaScript, whose runtimes are part of it. Their tools say so in no section that they
/// all write, but leave these names. Who writes one into a plugin in order to be believed gets more memory, which a user can
/// set.
pub(super) fn brings_a_runtime(wasm: &[u8]) -> bool {
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
