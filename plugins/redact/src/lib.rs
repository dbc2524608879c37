//! Masks secrets in the arguments of processes and the labels of containers: passwords, tokens and keys in the usual forms. In
//! doubt, masks a text. Cannot detect a secret without a known name, flag or form.

mod cache;
mod flag;
mod name;
mod text;

use std::{ops::Range, ptr, rc::Rc};

use lightmon_plugin::{Actions, Batch, Config, Event, Field, Fields, Plugin, Role, Verdict};
use serde::Deserialize;

use crate::{cache::ChangeCache, name::Names};

/// Maximum size of the arguments of a process, or the labels of a container, that the plugin searches. It masks the rest without
/// a search.
const MAX_SCANNED_BYTES: usize = 64 << 10;

/// Maximum size of all changed arguments of a process. Beyond this, the plugin masks whole arguments: the host rejects longer
/// texts, and would keep the secret.
const MAX_ARGUMENT_CHANGE_BYTES: usize = 12 << 10;

/// Maximum size of all changed labels of a container, keys included. With these limits, the changes of 256 events fit into the
/// 4 MiB that the host accepts.
const MAX_LABEL_CHANGE_BYTES: usize = 2 << 10;

/// Maximum length of the setting `mask`.
const MAX_MASK_BYTES: usize = 64;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Names of secrets, in addition to the built-in ones.
    keys: Vec<String>,
    /// The text that replaces a secret.
    mask: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keys: vec![],
            mask: "***".to_owned(),
        }
    }
}

/// The plugin.
struct Redact {
    secrets: Secrets,
    args: ChangeCache<String, (usize, String)>,
    labels: ChangeCache<(String, String), (String, String)>,
}

impl Redact {
    /// See [`Secrets::arguments`].
    fn arguments(&mut self, args: &[String]) -> Rc<[(usize, String)]> {
        let bytes = args.iter().map(String::len).sum();
        let find = || self.secrets.arguments(args);
        self.args.changes(args, bytes, find)
    }

    /// See [`Secrets::labels`].
    fn labels(&mut self, labels: &[(String, String)]) -> Rc<[(String, String)]> {
        let bytes = labels.iter().map(|(key, value)| key.len() + value.len());
        let find = || self.secrets.labels(labels);
        self.labels.changes(labels, bytes.sum(), find)
    }
}

/// Finds secrets and replaces them.
struct Secrets {
    names: Names,
    mask: String,
}

impl Secrets {
    /// The changed arguments: the index and the new text of each.
    fn arguments(&self, args: &[String]) -> Vec<(usize, String)> {
        let mut left = Some(MAX_SCANNED_BYTES);
        let seen: Vec<&str> = args
            .iter()
            .map(|arg| {
                left = left.and_then(|left| left.checked_sub(arg.len()));
                if left.is_some() { arg } else { "" }
            })
            .collect();
        let mut room = MAX_ARGUMENT_CHANGE_BYTES;
        let mut changes = vec![];
        for (i, value) in flag::values(&seen, &self.names).into_iter().enumerate() {
            let mut secrets: Vec<_> = value.into_iter().collect();
            text::secrets(seen[i], &self.names, &mut secrets);
            secrets.push(seen[i].len()..args[i].len());
            let Some(mut text) = self.mask(&args[i], secrets) else {
                continue;
            };
            if text.len() > room {
                text.clone_from(&self.mask);
            }
            room = room.saturating_sub(text.len());
            if text != args[i] {
                changes.push((i, text));
            }
        }
        changes
    }

    /// The changed labels: the key and the new value of each.
    fn labels(&self, labels: &[(String, String)]) -> Vec<(String, String)> {
        let mut left = Some(MAX_SCANNED_BYTES);
        let mut room = MAX_LABEL_CHANGE_BYTES;
        let mut changes = vec![];
        for (key, value) in labels {
            left = left.and_then(|left| left.checked_sub(key.len() + value.len()));
            let mut secrets = vec![];
            if left.is_none() || self.names.is_secret(key) {
                secrets.push(0..value.len());
            } else {
                text::secrets(value, &self.names, &mut secrets);
            }
            let Some(mut text) = self.mask(value, secrets) else {
                continue;
            };
            if key.len() + text.len() > room {
                text.clone_from(&self.mask);
            }
            room = room.saturating_sub(key.len() + text.len());
            if text != *value {
                changes.push((key.clone(), text));
            }
        }
        changes
    }

    /// The text with each secret replaced; none if there are no secrets.
    fn mask(&self, text: &str, mut secrets: Vec<Range<usize>>) -> Option<String> {
        secrets.retain(|it| !it.is_empty());
        secrets.sort_unstable_by_key(|it| it.start);
        let mut masked = String::new();
        let mut at = 0;
        for Range { start, end } in secrets {
            if start >= at {
                masked.push_str(text.get(at..start)?);
                masked.push_str(&self.mask);
            }
            at = at.max(end);
        }
        masked.push_str(text.get(at..)?);
        (at > 0).then_some(masked)
    }
}

impl Plugin for Redact {
    fn new(config: &Config) -> Result<Self, String> {
        let Settings { keys, mask } = config.parse()?;
        if mask.len() > MAX_MASK_BYTES {
            return Err(format!(
                "setting `mask`: longer than {MAX_MASK_BYTES} bytes"
            ));
        }
        let names = Names::with(&keys)
            .map_err(|key| format!("setting `keys`: `{key}` has no letter or digit"))?;
        Ok(Self {
            secrets: Secrets { names, mask },
            args: ChangeCache::default(),
            labels: ChangeCache::default(),
        })
    }

    fn needs(&self) -> Fields {
        Fields::ARGS | Fields::LABELS
    }

    fn on_event(&mut self, event: &Event<'_>) -> Verdict {
        let args = event.process().map(|it| self.arguments(it.args()));
        let labels = event.container().map(|it| self.labels(it.labels()));
        verdict(
            args.as_deref().unwrap_or_default(),
            labels.as_deref().unwrap_or_default(),
        )
    }

    /// Searches each process and each container of the batch once.
    fn on_batch(&mut self, batch: &Batch, actions: &mut Actions) {
        let (processes, containers) = (batch.processes(), batch.containers());
        let args: Vec<_> = processes
            .iter()
            .map(|it| self.arguments(it.args()))
            .collect();
        let labels: Vec<_> = containers
            .iter()
            .map(|it| self.labels(it.labels()))
            .collect();
        for event in batch.events() {
            let args = event
                .process()
                .and_then(|it| changes_of(processes, it, &args));
            let labels = event
                .container()
                .and_then(|it| changes_of(containers, it, &labels));
            let verdict = verdict(args.map_or(&[], |it| &**it), labels.map_or(&[], |it| &**it));
            actions.push(&event, verdict);
        }
    }
}

/// The changes of a row of a batch's table.
fn changes_of<'a, T, C>(rows: &[T], row: &T, changes: &'a [C]) -> Option<&'a C> {
    changes.get(rows.iter().position(|it| ptr::eq(it, row))?)
}

fn verdict(args: &[(usize, String)], labels: &[(String, String)]) -> Verdict {
    let args = args.iter().map(|(i, text)| (Field::Arg(*i), text));
    let labels = labels.iter().map(|(key, text)| (Field::Label(key), text));
    args.chain(labels)
        .fold(Verdict::keep(), |verdict, (field, text)| {
            verdict.set(field, text)
        })
}

lightmon_plugin::register!(
    Redact,
    role: Role::Redactor,
    config: r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "keys": {
                "description": "Names of secrets, in addition to the built-in ones",
                "type": "array",
                "items": {"type": "string"},
                "default": []
            },
            "mask": {"description": "Text that replaces a secret", "type": "string", "default": "***"}
        }
    }"#,
    example: "--plugin redact.wasm:keys=pin+badge",
);

#[cfg(test)]
mod tests;
