#![doc = include_str!("../../docs/filters.md")]

mod expr;
#[cfg(any(fuzzing, test))]
pub mod fuzz;
mod kernel;
mod parse;

use std::{fmt, ops::Range, str::FromStr, sync::atomic::Ordering::Relaxed};

pub use self::expr::Expr;

use self::expr::{Key, MAX_PID, MAX_UID};
use lightmon_event::{Event, Stats};

/// The stage: takes out of a batch the events that any of its expressions matches.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Exclude(Vec<Expr>);

impl Exclude {
    /// Reads the expressions, once for the whole run.
    ///
    /// # Errors
    /// The first fault in the first expression that has one.
    pub fn parse<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Result<Self, Error> {
        let exprs = texts.into_iter().map(|text| text.as_ref().parse());
        // A blank expression, such as an empty variable in a script leaves, excludes nothing.
        let written = exprs.filter(|expr| !expr.as_ref().is_ok_and(Expr::is_empty));
        written.collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is nothing that it would exclude.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the event is to be left out.
    pub fn matches(&self, event: &Event) -> bool {
        self.0.iter().any(|expr| expr.matches(event))
    }

    /// Removes the excluded events from the batch and counts them; the others keep their order.
    pub fn retain(&self, batch: &mut Vec<Event>, stats: &Stats) {
        let before = batch.len();
        batch.retain(|event| !self.matches(event));
        let excluded = before - batch.len();
        stats.excluded_host.fetch_add(excluded as u64, Relaxed);
    }
}

impl FromStr for Expr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse::expr(text).map_err(|fault| Error {
            text: text.to_owned(),
            fault,
        })
    }
}

/// Text that is no exclude expression. Displayed on three lines, the place marked:
///
/// ```text
/// exclude expression: port out of range
///   dport=99999
///         ^^^^^ expected a port, 0 to 65535
/// ```
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct Error {
    text: String,
    fault: Fault,
}

/// Why the text is no expression, and which of its bytes are to blame.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Fault {
    /// Byte offsets; empty where something is missing at the end.
    span: Range<usize>,
    problem: Problem,
    expected: Expected,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Problem {
    Missing(&'static str),
    Not(&'static str),
    OutOfRange(&'static str),
    UnknownKey,
    /// What other languages have, and this one may get.
    NotYet(&'static str),
    /// Half of `&&` or `||`.
    Half(char),
    OpenQuote,
    /// Where no quote can be: inside a word, or a typographic one anywhere.
    Quote(char),
    /// Empty text is part of every text.
    MatchesAll,
}

/// What belongs there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expected {
    Condition,
    Key,
    Nearest(Key),
    Equals,
    Value(Key),
    /// A prefix length of up to that many bits.
    Prefix(u8),
    ClosingQuote(char),
    /// The value in quotes, if the character is meant to be in it.
    Quoted(char),
    Operator,
    /// An operator, unless the value was meant to go on behind its space.
    OperatorOrQuotes,
}

/// Columns for the expression, and for the marks with what was expected; the indent comes on top.
const WIDTH: usize = 76;
/// Columns that each part of an expression gets when the whole is wider.
const BEFORE: usize = 32;
const MARKED: usize = 24;
const AFTER: usize = WIDTH - BEFORE - MARKED;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault {
            span,
            problem,
            expected,
        } = &self.fault;
        let [before, marked, after] = excerpt(&self.text, span);
        let (column, marks) = (before.chars().count(), marked.chars().count().max(1));
        let expected = expected.to_string();
        // What was expected goes to a line of its own rather than around the edge of the terminal.
        let gap = match column + marks + 1 + expected.chars().count() <= WIDTH {
            true => " ",
            false => "\n  ",
        };
        writeln!(f, "exclude expression: {problem}")?;
        writeln!(f, "  {before}{marked}{after}")?;
        write!(f, "  {:column$}{:^<marks$}{gap}{expected}", "", "")
    }
}

/// The expression on one line, in parts: before, in and after the span. Wider than [`WIDTH`], it is cut at both ends.
fn excerpt(text: &str, span: &Range<usize>) -> [String; 3] {
    let parts = [&text[..span.start], &text[span.clone()], &text[span.end..]];
    let [before, marked, after] = parts.map(printable);
    if before.len() + marked.len() + after.len() <= WIDTH {
        return [before, marked, after].map(String::from_iter);
    }
    let head = |part: &[char], width: usize| match part.len() > width {
        true => part[..width - 1].iter().chain(&['…']).collect(),
        false => part.iter().collect(),
    };
    let tail = match before.len() > BEFORE {
        true => ['…']
            .iter()
            .chain(&before[before.len() - BEFORE + 1..])
            .collect(),
        false => before.iter().collect(),
    };
    [tail, head(&marked, MARKED), head(&after, AFTER)]
}

/// The text as a terminal can show it, a character a column: what would move the cursor or hide is escaped.
fn printable(text: &str) -> Vec<char> {
    let escape = |c: char| match c {
        '"' | '\'' | '\\' => vec![c],
        c => c.escape_debug().collect(),
    };
    text.chars().flat_map(escape).collect()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "{what} missing"),
            Self::Not(what) if what.starts_with('a') => write!(f, "not an {what}"),
            Self::Not(what) => write!(f, "not a {what}"),
            Self::OutOfRange(what) => write!(f, "{what} out of range"),
            Self::UnknownKey => write!(f, "unknown key"),
            Self::NotYet(what) => write!(f, "{what} are not in the language (yet)"),
            Self::Half(c) => write!(f, "single `{c}`"),
            Self::OpenQuote => write!(f, "quote not closed"),
            Self::Quote(c) if is_typographic(*c) => write!(f, "typographic quote"),
            Self::Quote(_) => write!(f, "quote in the wrong place"),
            Self::MatchesAll => write!(f, "empty text would exclude everything"),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Condition => write!(f, "expected a condition, such as dport=80"),
            Self::Key => {
                let [most @ .., last] = Key::ALL.map(Key::as_str);
                write!(f, "expected {} or {last}", most.join(", "))
            }
            Self::Nearest(key) => write!(f, "did you mean {}?", key.as_str()),
            Self::Equals => write!(f, "expected `=` and a value"),
            Self::Value(Key::Dport) => write!(f, "expected a port, 0 to {}", u16::MAX),
            Self::Value(Key::Dip) => {
                write!(f, "expected an address or a network, such as 10.0.0.0/8")
            }
            Self::Value(Key::Protocol) => write!(f, "expected tcp or udp"),
            Self::Value(Key::Uid) => write!(f, "expected a user id, 0 to {MAX_UID}"),
            Self::Value(Key::Pid) => write!(f, "expected a process id, 1 to {MAX_PID}"),
            Self::Value(Key::Keyword | Key::Container) => {
                write!(f, "expected a part of the name, such as \"nginx\"")
            }
            Self::Prefix(bits) => write!(f, "expected a prefix length, 0 to {bits}"),
            Self::ClosingQuote(quote) => write!(f, "expected another {quote} behind the value"),
            Self::Quoted(c @ ('&' | '|')) => {
                write!(f, "expected `{c}{c}`, or quotes around the value")
            }
            Self::Quoted(c) if is_typographic(*c) => write!(f, "expected ' or \""),
            Self::Quoted(c) => write!(f, "expected quotes around the value if `{c}` is part of it"),
            Self::Operator => write!(f, "expected `&&`, `||`, `;` or the end"),
            Self::OperatorOrQuotes => {
                write!(
                    f,
                    "expected `&&`, `||` or `;`, or quotes around a value with spaces"
                )
            }
        }
    }
}

fn is_typographic(quote: char) -> bool {
    matches!(quote, '“' | '”' | '‘' | '’')
}

#[cfg(test)]
mod tests;
