//! Checks the keys of a plugin's settings against its manifest, so that typing errors are found before the plugin runs.
//! The plugin itself checks the values.

use serde_json::{Map, Value};

use lightmon_event::escape::printable;

/// Checks the simple parts of a JSON Schema: `properties`, `required` and `additionalProperties`.
pub(crate) fn check(settings: &Map<String, Value>, schema: &Value) -> Result<(), String> {
    let known: Vec<&str> = match &schema["properties"] {
        Value::Object(properties) => properties.keys().map(|key| &**key).collect(),
        _ => Vec::new(),
    };
    let known_keys = || match &known[..] {
        [] => "the plugin has no settings".to_owned(),
        known => format!("the settings are {}", printable(&known.join(", "))),
    };
    let is_closed = schema["additionalProperties"] == Value::Bool(false);
    let unknown = settings.keys().find(|key| !known.contains(&&***key));
    if let Some(key) = unknown.filter(|_| is_closed) {
        return Err(format!(
            "has no setting `{}`: {}",
            printable(key),
            known_keys()
        ));
    }
    let required = schema["required"].as_array().into_iter().flatten();
    let mut required = required.filter_map(Value::as_str);
    match required.find(|key| !settings.contains_key(*key)) {
        Some(key) => Err(format!(
            "needs the setting `{}`: {}",
            printable(key),
            known_keys()
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_checked_by_the_schema() {
        let closed = json!({"properties": {"keys": {}, "mode": {}}, "required": ["keys"], "additionalProperties": false});
        for (settings, schema, expected) in [
            (json!({"keys": 1}), &closed, Ok(())),
            (
                json!({"keys": 1, "kyes": 2}),
                &closed,
                Err("has no setting `kyes`: the settings are keys, mode"),
            ),
            (
                json!({"mode": 1}),
                &closed,
                Err("needs the setting `keys`: the settings are keys, mode"),
            ),
            (
                json!({"a": 1}),
                &json!({"additionalProperties": false}),
                Err("has no setting `a`: the plugin has no settings"),
            ),
            (json!({"a": 1}), &json!({"properties": {}}), Ok(())),
            (
                json!({"a": 1}),
                &json!({"properties": [], "required": 7}),
                Ok(()),
            ),
            (json!({"a": 1}), &Value::Null, Ok(())),
            (json!({"a": 1}), &json!("text"), Ok(())),
        ] {
            let result = check(settings.as_object().unwrap(), schema);
            assert_eq!(result, expected.map_err(str::to_owned), "{settings}");
        }
    }
}
