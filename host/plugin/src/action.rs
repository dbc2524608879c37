//! Applies the actions of plugins to events, within the limits. Counts nothing.

use std::sync::Arc;

use lightmon_event::Event;

use crate::{
    limits::Limits,
    v0_1::{Action, Line, Set, Tag},
};

/// The effect of an action.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    /// The event must be removed from the batch.
    Drop,
    /// The event was changed.
    Changed,
    /// Too large, an unknown field, or text that is not allowed there.
    Ignored,
}

/// The event of an action, by its index in the batch that the plugin got.
pub(crate) fn event_index(action: &Action) -> u32 {
    match action {
        Action::Drop(event) => *event,
        Action::Tag(tag) => tag.event,
        Action::Set(set) => set.event,
        Action::Line(line) => line.event,
    }
}

/// Applies an action to its event.
pub(crate) fn apply(action: Action, event: &mut Event, limits: &Limits) -> Effect {
    let is_applied = match action {
        Action::Drop(_) => return Effect::Drop,
        Action::Tag(Tag { key, value, .. }) => tag(event, key, value, limits),
        Action::Set(Set { field, text, .. }) => {
            text.len() <= limits.line && set(event, &field, text, limits)
        }
        Action::Line(Line { text, .. }) => line(event, text, limits),
    };
    if is_applied {
        Effect::Changed
    } else {
        Effect::Ignored
    }
}

fn tag(event: &mut Event, key: String, value: String, limits: &Limits) -> bool {
    let is_new = || event.tags.iter().all(|(other, _)| *other != key);
    let is_name = !key.is_empty() && !key.contains(char::is_control);
    let fits = key.len().saturating_add(value.len()) <= limits.tag;
    if !is_name || !fits || (event.tags.len() >= limits.tags && is_new()) {
        return false;
    }
    event.tag(key, value);
    true
}

/// The line is written without escapes, so it must not contain line breaks or control characters.
fn line(event: &mut Event, mut text: String, limits: &Limits) -> bool {
    if text.ends_with('\n') {
        text.pop();
    }
    let is_line = !text.contains(|c: char| c.is_control() && c != '\t');
    let is_valid = is_line && text.len() <= limits.line;
    if is_valid {
        event.line = Some(text);
    }
    is_valid
}

/// Replaces the text of a field that the event has. Data that is shared with other events is copied first.
fn set(event: &mut Event, field: &str, text: String, limits: &Limits) -> bool {
    match field.split_once('/') {
        None => set_field(event, field, text.into()),
        Some(("args", index)) => set_arg(event, index, text.into()).is_some(),
        Some(("labels", key)) => set_label(event, key, text.into()).is_some(),
        Some(("tags", key)) => {
            event.tags.iter().any(|(other, _)| other == key)
                && tag(event, key.to_owned(), text, limits)
        }
        Some(_) => false,
    }
}

fn set_field(event: &mut Event, field: &str, text: Arc<str>) -> bool {
    match (field, &mut event.container) {
        ("user", _) => event.user = Some(text),
        ("comm", _) => {
            // Process and thread mostly have the same name: a plugin that hides one means both.
            Arc::make_mut(&mut event.process).comm = text.clone();
            event.comm = text;
        }
        ("path", _) => Arc::make_mut(&mut event.process).path = Some(text),
        ("container", Some(container)) => Arc::make_mut(container).name = Some(text),
        ("image", Some(container)) => Arc::make_mut(container).image = Some(text),
        _ => return false,
    }
    true
}

fn set_arg(event: &mut Event, index: &str, text: Arc<str>) -> Option<()> {
    let index: usize = index.parse().ok()?;
    // Checked before anything is copied.
    event.process.args.as_ref()?.get(index)?;
    let args = Arc::make_mut(&mut event.process).args.as_mut()?;
    *Arc::make_mut(args).get_mut(index)? = text;
    Some(())
}

fn set_label(event: &mut Event, key: &str, text: Arc<str>) -> Option<()> {
    let container = event.container.as_mut()?;
    let index = container
        .labels
        .iter()
        .position(|(other, _)| **other == *key)?;
    Arc::make_mut(container).labels.get_mut(index)?.1 = text;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag_action(key: &str, value: &str) -> Action {
        Action::Tag(Tag {
            event: 0,
            key: key.to_owned(),
            value: value.to_owned(),
        })
    }

    fn set_action(field: &str, text: &str) -> Action {
        Action::Set(Set {
            event: 0,
            field: field.to_owned(),
            text: text.to_owned(),
        })
    }

    fn line_action(text: &str) -> Action {
        Action::Line(Line {
            event: 0,
            text: text.to_owned(),
        })
    }

    fn is_changed(event: &mut Event, action: Action) -> bool {
        match apply(action, event, &Limits::default()) {
            Effect::Changed => true,
            Effect::Ignored => false,
            Effect::Drop => panic!("unexpected drop"),
        }
    }

    #[test]
    fn set_copies_shared_data() {
        let before = Event::sample();
        let mut event = before.clone();
        for field in [
            "user",
            "comm",
            "path",
            "args/0",
            "args/2",
            "container",
            "image",
            "labels/app",
            "tags/country",
        ] {
            assert!(is_changed(&mut event, set_action(field, "***")), "{field}");
        }
        assert_eq!(event.user.as_deref(), Some("***"));
        assert_eq!((&*event.comm, &*event.process.comm), ("***", "***"));
        assert_eq!(event.process.path.as_deref(), Some("***"));
        let args: Vec<&str> = event
            .process
            .args
            .as_deref()
            .unwrap_or_default()
            .iter()
            .map(|arg| &**arg)
            .collect();
        assert_eq!(args, ["***", "-s", "***"]);
        let container = event.container.expect("has a container");
        assert_eq!(container.name.as_deref(), Some("***"));
        assert_eq!(container.image.as_deref(), Some("***"));
        assert_eq!(&*container.labels[0].1, "***");
        assert_eq!(event.tags, [("country".to_owned(), "***".to_owned())]);
        assert_eq!(before, Event::sample(), "other events are unchanged");
    }

    #[test]
    fn set_ignores_missing_fields() {
        let mut event = Event::sample();
        for field in [
            "",
            "User",
            "pid",
            "args",
            "args/3",
            "args/x",
            "args/-1",
            "labels/",
            "labels/none",
            "tags/none",
            "parents/0",
            "/",
            "user/",
        ] {
            assert!(!is_changed(&mut event, set_action(field, "***")), "{field}");
        }
        assert_eq!(event, Event::sample());
        event.container = None;
        for field in ["container", "image", "labels/app"] {
            assert!(!is_changed(&mut event, set_action(field, "***")), "{field}");
        }
        assert!(!is_changed(
            &mut event,
            set_action("user", &"x".repeat(20_000))
        ));
    }

    #[test]
    fn tags_have_limits() {
        let mut event = Event::sample();
        assert!(is_changed(&mut event, tag_action("k", &"v".repeat(127))));
        for (key, value) in [
            ("k", "v".repeat(128)),
            ("", "v".into()),
            ("a\nb", "v".into()),
        ] {
            assert!(!is_changed(&mut event, tag_action(key, &value)), "{key}");
        }
        for n in event.tags.len()..32 {
            assert!(is_changed(&mut event, tag_action(&n.to_string(), "")));
        }
        assert!(!is_changed(&mut event, tag_action("one more", "")));
        assert!(is_changed(&mut event, tag_action("k", "replaced")));
        assert_eq!(event.tags.len(), 32);
        assert_eq!(event.tags[1].1, "replaced");
    }

    #[test]
    fn a_line_has_no_control_characters() {
        let mut event = Event::sample();
        assert!(is_changed(&mut event, line_action("a\tb\n")));
        for text in ["a\nb", "a\r\n", "\x1b[2J", "\0", "\n\n", "\u{9b}2J"] {
            assert!(!is_changed(&mut event, line_action(text)), "{text:?}");
        }
        assert!(!is_changed(
            &mut event,
            line_action(&"x".repeat((16 << 10) + 1))
        ));
        assert_eq!(event.line.as_deref(), Some("a\tb"));
    }
}
