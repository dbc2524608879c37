//! The plugin that a user asks for: its file, its settings, and what happens to events when it fails.
//! Does not open the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    str::FromStr,
};

use lightmon_event::escape::printable;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::limits::{BadLimit, LimitOverrides};

/// One plugin of the chain, as the user configures it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    /// The file: a component or a core module.
    pub path: PathBuf,
    /// The settings of the plugin, which it gets as a JSON object.
    pub config: Map<String, Value>,
    /// What happens to events that the plugin fails on. By default, a plugin with the role `redactor` drops them, and any other
    /// plugin passes them on.
    pub on_fault: Option<OnFault>,
    /// Limits that differ from the defaults.
    pub limits: LimitOverrides,
    /// The digest that the file must have, so that no other file is run in its place.
    pub sha256: Option<Digest>,
    /// Whether lightmon starts without the plugin if it can't be used.
    pub optional: bool,
    /// The plugin only gets the events that match this expression and its own `when`.
    pub when: Option<String>,
    /// The granted tables: their files, by the names that the plugin asks for.
    pub tables: BTreeMap<String, PathBuf>,
}

/// A SHA-256; its text is hexadecimal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Digest(pub(crate) [u8; 32]);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl FromStr for Digest {
    type Err = BadSpec;

    fn from_str(text: &str) -> Result<Self, BadSpec> {
        let bad = || BadSpec::Digest(printable(text));
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut digest = [0; 32];
        for (i, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(digest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What happens to events that a plugin fails on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFault {
    /// The events pass unchanged: the monitor loses no events.
    Pass,
    /// The events are dropped: no event is written that a redactor has not seen.
    Drop,
    /// lightmon stops: it must not run without this plugin.
    Halt,
}

/// Why a text is not a [`Spec`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadSpec {
    /// There is no file before the settings.
    #[error("`{0}` does not name a file: expected FILE[:key=value,…]")]
    NoFile(String),
    /// A setting without `=` or without a key.
    #[error("setting `{0}` is not of the form key=value")]
    Setting(String),
    /// The same key is given twice.
    #[error("setting `{0}` is given twice")]
    Twice(String),
    /// An unknown value of `on_fault`.
    #[error("on_fault={0} is not valid: use on_fault=pass, on_fault=drop or on_fault=halt")]
    OnFault(String),
    /// An unknown value of `optional`.
    #[error("optional={0} is not valid: use optional=true or optional=false")]
    Optional(String),
    /// Not a digest.
    #[error(
        "sha256={0} is not a SHA-256: expected 64 hexadecimal digits, as sha256sum prints them"
    )]
    Digest(String),
    /// A table without a name or a file.
    #[error("`table.{0}` grants nothing: expected table.NAME=FILE")]
    Table(String),
    /// A limit that can't be set.
    #[error(transparent)]
    Limit(#[from] BadLimit),
}

/// `FILE[:key=value,…]`.
///
/// FILE ends at the first `:` with an existing file before it, so its name can contain `:` and `=`. If there is no such file, FILE
/// ends at the first `:`. A piece without `=` belongs to the value before it: in `keys=token,password` the value is
/// `token,password`. `on_fault`, `optional`, `sha256`, `when`, `table.NAME` and `limits.NAME` are for the host, the other keys for
/// the plugin.
impl FromStr for Spec {
    type Err = BadSpec;

    fn from_str(text: &str) -> Result<Self, BadSpec> {
        let is_file = |path: &str| PathBuf::from(path).is_file();
        let mut colons = text.match_indices(':').map(|(at, _)| at);
        let end = if is_file(text) {
            None
        } else {
            colons
                .clone()
                .find(|&at| is_file(&text[..at]))
                .or_else(|| colons.next())
        };
        let (path, settings) = match end {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, ""),
        };
        if path.is_empty() {
            return Err(BadSpec::NoFile(printable(text)));
        }
        let mut spec = Self {
            path: path.into(),
            ..Self::default()
        };
        spec.settings(settings)?;
        Ok(spec)
    }
}

impl Spec {
    /// The file name without its extension, escaped for messages.
    pub(crate) fn name(&self) -> String {
        let stem = self.path.file_stem().unwrap_or(self.path.as_os_str());
        printable(&stem.to_string_lossy())
    }

    fn settings(&mut self, text: &str) -> Result<(), BadSpec> {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        for piece in text.split(',').filter(|_| !text.is_empty()) {
            match (piece.split_once('='), pairs.last_mut()) {
                (Some(("", _)), _) | (None, None) => {
                    return Err(BadSpec::Setting(printable(piece)));
                }
                (Some((key, value)), _) => pairs.push((key, value.to_owned())),
                (None, Some((_, value))) => {
                    value.push(',');
                    value.push_str(piece);
                }
            }
        }
        let mut seen = BTreeSet::new();
        for (key, value) in pairs {
            if !seen.insert(key) {
                return Err(BadSpec::Twice(printable(key)));
            }
            match key.split_once('.').unwrap_or((key, "")) {
                ("on_fault", "") => self.on_fault = Some(value.parse()?),
                ("when", "") => self.when = Some(value),
                ("sha256", "") => self.sha256 = Some(value.parse()?),
                ("optional", "") => {
                    self.optional = match &*value {
                        "true" => true,
                        "false" => false,
                        _ => return Err(BadSpec::Optional(printable(&value))),
                    }
                }
                ("limits", name) if key.contains('.') => self.limits.set(name, &value)?,
                ("table", name) if key.contains('.') && (name.is_empty() || value.is_empty()) => {
                    return Err(BadSpec::Table(printable(name)));
                }
                ("table", name) if !name.is_empty() => {
                    drop(self.tables.insert(name.to_owned(), value.into()))
                }
                _ => drop(self.config.insert(key.to_owned(), Value::String(value))),
            }
        }
        Ok(())
    }
}

impl FromStr for OnFault {
    type Err = BadSpec;

    fn from_str(text: &str) -> Result<Self, BadSpec> {
        match text {
            "pass" => Ok(Self::Pass),
            "drop" => Ok(Self::Drop),
            "halt" => Ok(Self::Halt),
            _ => Err(BadSpec::OnFault(printable(text))),
        }
    }
}

#[cfg(test)]
mod tests;
