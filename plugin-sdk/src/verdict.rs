//! Verdicts: the decisions of a plugin on events. An event that passes unchanged produces no action and costs nothing.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use crate::{bindings, event::Event};

/// The decision on an event: keep it, drop it, or change it.
///
/// ```
/// # use lightmon_plugin::{Field, Verdict};
/// Verdict::keep().tag("country", "FR").set(Field::Arg(2), "***");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Verdict {
    dropped: bool,
    changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq)]
enum Change {
    Tag(String, String),
    Set(String, String),
    Line(String),
}

impl Verdict {
    /// Keeps the event. Further calls on the verdict change it.
    pub const fn keep() -> Self {
        Self {
            dropped: false,
            changes: Vec::new(),
        }
    }

    /// Drops the event: no later plugin sees it, and lightmon does not write it.
    pub const fn drop() -> Self {
        Self {
            dropped: true,
            changes: Vec::new(),
        }
    }

    /// Adds a tag, or replaces the tag that has the same key.
    pub fn tag(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(Change::Tag(key.into(), value.into()))
    }

    /// Replaces the text of a field, for all later plugins and for the output.
    pub fn set(self, field: Field<'_>, text: impl Into<String>) -> Self {
        self.with(Change::Set(field.to_string(), text.into()))
    }

    /// Replaces the output line of the event.
    pub fn line(self, text: impl Into<String>) -> Self {
        self.with(Change::Line(text.into()))
    }

    fn with(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// Whether the event is [dropped](Self::drop).
    pub fn is_drop(&self) -> bool {
        self.dropped
    }

    /// The value that the verdict gives to the tag `key`, if any.
    pub fn get_tag(&self, key: &str) -> Option<&str> {
        self.find(|change| match change {
            Change::Tag(name, value) if name == key => Some(value),
            _ => None,
        })
    }

    /// The text that the verdict gives to the field, if any.
    pub fn get(&self, field: Field<'_>) -> Option<&str> {
        let field = field.to_string();
        self.find(|change| match change {
            Change::Set(name, text) if *name == field => Some(text),
            _ => None,
        })
    }

    /// The output line that the verdict sets, if any.
    pub fn get_line(&self) -> Option<&str> {
        self.find(|change| match change {
            Change::Line(text) => Some(text),
            _ => None,
        })
    }

    fn find<'a>(&'a self, pick: impl Fn(&'a Change) -> Option<&'a String>) -> Option<&'a str> {
        // The last change wins, as in the host.
        self.changes.iter().rev().find_map(pick).map(String::as_str)
    }
}

/// A field whose text a plugin may replace.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Field<'a> {
    /// Name of the user.
    User,
    /// Name of the process.
    Comm,
    /// Path of the program.
    Path,
    /// An argument; 0 is the program's name.
    Arg(usize),
    /// Name of the container.
    Container,
    /// Image of the container.
    Image,
    /// A label of the container, by its key.
    Label(&'a str),
    /// A tag of an earlier plugin, by its key.
    Tag(&'a str),
}

/// The name of the field in the contract: `user`, `args/1`, `labels/app`.
impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("user"),
            Self::Comm => f.write_str("comm"),
            Self::Path => f.write_str("path"),
            Self::Arg(n) => write!(f, "args/{n}"),
            Self::Container => f.write_str("container"),
            Self::Image => f.write_str("image"),
            Self::Label(key) => write!(f, "labels/{key}"),
            Self::Tag(key) => write!(f, "tags/{key}"),
        }
    }
}

/// The verdicts on the events of a batch.
#[derive(Debug, Default)]
pub struct Actions(pub(crate) Vec<bindings::Action>);

impl Actions {
    /// Adds the verdict on an event.
    pub fn push(&mut self, event: &Event<'_>, verdict: Verdict) {
        let event = u32::try_from(event.index).expect("invariant: a batch has at most 256 events");
        let Verdict { dropped, changes } = verdict;
        if dropped {
            self.0.push(bindings::Action::Drop(event));
            return;
        }
        self.0
            .extend(changes.into_iter().map(|change| match change {
                Change::Tag(key, value) => {
                    bindings::Action::Tag(bindings::Tag { event, key, value })
                }
                Change::Set(field, text) => {
                    bindings::Action::Set(bindings::Set { event, field, text })
                }
                Change::Line(text) => bindings::Action::Line(bindings::Line { event, text }),
            }));
    }

    /// Converts the actions back to verdicts, one for each event; for tests.
    #[cfg(all(feature = "std", not(target_arch = "wasm32")))]
    pub(crate) fn verdicts(self, events: usize) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::keep(); events];
        for action in self.0 {
            let (event, change) = match action {
                bindings::Action::Drop(event) => {
                    verdicts[event as usize].dropped = true;
                    continue;
                }
                bindings::Action::Tag(tag) => (tag.event, Change::Tag(tag.key, tag.value)),
                bindings::Action::Set(set) => (set.event, Change::Set(set.field, set.text)),
                bindings::Action::Line(line) => (line.event, Change::Line(line.text)),
            };
            verdicts[event as usize].changes.push(change);
        }
        verdicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_names_are_those_of_the_contract() {
        for (field, text) in [
            (Field::User, "user"),
            (Field::Comm, "comm"),
            (Field::Path, "path"),
            (Field::Arg(3), "args/3"),
            (Field::Container, "container"),
            (Field::Image, "image"),
            (Field::Label("a/b"), "labels/a/b"),
            (Field::Tag("country"), "tags/country"),
        ] {
            assert_eq!(field.to_string(), text);
        }
    }

    #[test]
    fn the_last_change_wins() {
        let verdict = Verdict::keep().tag("a", "1").tag("a", "2").line("x");
        assert_eq!(verdict.get_tag("a"), Some("2"));
        assert_eq!(verdict.get_tag("b"), None);
        assert_eq!(verdict.get_line(), Some("x"));
        assert_eq!(verdict.get(Field::User), None);
        assert!(!verdict.is_drop());
    }
}
