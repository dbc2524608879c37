//! Reads the text of an exclude expression; `exclude.md` is the grammar in words.
//! Does not repair what it can't read: the first fault ends it, with the place and what was expected there.

use std::{
    net::IpAddr,
    ops::{Range, RangeInclusive},
    str::FromStr,
};

use ipnet::IpNet;
use winnow::{
    LocatingSlice, ModalResult, Parser,
    combinator::{alt, eof, peek, separated, terminated},
    error::{ErrMode, ParserError},
    stream::Location,
    token::{take_till, take_while},
};

use super::{
    Expected, Fault, Problem,
    expr::{Condition, Conjunction, Expr, Key, MAX_PID, MAX_UID},
    is_typographic,
};
use lightmon_event::Protocol;

type Input<'a> = LocatingSlice<&'a str>;
type Read<T> = ModalResult<T, Fault>;

/// Characters that no word has: they are operators, quotes, or left free for what the language may get.
const RESERVED: &[char] = &[
    '&', '|', '(', ')', ',', '<', '>', '!', '"', '\'', '“', '”', '‘', '’',
];

const OTHER_COMPARISON: Problem = Problem::NotYet("comparisons other than `=`");

/// ```text
/// expr        = [ group ] { ";" [ group ] }
/// group       = conjunction { "||" conjunction }
/// conjunction = condition { "&&" condition }
/// condition   = key "=" value
/// ```
pub(super) fn expr(text: &str) -> Result<Expr, Fault> {
    let groups = separated(1.., group, token(";"))
        .map(|groups: Vec<Vec<_>>| groups.into_iter().flatten().collect());
    (space, groups, end)
        .map(|(_, conjunctions, _)| Expr(conjunctions))
        .parse(LocatingSlice::new(text))
        .map_err(|error| error.into_inner())
}

/// Only between `;` there may be nothing.
fn group(input: &mut Input<'_>) -> Read<Vec<Conjunction>> {
    let nothing = peek(alt((";", eof))).map(|_| Vec::new());
    alt((nothing, separated(1.., conjunction, token("||")))).parse_next(input)
}

fn conjunction(input: &mut Input<'_>) -> Read<Conjunction> {
    separated(1.., condition, token("&&"))
        .map(Conjunction)
        .parse_next(input)
}

fn condition(input: &mut Input<'_>) -> Read<Condition> {
    let key = token(key).parse_next(input)?;
    token(equals).parse_next(input)?;
    token(|input: &mut Input<'_>| value(key, input)).parse_next(input)
}

fn key(input: &mut Input<'_>) -> Read<Key> {
    let is_in_key = |c| is_in_word(c) && c != '=' && c != '~';
    let (word, span) = take_while(0.., is_in_key).with_span().parse_next(input)?;
    if let Some(key) = Key::ALL.into_iter().find(|key| key.as_str() == word) {
        return Ok(key);
    }
    if !word.is_empty() {
        let expected = nearest(word).map_or(Expected::Key, Expected::Nearest);
        return cut(span, Problem::UnknownKey, expected);
    }
    let (problem, expected) = match input.chars().next() {
        None | Some(';' | '&' | '|') => (Problem::Missing("condition"), Expected::Condition),
        Some('!') => (Problem::NotYet("negations"), Expected::Condition),
        Some(c @ ('(' | ')')) => (misplaced(c), Expected::Condition),
        Some(_) => (Problem::Missing("key"), Expected::Key),
    };
    cut(here(input), problem, expected)
}

fn equals(input: &mut Input<'_>) -> Read<()> {
    let (operator, span) = take_while(0.., ['=', '!', '<', '>', '~'])
        .with_span()
        .parse_next(input)?;
    match operator {
        "=" => Ok(()),
        "" => cut(here(input), Problem::Missing("`=`"), Expected::Equals),
        _ => cut(span, OTHER_COMPARISON, Expected::Equals),
    }
}

fn value(key: Key, input: &mut Input<'_>) -> Read<Condition> {
    let (text, span) = match input.chars().next() {
        Some(quote @ ('"' | '\'')) => quoted(quote, key, input)?,
        _ => bare(key, input)?,
    };
    let condition = match key {
        Key::Dport => number(text, span, key, "port", 0..=u16::MAX).map(Condition::Dport),
        Key::Dip => network(text, span).map(Condition::Dip),
        Key::Protocol => protocol(text, span).map(Condition::Protocol),
        Key::Uid => number(text, span, key, "user id", 0..=MAX_UID).map(Condition::Uid),
        Key::Pid => number(text, span, key, "process id", 1..=MAX_PID).map(Condition::Pid),
        Key::Keyword => Ok(Condition::Keyword(text.to_owned())),
        Key::Container => Ok(Condition::Container(text.to_owned())),
    };
    condition.map_err(ErrMode::Cut)
}

/// Text in quotes, which has no escapes: it ends at the next quote of its kind.
fn quoted<'a>(quote: char, key: Key, input: &mut Input<'a>) -> Read<(&'a str, Range<usize>)> {
    let start = input.current_token_start();
    let mut text = (quote, take_till(0.., quote).with_span(), quote).map(|(_, text, _)| text);
    let read: Read<_> = text.parse_next(input);
    let Ok((text, span)) = read else {
        return cut(
            start..start + 1,
            Problem::OpenQuote,
            Expected::ClosingQuote(quote),
        );
    };
    if text.is_empty() {
        let problem = match key {
            Key::Keyword | Key::Container => Problem::MatchesAll,
            _ => Problem::Missing("value"),
        };
        return cut(start..span.end + 1, problem, Expected::Value(key));
    }
    Ok((text, span))
}

/// Text without quotes: it ends at white space or an operator.
fn bare<'a>(key: Key, input: &mut Input<'a>) -> Read<(&'a str, Range<usize>)> {
    let (text, span) = take_while(0.., is_in_word).with_span().parse_next(input)?;
    match input.chars().next() {
        Some(c) if RESERVED.contains(&c) && !is_at_operator(input) => {
            let expected = match key {
                _ if is_typographic(c) => Expected::Quoted(c),
                Key::Keyword | Key::Container => Expected::Quoted(c),
                _ if text.is_empty() => Expected::Value(key),
                _ => Expected::Operator,
            };
            cut(here(input), misplaced(c), expected)
        }
        _ if text.is_empty() => cut(here(input), Problem::Missing("value"), Expected::Value(key)),
        _ if text.starts_with(['=', '~']) => cut(
            span.start..span.start + 1,
            OTHER_COMPARISON,
            Expected::Value(key),
        ),
        _ => Ok((text, span)),
    }
}

fn number<T: FromStr + PartialOrd>(
    text: &str,
    span: Range<usize>,
    key: Key,
    what: &'static str,
    range: RangeInclusive<T>,
) -> Result<T, Fault> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.filter(|_| is_number(text)).ok_or(Fault {
        span,
        problem: match is_number(text) {
            true => Problem::OutOfRange(what),
            false => Problem::Not(what),
        },
        expected: Expected::Value(key),
    })
}

/// Those that there are events of, by the names that these have.
fn protocol(text: &str, span: Range<usize>) -> Result<Protocol, Fault> {
    [Protocol::Tcp, Protocol::Udp]
        .into_iter()
        .find(|protocol| protocol.to_string() == text)
        .ok_or(Fault {
            span,
            problem: Problem::Not("protocol"),
            expected: Expected::Value(Key::Protocol),
        })
}

fn network(text: &str, span: Range<usize>) -> Result<IpNet, Fault> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let slash = span.start + address.len();
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(Fault {
            span: span.start..slash.max(span.start + 1),
            problem: Problem::Not("address"),
            expected: Expected::Value(Key::Dip),
        });
    };
    let Some(prefix) = prefix else {
        return Ok(address.to_canonical().into());
    };
    let bits = if address.is_ipv4() { 32 } else { 128 };
    match prefix.parse() {
        Ok(length) if length <= bits && is_number(prefix) => Ok(canonical(address, length)),
        _ => Err(Fault {
            span: slash + 1..span.end,
            problem: match prefix {
                "" => Problem::Missing("prefix length"),
                _ if is_number(prefix) => Problem::OutOfRange("prefix length"),
                _ => Problem::Not("prefix length"),
            },
            expected: Expected::Prefix(bits),
        }),
    }
}

/// The network that the address is in; as IPv4 if all its addresses are IPv4-mapped.
fn canonical(address: IpAddr, length: u8) -> IpNet {
    let (address, length) = match (address.to_canonical(), length.checked_sub(96)) {
        (v4 @ IpAddr::V4(_), Some(length)) if address.is_ipv6() => (v4, length),
        _ => (address, length),
    };
    IpNet::new(address, length)
        .expect("invariant: the length is at most the address's bits")
        .trunc()
}

/// What else than an operator follows the last condition.
fn end(input: &mut Input<'_>) -> Read<()> {
    match input.chars().next() {
        None => Ok(()),
        Some(c) if RESERVED.contains(&c) => cut(here(input), misplaced(c), Expected::Operator),
        Some(_) => {
            let problem = Problem::Missing("operator");
            cut(here(input), problem, Expected::OperatorOrQuotes)
        }
    }
}

/// What is wrong with a reserved character where it has no meaning.
fn misplaced(c: char) -> Problem {
    match c {
        '&' | '|' => Problem::Half(c),
        '(' | ')' => Problem::NotYet("parentheses"),
        ',' => Problem::NotYet("lists"),
        '<' | '>' | '!' => OTHER_COMPARISON,
        _ => Problem::Quote(c),
    }
}

/// The parser with the white space behind it.
fn token<'a, O>(
    parser: impl Parser<Input<'a>, O, ErrMode<Fault>>,
) -> impl Parser<Input<'a>, O, ErrMode<Fault>> {
    terminated(parser, space)
}

fn space(input: &mut Input<'_>) -> Read<()> {
    take_while(0.., char::is_whitespace)
        .void()
        .parse_next(input)
}

fn cut<T>(span: Range<usize>, problem: Problem, expected: Expected) -> Read<T> {
    Err(ErrMode::Cut(Fault {
        span,
        problem,
        expected,
    }))
}

/// The span of what stands at this place: an operator, another reserved character, a word, or nothing at the end.
fn here(input: &Input<'_>) -> Range<usize> {
    let start = input.current_token_start();
    let length = match input.chars().next() {
        _ if is_at_operator(input) => 2,
        Some(c) if c == '=' || !is_in_word(c) => c.len_utf8(),
        _ => input.find(|c| !is_in_word(c)).unwrap_or(input.len()),
    };
    start..start + length
}

fn is_at_operator(input: &Input<'_>) -> bool {
    input.starts_with("&&") || input.starts_with("||")
}

fn is_in_word(c: char) -> bool {
    !c.is_whitespace() && c != ';' && !RESERVED.contains(&c)
}

/// Only digits; Rust's integers would also take a sign.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The key that the word was probably meant to be: at most a third of it is mistyped.
fn nearest(word: &str) -> Option<Key> {
    let longest = 2 * Key::Container.as_str().len();
    let word: Vec<char> = word
        .chars()
        .take(longest)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let distances = Key::ALL.map(|key| (key, distance(&word, key.as_str())));
    let (key, distance) = distances
        .into_iter()
        .min_by_key(|(_, distance)| *distance)?;
    (distance <= word.len().max(key.as_str().len()).div_ceil(3)).then_some(key)
}

/// How many characters to insert, remove or replace (Levenshtein), a row of the matrix at a time.
fn distance(a: &[char], b: &str) -> usize {
    let mut row: Vec<usize> = (0..=a.len()).collect();
    for (i, b) in b.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, a) in a.iter().enumerate() {
            let replaced = diagonal + usize::from(*a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[a.len()]
}

/// What winnow's own parsers say when they don't match; no text ends with it, since what comes next in the
/// grammar either matches or cuts.
impl<'a> ParserError<Input<'a>> for Fault {
    type Inner = Self;

    fn from_input(input: &Input<'a>) -> Self {
        let start = input.current_token_start();
        Self {
            span: start..start,
            problem: Problem::Missing("operator"),
            expected: Expected::Operator,
        }
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
