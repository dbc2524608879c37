//! Does to events what a plugin wants done, as far as the limits allow. Asks nobody and counts nothing.

use std::sync::Arc;

use super::{
    Limits,
    v0_1::{Action, Line, Set, Tag},
};
use lightmon_event::Event;

/// What became of an action.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Effect {
    /// The event is to leave the batch.
    Drop,
    /// The event was changed.
    Changed,
    /// Too large, no such field, text that can't stand there.
    Ignored,
}

/// Which event an action is about, by its place among those that the plugin got.
pub(super) fn target(action: &Action) -> u32 {
    match action {
        Action::Drop(event) => *event,
        Action::Tag(tag) => tag.event,
        Action::Set(set) => set.event,
        Action::Line(line) => line.event,
    }
}

/// Does it.
pub(super) fn apply(action: Action, event: &mut Event, limits: &Limits) -> Effect {
    let is_done = match action {
        Action::Drop(_) => return Effect::Drop,
        Action::Tag(Tag { key, value, .. }) => tag(event, key, value, limits),
        Action::Set(Set { field, text, .. }) => {
            text.len() <= limits.line && set(event, &field, text, limits)
        }
        Action::Line(Line { text, .. }) => line(event, text, limits),
    };
    if is_done {
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

/// A line is written as it is, so nothing in it may end it or speak to a terminal.
fn line(event: &mut Event, mut text: String, limits: &Limits) -> bool {
    if text.ends_with('\n') {
        text.pop();
    }
    let is_line = !text.contains(|c: char| c.is_control() && c != '\t');
    let is_done = is_line && text.len() <= limits.line;
    if is_done {
        event.line = Some(text);
    }
    is_done
}

/// Replaces the text of a field that is there. What an event shares with others is copied before it is changed.
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
            // Process and thread mostly have the same name: who hides one means both.
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
    // Looked up before anything is copied.
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

    fn done(event: &mut Event, action: Action) -> bool {
        match apply(action, event, &Limits::default()) {
            Effect::Changed => true,
            Effect::Ignored => false,
            Effect::Drop => panic!("no drop was asked for"),
        }
    }

    #[test]
    fn fields_are_set_and_what_is_shared_is_copied() {
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
            assert!(done(&mut event, set_action(field, "***")), "{field}");
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
        let container = event.container.expect("there was one");
        assert_eq!(container.name.as_deref(), Some("***"));
        assert_eq!(container.image.as_deref(), Some("***"));
        assert_eq!(&*container.labels[0].1, "***");
        assert_eq!(event.tags, [("country".to_owned(), "***".to_owned())]);
        assert_eq!(before, Event::sample(), "the others keep theirs");
    }

    #[test]
    fn fields_that_are_not_there_are_left_alone() {
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
            assert!(!done(&mut event, set_action(field, "***")), "{field}");
        }
        assert_eq!(event, Event::sample());
        event.container = None;
        for field in ["container", "image", "labels/app"] {
            assert!(!done(&mut event, set_action(field, "***")), "{field}");
        }
        assert!(!done(&mut event, set_action("user", &"x".repeat(20_000))));
    }

    #[test]
    fn tags_have_limits() {
        let mut event = Event::sample();
        assert!(done(&mut event, tag_action("k", &"v".repeat(127))));
        for (key, value) in [
            ("k", "v".repeat(128)),
            ("", "v".into()),
            ("a\nb", "v".into()),
        ] {
            assert!(!done(&mut event, tag_action(key, &value)), "{key}");
        }
        for n in event.tags.len()..32 {
            assert!(done(&mut event, tag_action(&n.to_string(), "")));
        }
        assert!(!done(&mut event, tag_action("one more", "")));
        assert!(done(&mut event, tag_action("k", "replaced")));
        assert_eq!(event.tags.len(), 32);
        assert_eq!(event.tags[1].1, "replaced");
    }

    #[test]
    fn a_line_is_one_line() {
        let mut event = Event::sample();
        assert!(done(&mut event, line_action("a\tb\n")));
        for text in ["a\nb", "a\r\n", "\x1b[2J", "\0", "\n\n", "\u{9b}2J"] {
            assert!(!done(&mut event, line_action(text)), "{text:?}");
        }
        assert!(!done(&mut event, line_action(&"x".repeat((16 << 10) + 1))));
        assert_eq!(event.line.as_deref(), Some("a\tb"));
    }
}
