//! Parses an exclude expression: the grammar, and what is expected where. The page `filters` of the manual has it in words.
//! Repairs nothing: the first error ends the parsing, with its place and what was expected there.

mod tokens;
mod value;

use std::str::FromStr;

use strsim::levenshtein;
use winnow::{
    LocatingSlice, Parser,
    combinator::{alt, eof, peek, separated},
    token::take_while,
};

use self::{
    tokens::{
        Input, OTHER_COMPARISON, RESERVED, Read, cut, here, is_in_word, misplaced, space, token,
    },
    value::value,
};
use crate::{
    Error,
    error::{Expected, Fault, Problem},
    expr::{Condition, Conjunction, Expr, Key},
};

impl FromStr for Expr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        expr(text).map_err(|fault| Error {
            text: text.to_owned(),
            fault,
        })
    }
}

/// ```text
/// expr        = [ group ] { ";" [ group ] }
/// group       = conjunction { "||" conjunction }
/// conjunction = condition { "&&" condition }
/// condition   = key "=" value
/// ```
fn expr(text: &str) -> Result<Expr, Fault> {
    let groups = separated(1.., group, token(";"))
        .map(|groups: Vec<Vec<_>>| groups.into_iter().flatten().collect());
    (space, groups, end)
        .map(|(_, conjunctions, _)| Expr(conjunctions))
        .parse(LocatingSlice::new(text))
        .map_err(|error| error.into_inner())
}

/// A group may be empty between `;`, but not next to `||`.
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

/// Refuses what follows the last condition and is not an operator.
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

/// The key that the word was probably meant to be: at most a third of its characters differ.
fn nearest(word: &str) -> Option<Key> {
    // A longer word is like no key. The limit bounds the work for hostile text.
    let max_chars = 2 * Key::Container.as_str().len();
    let word: String = word.chars().take(max_chars).collect();
    let word = word.to_ascii_lowercase();
    let distances = Key::ALL.map(|key| (key, levenshtein(&word, key.as_str())));
    let (key, distance) = distances
        .into_iter()
        .min_by_key(|(_, distance)| *distance)?;
    (distance <= word.chars().count().max(key.as_str().len()).div_ceil(3)).then_some(key)
}

#[cfg(test)]
mod tests;
