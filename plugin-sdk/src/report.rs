//! What a plugin says of its own, at a tick or at the end. Knows neither events nor when it is written.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::Display;

/// Something that a plugin has to say of its own, such as a sum. lightmon writes it among the events, as a notice.
///
/// ```
/// # use lightmon_plugin::Report;
/// let report = Report::new("suppressed").field("port", 443).field("count", 12);
/// assert_eq!(report.name(), "suppressed");
/// assert_eq!(report.get("count"), Some("12"));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct Report {
    pub(crate) name: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Report {
    /// One without fields. The name says what it is, such as `suppressed`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            fields: Vec::new(),
        }
    }

    /// Adds a field, after those that are there.
    pub fn field(mut self, key: impl Into<String>, value: impl Display) -> Self {
        self.fields.push((key.into(), value.to_string()));
        self
    }

    /// What it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its fields, in their order.
    pub fn fields(&self) -> &[(String, String)] {
        &self.fields
    }

    /// One field.
    pub fn get(&self, key: &str) -> Option<&str> {
        crate::event::value(&self.fields, key)
    }
}
