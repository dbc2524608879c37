//! Masks secrets in the arguments of processes and the labels of containers: passwords, tokens, keys, in the forms in which
//! command lines carry them.
//! Masks too much rather than too little, and changes nothing else; a secret that looks like nothing stays.

mod flag;
mod known;
mod name;
mod text;

use std::{ops::Range, ptr, rc::Rc};

use lightmon_plugin::{Actions, Batch, Config, Event, Field, Fields, Plugin, Role, Verdict};
use serde::Deserialize;

use crate::{known::Known, name::Names};

/// Bytes of a process's arguments, and of a container's labels, that are looked at; what comes after them is masked unseen.
const LOOKED_AT: usize = 64 << 10;

/// Bytes of changed arguments that are given back for a process: past it, the mask stands for a whole argument. A longer
/// text the host would refuse, and leave the secret where it was.
const ANSWER: usize = 12 << 10;

/// The same for a container's labels, with their keys. Of 256 events the answers fit into the 4 MiB that the host takes.
const LABELS_ANSWER: usize = 2 << 10;

const LONGEST_MASK: usize = 64;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Names of secrets, besides the known ones.
    keys: Vec<String>,
    /// What stands in the place of a secret.
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
    args: Known<String, (usize, String)>,
    labels: Known<(String, String), (String, String)>,
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

/// What is a secret, and what stands in its place.
struct Secrets {
    names: Names,
    mask: String,
}

impl Secrets {
    /// The arguments that change: which, and what each becomes.
    fn arguments(&self, args: &[String]) -> Vec<(usize, String)> {
        let mut left = Some(LOOKED_AT);
        let seen: Vec<&str> = args
            .iter()
            .map(|arg| {
                left = left.and_then(|left| left.checked_sub(arg.len()));
                if left.is_some() { arg } else { "" }
            })
            .collect();
        let mut room = ANSWER;
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

    /// The labels that change: the key of each, and what its value becomes.
    fn labels(&self, labels: &[(String, String)]) -> Vec<(String, String)> {
        let mut left = Some(LOOKED_AT);
        let mut room = LABELS_ANSWER;
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

    /// The text with each secret replaced; none when there is none.
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
        if mask.len() > LONGEST_MASK {
            return Err(format!("setting `mask`: longer than {LONGEST_MASK} bytes"));
        }
        let names = Names::with(&keys)
            .map_err(|key| format!("setting `keys`: `{key}` has no letter or digit"))?;
        Ok(Self {
            secrets: Secrets { names, mask },
            args: Known::default(),
            labels: Known::default(),
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

    /// A process, and a container, is looked at once, however many connections of it there are.
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
            let args = event.process().and_then(|it| of(processes, it, &args));
            let labels = event.container().and_then(|it| of(containers, it, &labels));
            let verdict = verdict(args.map_or(&[], |it| &**it), labels.map_or(&[], |it| &**it));
            actions.push(&event, verdict);
        }
    }
}

/// What was made of the row of a table.
fn of<'a, T, M>(rows: &[T], row: &T, made: &'a [M]) -> Option<&'a M> {
    made.get(rows.iter().position(|it| ptr::eq(it, row))?)
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
                "description": "Names of secrets, besides the known ones",
                "type": "array",
                "items": {"type": "string"},
                "default": []
            },
            "mask": {"description": "What stands in the place of a secret", "type": "string", "default": "***"}
        }
    }"#,
    example: "--plugin redact.wasm:keys=pin+badge",
);

#[cfg(test)]
mod tests;
