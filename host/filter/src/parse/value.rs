//! The values of conditions: numbers, networks, protocols and text, in quotes or without.

use std::{
    net::IpAddr,
    ops::{Range, RangeInclusive},
    str::FromStr,
};

use ipnet::IpNet;
use lightmon_event::Protocol;
use winnow::{
    Parser,
    error::ErrMode,
    stream::Location,
    token::{take_till, take_while},
};

use super::tokens::{
    Input, OTHER_COMPARISON, RESERVED, Read, cut, here, is_at_operator, is_in_word, misplaced,
};
use crate::{
    error::{Expected, Fault, Problem, is_typographic},
    expr::{Condition, Key, MAX_PID, MAX_UID},
};

pub(super) fn value(key: Key, input: &mut Input<'_>) -> Read<Condition> {
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

/// Text in quotes. There are no escapes: the text ends at the next quote of the same kind.
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

/// Text without quotes. It ends at white space or an operator.
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

/// The protocols that there are events of.
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

/// The network that contains the address, as IPv4 if all addresses of the network are IPv4-mapped.
fn canonical(address: IpAddr, length: u8) -> IpNet {
    let (address, length) = match (address.to_canonical(), length.checked_sub(96)) {
        (v4 @ IpAddr::V4(_), Some(length)) if address.is_ipv6() => (v4, length),
        _ => (address, length),
    };
    IpNet::new(address, length)
        .expect("invariant: the length is at most the address's bits")
        .trunc()
}

/// Whether the text has only digits: Rust's integers would also accept a sign.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
