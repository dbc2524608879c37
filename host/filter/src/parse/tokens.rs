//! The words of the language: operators, white space, and what a character means where it does not belong.

use std::ops::Range;

use winnow::{
    LocatingSlice, ModalResult, Parser,
    combinator::terminated,
    error::{ErrMode, ParserError},
    stream::Location,
    token::take_while,
};

use crate::error::{Expected, Fault, Problem};

pub(super) type Input<'a> = LocatingSlice<&'a str>;
pub(super) type Read<T> = ModalResult<T, Fault>;

/// Characters that are in no word: operators, quotes, and characters that the language may use later.
pub(super) const RESERVED: &[char] = &[
    '&', '|', '(', ')', ',', '<', '>', '!', '"', '\'', '“', '”', '‘', '’',
];

pub(super) const OTHER_COMPARISON: Problem = Problem::NotYet("comparisons other than `=`");

/// What is wrong with a reserved character that has no meaning here.
pub(super) fn misplaced(c: char) -> Problem {
    match c {
        '&' | '|' => Problem::Half(c),
        '(' | ')' => Problem::NotYet("parentheses"),
        ',' => Problem::NotYet("lists"),
        '<' | '>' | '!' => OTHER_COMPARISON,
        _ => Problem::Quote(c),
    }
}

/// The parser, and the white space after it.
pub(super) fn token<'a, O>(
    parser: impl Parser<Input<'a>, O, ErrMode<Fault>>,
) -> impl Parser<Input<'a>, O, ErrMode<Fault>> {
    terminated(parser, space)
}

pub(super) fn space(input: &mut Input<'_>) -> Read<()> {
    take_while(0.., char::is_whitespace)
        .void()
        .parse_next(input)
}

pub(super) fn cut<T>(span: Range<usize>, problem: Problem, expected: Expected) -> Read<T> {
    Err(ErrMode::Cut(Fault {
        span,
        problem,
        expected,
    }))
}

/// The span of the operator, reserved character or word at this place; empty at the end.
pub(super) fn here(input: &Input<'_>) -> Range<usize> {
    let start = input.current_token_start();
    let length = match input.chars().next() {
        _ if is_at_operator(input) => 2,
        Some(c) if c == '=' || !is_in_word(c) => c.len_utf8(),
        _ => input.find(|c| !is_in_word(c)).unwrap_or(input.len()),
    };
    start..start + length
}

pub(super) fn is_at_operator(input: &Input<'_>) -> bool {
    input.starts_with("&&") || input.starts_with("||")
}

pub(super) fn is_in_word(c: char) -> bool {
    !c.is_whitespace() && c != ';' && !RESERVED.contains(&c)
}

/// The error of winnow's own parsers if they do not match. No text ends with this error, since what comes next in the grammar
/// either matches or cuts.
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
