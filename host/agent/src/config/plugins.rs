//! An entry of `plugins` in config.yaml: the same as `--plugin` takes, with settings of any type.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Map, Value};

use lightmon_plugin_host::{Digest, LimitOverrides, OnFault, Spec};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plugin {
    path: PathBuf,
    #[serde(default, deserialize_with = "digest")]
    sha256: Option<Digest>,
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default)]
    grant: Grant,
    #[serde(default, deserialize_with = "limits")]
    limits: LimitOverrides,
    on_fault: Option<OnFault>,
    when: Option<String>,
    #[serde(default)]
    optional: bool,
}

/// What it may use.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    #[serde(default)]
    tables: BTreeMap<String, PathBuf>,
}

impl From<Plugin> for Spec {
    fn from(plugin: Plugin) -> Self {
        Self {
            path: plugin.path,
            config: plugin.config,
            on_fault: plugin.on_fault,
            limits: plugin.limits,
            sha256: plugin.sha256,
            optional: plugin.optional,
            when: plugin.when,
            tables: plugin.grant.tables,
        }
    }
}

fn digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Digest>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(Error::custom)
}

fn limits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LimitOverrides, D::Error> {
    let mut limits = LimitOverrides::default();
    for (name, value) in Map::<String, Value>::deserialize(deserializer)? {
        // A size or a number may be written without quotes.
        let value = match value {
            Value::String(text) => text,
            value => value.to_string(),
        };
        limits.set(&name, &value).map_err(Error::custom)?;
    }
    Ok(limits)
}
