//! Reads and validates a plugin's manifest for its author, who sees every defect. The plugin host has a reader of its own, which
//! takes only the keys that it needs.

use serde_json::{Map, Value};
use wasmparser::{Parser, Payload};

/// Name of the custom section with the manifest.
pub(super) const SECTION: &str = "lightmon:manifest";

/// Key that only `lightmon plugin build` reads: the world of the plugin.
const WORLD: &str = "world";

const TEXTS: [&str; 7] = [
    "name",
    "version",
    "description",
    "license",
    "homepage",
    "example",
    "notice",
];
const ROLES: [&str; 3] = ["filter", "redactor", "formatter"];
const WORLDS: [&str; 2] = ["plugin", "complete-plugin"];

/// Returns the manifest of a WebAssembly file.
pub(super) fn of(wasm: &[u8]) -> Option<&[u8]> {
    let mut sections = Parser::new(0).parse_all(wasm).map_while(Result::ok);
    sections.find_map(|payload| match payload {
        Payload::CustomSection(section) if section.name() == SECTION => Some(section.data()),
        _ => None,
    })
}

/// Parses a manifest, which must be a JSON object.
pub(super) fn parse(json: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(json) {
        Ok(Value::Object(manifest)) => Ok(manifest),
        Ok(_) => Err("is not a JSON object".to_owned()),
        Err(error) => Err(format!("is not JSON: {error}")),
    }
}

/// Returns all defects: the key, and what is expected.
pub(super) fn problems(manifest: &Map<String, Value>) -> Vec<String> {
    let mut problems = Vec::new();
    for (key, value) in manifest {
        let expected = match key.as_str() {
            key if TEXTS.contains(&key) => value.is_string().then_some(()).ok_or("a text"),
            "role" => one_of(value, &ROLES).ok_or("filter, redactor or formatter"),
            WORLD => one_of(value, &WORLDS).ok_or("plugin or complete-plugin"),
            "config" => schema(value).ok_or("a JSON Schema of an object"),
            "permissions" => permissions(value).ok_or(
                r#"a list of {"table": "NAME", "why": "…"}, with "optional": true where the plugin works without the table"#,
            ),
            _ => {
                problems.push(format!("`{key}` is not a key of a manifest"));
                continue;
            }
        };
        if let Err(expected) = expected {
            problems.push(format!("`{key}` must be {expected}"));
        }
    }
    problems
}

/// Returns the manifest as it is embedded: without the keys for the build.
pub(super) fn section(mut manifest: Map<String, Value>) -> Vec<u8> {
    manifest.remove(WORLD);
    Value::Object(manifest).to_string().into_bytes()
}

/// Returns the world of a plugin in Python or JavaScript.
pub(super) fn world(manifest: &Map<String, Value>) -> &str {
    match manifest.get(WORLD) {
        Some(Value::String(world)) => world,
        _ => WORLDS[0],
    }
}

/// Returns the tables that the plugin asks for: name, reason, and whether the table is optional.
pub(super) fn tables(manifest: &Map<String, Value>) -> impl Iterator<Item = (&str, &str, bool)> {
    let permissions = manifest.get("permissions").and_then(Value::as_array);
    permissions.into_iter().flatten().filter_map(|permission| {
        let text = |key: &str| permission.get(key).and_then(Value::as_str);
        let is_optional = permission.get("optional") == Some(&Value::Bool(true));
        Some((text("table")?, text("why").unwrap_or_default(), is_optional))
    })
}

fn one_of(value: &Value, words: &[&str]) -> Option<()> {
    words.contains(&value.as_str()?).then_some(())
}

fn schema(value: &Value) -> Option<()> {
    let is_object = value.get("type").is_none_or(|word| word == "object");
    let properties = value.get("properties").is_none_or(Value::is_object);
    (value.is_object() && is_object && properties).then_some(())
}

fn permissions(value: &Value) -> Option<()> {
    let is_permission = |permission: &Value| {
        let keys = permission.as_object()?.keys();
        let known = keys
            .clone()
            .all(|key| ["table", "why", "optional"].contains(&&**key));
        let optional = permission.get("optional").is_none_or(Value::is_boolean);
        let texts = permission["table"].is_string() && permission["why"].is_string();
        (known && optional && texts).then_some(())
    };
    value.as_array()?.iter().try_for_each(is_permission)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Vec<String> {
        problems(&parse(json.as_bytes()).unwrap())
    }

    #[test]
    fn each_defect_names_its_key() {
        assert!(check("{}").is_empty());
        let good = r#"{"name":"a","version":"1","role":"redactor","world":"complete-plugin","config":{"type":"object","properties":{}},
            "permissions":[{"table":"country","why":"to tag","optional":true},{"table":"x","why":""}]}"#;
        assert_eq!(check(good), [""; 0]);
        assert_eq!(
            check(
                r#"{"name":1,"role":"king","rolle":"x","permissions":[{"table":"x"}],"config":[]}"#
            ),
            [
                "`config` must be a JSON Schema of an object",
                "`name` must be a text",
                r#"`permissions` must be a list of {"table": "NAME", "why": "…"}, with "optional": true where the plugin works without the table"#,
                "`role` must be filter, redactor or formatter",
                "`rolle` is not a key of a manifest",
            ]
        );
        assert_eq!(parse(b"[]"), Err("is not a JSON object".to_owned()));
        assert!(parse(b"{").unwrap_err().starts_with("is not JSON: "));
    }

    #[test]
    fn keys_for_the_build_are_not_embedded() {
        let manifest = parse(br#"{"name":"a","world":"complete-plugin"}"#).unwrap();
        assert_eq!(world(&manifest), "complete-plugin");
        assert_eq!(section(manifest), br#"{"name":"a"}"#);
        assert_eq!(world(&Map::new()), "plugin");
    }
}
