//! The error of an expression: what is wrong, where, and what should be there, in lines that fit a terminal.
//! Finds no errors itself; that is the parser's.

use std::{fmt, ops::Range};

use crate::expr::{Key, MAX_PID, MAX_UID};

/// Text that is not an exclude expression. Displayed on three lines, with the place marked:
///
/// ```text
/// exclude expression: port out of range
///   dport=99999
///         ^^^^^ expected a port, 0 to 65535
/// ```
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct Error {
    pub(crate) text: String,
    pub(crate) fault: Fault,
}

/// Why the text is not an expression, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Fault {
    /// Byte offsets. Empty if something is missing at the end.
    pub(crate) span: Range<usize>,
    pub(crate) problem: Problem,
    pub(crate) expected: Expected,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Problem {
    Missing(&'static str),
    Not(&'static str),
    OutOfRange(&'static str),
    UnknownKey,
    /// Something that other languages have, and that this one may get.
    NotYet(&'static str),
    /// Half of `&&` or `||`.
    Half(char),
    OpenQuote,
    /// A quote inside a word, or a typographic quote anywhere.
    Quote(char),
    /// Empty text, which is part of every text.
    MatchesAll,
}

/// What should be there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Expected {
    Condition,
    Key,
    Nearest(Key),
    Equals,
    Value(Key),
    /// A prefix length from 0 to this many bits.
    Prefix(u8),
    ClosingQuote(char),
    /// Quotes around the value, if this character is part of it.
    Quoted(char),
    Operator,
    /// An operator, or quotes if the space is part of the value.
    OperatorOrQuotes,
}

/// Columns of a line without its indent.
const LINE_WIDTH: usize = 76;
/// Columns for each part of an expression that is wider than a line.
const BEFORE_WIDTH: usize = 32;
const MARKED_WIDTH: usize = 24;
const AFTER_WIDTH: usize = LINE_WIDTH - BEFORE_WIDTH - MARKED_WIDTH;

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
        // If the line would be too long, the expectation gets a line of its own.
        let gap = match column + marks + 1 + expected.chars().count() <= LINE_WIDTH {
            true => " ",
            false => "\n  ",
        };
        writeln!(f, "exclude expression: {problem}")?;
        writeln!(f, "  {before}{marked}{after}")?;
        write!(f, "  {:column$}{:^<marks$}{gap}{expected}", "", "")
    }
}

/// The expression on one line, in parts: before, in and after the span. If it is wider than [`LINE_WIDTH`], it is cut at both ends.
fn excerpt(text: &str, span: &Range<usize>) -> [String; 3] {
    let parts = [&text[..span.start], &text[span.clone()], &text[span.end..]];
    let [before, marked, after] = parts.map(printable);
    if before.len() + marked.len() + after.len() <= LINE_WIDTH {
        return [before, marked, after].map(String::from_iter);
    }
    let head = |part: &[char], width: usize| match part.len() > width {
        true => part[..width - 1].iter().chain(&['…']).collect(),
        false => part.iter().collect(),
    };
    let tail = match before.len() > BEFORE_WIDTH {
        true => ['…']
            .iter()
            .chain(&before[before.len() - BEFORE_WIDTH + 1..])
            .collect(),
        false => before.iter().collect(),
    };
    [tail, head(&marked, MARKED_WIDTH), head(&after, AFTER_WIDTH)]
}

/// The text with a character in each column. What would move the cursor or hide text is escaped.
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

pub(crate) fn is_typographic(quote: char) -> bool {
    matches!(quote, '“' | '”' | '‘' | '’')
}
