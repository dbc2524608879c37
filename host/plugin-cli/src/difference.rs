//! Compares two JSON values field by field. Knows neither events nor plugins.

use serde_json::Value;

use lightmon_event::escape::printable;

/// Describes each field that differs: `+ tags.slow "23 ms"`, `- user "root"`, `procArgs[1] "x" → "***"`.
pub(super) fn fields(before: &Value, after: &Value) -> Vec<String> {
    let mut fields = Vec::new();
    compare("", Some(before), Some(after), &mut fields);
    fields
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, fields: &mut Vec<String>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let new = after.keys().filter(|key| !before.contains_key(*key));
            for key in before.keys().chain(new) {
                let path = match path {
                    "" => key.clone(),
                    path => format!("{path}.{key}"),
                };
                compare(&path, before.get(key), after.get(key), fields);
            }
        }
        // A new object is reported field by field.
        (None, Some(Value::Object(after))) => {
            for (key, value) in after {
                compare(&format!("{path}.{key}"), None, Some(value), fields);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for i in 0..before.len().max(after.len()) {
                compare(&format!("{path}[{i}]"), before.get(i), after.get(i), fields);
            }
        }
        (Some(before), Some(after)) => {
            fields.push(format!(
                "{} {} → {}",
                printable(path),
                shown(before),
                shown(after)
            ));
        }
        (None, Some(after)) => fields.push(format!("+ {} {}", printable(path), shown(after))),
        (Some(before), None) => fields.push(format!("- {} {}", printable(path), shown(before))),
        (None, None) => {}
    }
}

fn shown(value: &Value) -> String {
    printable(&value.to_string())
}

/// Pairs the keys of `before` and `after` by their longest common subsequence.
pub(super) fn align<K: PartialEq>(
    before: &[K],
    after: &[K],
) -> Vec<(Option<usize>, Option<usize>)> {
    let mut longest = vec![vec![0_u32; after.len() + 1]; before.len() + 1];
    for i in (0..before.len()).rev() {
        for j in (0..after.len()).rev() {
            longest[i][j] = match before[i] == after[j] {
                true => longest[i + 1][j + 1] + 1,
                false => longest[i + 1][j].max(longest[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < before.len() || j < after.len() {
        if i < before.len() && j < after.len() && before[i] == after[j] {
            pairs.push((Some(i), Some(j)));
            (i, j) = (i + 1, j + 1);
        } else if j == after.len() || (i < before.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            pairs.push((Some(i), None));
            i += 1;
        } else {
            pairs.push((None, Some(j)));
            j += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differing_fields_are_described() {
        let before = json!({"user": "root", "procArgs": ["curl", "x"], "uid": 0, "gone": 1});
        let after = json!({"user": "user1", "procArgs": ["curl", "***"], "uid": 0, "tags": {"a": "\u{202e}"}});
        assert_eq!(
            fields(&before, &after),
            [
                r#"- gone 1"#,
                r#"procArgs[1] "x" → "***""#,
                r#"user "root" → "user1""#,
                r#"+ tags.a "\u{202e}""#,
            ]
        );
        assert!(fields(&before, &before).is_empty());
    }

    #[test]
    fn missing_and_new_keys_have_no_partner() {
        let (before, after) = (["a", "b", "c"], ["a", "c", "d"]);
        assert_eq!(
            align(&before, &after),
            [
                (Some(0), Some(0)),
                (Some(1), None),
                (Some(2), Some(1)),
                (None, Some(2))
            ]
        );
        assert_eq!(align::<&str>(&[], &[]), []);
    }
}
