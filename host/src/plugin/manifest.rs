//! What a plugin says of itself in its section `lightmon:manifest`, which the SDK writes. Runs nothing, and believes it
//! only what costs nobody anything: a redactor asks for more care, not for more rights.

use serde::Deserialize;
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

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    role: Role,
}

/// The role that the manifest names; a filter without one.
pub(super) fn role(wasm: &[u8]) -> Role {
    let sections = Parser::new(0).parse_all(wasm).map_while(Result::ok);
    sections
        .filter_map(|payload| match payload {
            Payload::CustomSection(section) if section.name() == "lightmon:manifest" => {
                serde_json::from_slice(section.data()).ok()
            }
            _ => None,
        })
        .map(|Manifest { role }| role)
        .next()
        .unwrap_or_default()
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
            assert_eq!(role(&with_manifest(manifest)), expect, "{manifest}");
        }
        assert_eq!(role(b"\0asm"), Role::Filter);
        assert_eq!(role(b""), Role::Filter);
    }
}
