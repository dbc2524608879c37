//! Reports: records that a plugin returns from a tick or at the end. Knows nothing of events or of output.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::Display;

/// A record of the plugin's own, such as a total. lightmon writes it among the events, as a notice.
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
    /// A report without fields. The name says what the report is about, such as `suppressed`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            fields: Vec::new(),
        }
    }

    /// Appends a field.
    pub fn field(mut self, key: impl Into<String>, value: impl Display) -> Self {
        self.fields.push((key.into(), value.to_string()));
        self
    }

    /// The name of the report.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The fields, in the order in which they were added.
    pub fn fields(&self) -> &[(String, String)] {
        &self.fields
    }

    /// The value of a field.
    pub fn get(&self, key: &str) -> Option<&str> {
        crate::event::value(&self.fields, key)
    }
}
