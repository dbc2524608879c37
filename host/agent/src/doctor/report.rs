//! The results of all checks, as lines for people or as one JSON object, and the exit code.

use std::{fmt::Write as _, process::ExitCode};

use serde::Serialize;

use lightmon_event::escape;

/// Result of a check, in ascending order of severity.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// All is as it should be.
    Fine,
    /// The check could not be made.
    Unknown,
    /// Something is lost.
    Degraded,
    /// lightmon does not work.
    Missing,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
        }
    }

    /// SGR, ECMA-48.
    const fn color(self) -> &'static str {
        match self {
            Self::Fine => "32",
            Self::Unknown => "35",
            Self::Degraded => "33",
            Self::Missing => "31",
        }
    }

    /// The last line of the report for people.
    const fn verdict(self) -> &'static str {
        match self {
            Self::Fine => "lightmon works here",
            Self::Unknown => "lightmon works here, as far as the checks could tell",
            Self::Degraded => "lightmon works here, but something is lost",
            Self::Missing => "lightmon does not work here",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Check {
    pub(super) check: String,
    pub(super) state: State,
    pub(super) found: String,
    /// What lightmon loses because of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lost: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) todo: Option<String>,
}

impl Check {
    fn new(check: impl Into<String>, state: State, found: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            state,
            found: found.into(),
            lost: None,
            todo: None,
        }
    }

    pub(super) fn fine(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(check, State::Fine, found)
    }

    pub(super) fn unknown(check: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(check, State::Unknown, why)
    }

    pub(super) fn degraded(
        check: impl Into<String>,
        found: impl Into<String>,
        lost: impl Into<String>,
    ) -> Self {
        Self {
            lost: Some(lost.into()),
            ..Self::new(check, State::Degraded, found)
        }
    }

    pub(super) fn missing(
        check: impl Into<String>,
        found: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self::new(check, State::Missing, found).todo(todo)
    }

    /// Adds what to do.
    pub(super) fn todo(self, todo: impl Into<String>) -> Self {
        Self {
            todo: Some(todo.into()),
            ..self
        }
    }
}

/// All checks.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Version of this JSON object.
    v: u32,
    /// The most severe state of all checks.
    state: State,
    checks: Vec<Check>,
}

impl Report {
    pub(super) fn new(checks: Vec<Check>) -> Self {
        let worst = checks.iter().map(|check| check.state).max();
        Self {
            v: 1,
            state: worst.unwrap_or(State::Fine),
            checks,
        }
    }

    /// The exit code, as in `--help`.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    const fn code(&self) -> u8 {
        match self.state {
            State::Fine => 0,
            State::Missing => 1,
            State::Unknown | State::Degraded => 3,
        }
    }

    /// One line for each check, and the verdict.
    pub(super) fn text(&self, color: bool) -> String {
        let width = |text: &str| text.chars().count();
        let widest = self.checks.iter().map(|check| width(&check.check)).max();
        let mut text = String::new();
        for check in &self.checks {
            let Check {
                check,
                state,
                found,
                lost,
                todo,
            } = check;
            let mut line = format!("{check:<0$}  ", widest.unwrap_or(0));
            line += &paint(&format!("{:<8}", state.as_str()), *state, color);
            let _ = write!(line, "  {}", escape::Text(found));
            for (what, more) in [("lost", lost), ("to do", todo)] {
                if let Some(more) = more {
                    let _ = write!(line, "; {what}: {}", escape::Text(more));
                }
            }
            text += &line;
            text.push('\n');
        }
        text += &paint(self.state.verdict(), self.state, color);
        text.push('\n');
        text
    }

    /// One line of JSON, with the keys of the structures here.
    pub(super) fn json(&self) -> String {
        let mut out = Vec::new();
        self.serialize(&mut serde_json::Serializer::with_formatter(
            &mut out,
            escape::Json,
        ))
        .expect("invariant: a Vec takes every write");
        out.push(b'\n');
        String::from_utf8(out).expect("invariant: serde_json writes UTF-8")
    }
}

fn paint(text: &str, state: State, color: bool) -> String {
    match color {
        true => format!("\x1b[{}m{text}\x1b[0m", state.color()),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report::new(vec![
            Check::fine("kernel", "6.1"),
            Check::degraded("docker", "says \x1b[2J\n", "names").todo("start it"),
        ])
    }

    #[test]
    fn lines_are_aligned_and_escaped() {
        insta::assert_snapshot!(report().text(false), @r"
        kernel  fine      6.1
        docker  degraded  says \x1b[2J\n; lost: names; to do: start it
        lightmon works here, but something is lost
        ");
    }

    #[test]
    fn only_the_state_is_coloured() {
        let text = report().text(true);
        let first = text.lines().next().unwrap();
        assert_eq!(first, "kernel  \x1b[32mfine    \x1b[0m  6.1");
    }

    #[test]
    fn json_has_the_same_content() {
        assert_eq!(
            report().json(),
            concat!(
                r#"{"v":1,"state":"degraded","checks":[{"check":"kernel","state":"fine","found":"6.1"},"#,
                r#"{"check":"docker","state":"degraded","found":"says \u001b[2J\n","lost":"names","todo":"start it"}]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn the_most_severe_state_decides() {
        let fine = || Check::fine("a", "");
        let code = |checks: Vec<Check>| Report::new(checks).code();
        assert_eq!(code(vec![fine()]), 0);
        assert_eq!(code(vec![fine(), Check::unknown("b", ""), fine()]), 3);
        assert_eq!(code(vec![Check::degraded("b", "", ""), fine()]), 3);
        let missing = Check::missing("b", "", "");
        assert_eq!(code(vec![missing, Check::degraded("c", "", "")]), 1);
    }
}
