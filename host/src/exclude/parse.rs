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
use crate::event::Protocol;

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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Expr {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    /// What an expression means, in the words that it writes itself back in.
    fn check(text: &str, expected: &str) {
        assert_eq!(read(text).to_string(), expected, "{text}");
    }

    #[test]
    fn blank() {
        for text in ["", " ", "\t\n", ";", " ; ;; "] {
            check(text, "");
        }
    }

    #[test]
    fn space_is_free() {
        check(
            "dport=80&&dip=10.0.0.1||dport=81;dport=82",
            "dport=80 && dip=10.0.0.1 || dport=81 || dport=82",
        );
        check(
            "\n dport = 80\n&& dip\t=\t'10.0.0.1' ;\n",
            "dport=80 && dip=10.0.0.1",
        );
        check("dport\u{a0}=\u{3000}80", "dport=80");
        check(";;dport=80;;dport=81;", "dport=80 || dport=81");
    }

    #[test]
    fn ports() {
        check("dport=0", "dport=0");
        check("dport='65535'", "dport=65535");
        check("dport=0000080", "dport=80");
    }

    #[test]
    fn networks() {
        check("dip=192.168.1.5/24", "dip=192.168.1.0/24");
        check("dip=10.0.0.1/32", "dip=10.0.0.1");
        check("dip=0:0:0:0:0:0:0:1", "dip=::1");
        check("dip=FD00::1/8", "dip=fd00::/8");
        check("dip=::ffff:10.0.0.1", "dip=10.0.0.1");
        check("dip=::ffff:10.1.0.0/104", "dip=10.0.0.0/8");
        check("dip=::ffff:0:0/96", "dip=0.0.0.0/0");
        check("dip=::ffff:0:0/95", "dip=::fffe:0:0/95");
        check("dip=0.0.0.0/0;dip=::/0", "dip=0.0.0.0/0 || dip=::/0");
    }

    #[test]
    fn texts() {
        check("keyword=/usr/bin/x", "keyword=\"/usr/bin/x\"");
        check("keyword=--a=b", "keyword=\"--a=b\"");
        check(r"keyword=a\", r#"keyword="a\""#);
        check("keyword='say \"hi\"'", "keyword='say \"hi\"'");
        check("keyword=\"it's\"", "keyword=\"it's\"");
        check("keyword=' ; && || = ( , '", "keyword=\" ; && || = ( , \"");
        check("container=[a]{b}*?", "container=\"[a]{b}*?\"");
        check("container=日本-é", "container=\"日本-é\"");
    }

    #[test]
    fn nearest_key() {
        for (word, key) in [
            ("dprot", Some(Key::Dport)),
            ("DPORT", Some(Key::Dport)),
            ("port", Some(Key::Dport)),
            ("ip", Some(Key::Dip)),
            ("keywords", Some(Key::Keyword)),
            ("contianer", Some(Key::Container)),
            ("conatiner", Some(Key::Container)),
            ("x", None),
            ("user_id", None),
            ("gid", Some(Key::Uid)),
            ("ppid", Some(Key::Pid)),
            ("proto", Some(Key::Protocol)),
            ("dst", None),
            ("host", None),
            ("containercontainercontainer", None),
        ] {
            assert_eq!(nearest(word), key, "{word}");
        }
        assert_eq!(nearest(&"dport".repeat(1_000_000)), None);
    }

    #[test]
    fn errors() {
        let texts = [
            // Conditions and operators
            "&&",
            "||",
            ";&&",
            "dport=80 ||",
            "dport=80 || ; dport=81",
            "dport=80 && && dport=81",
            "dport=80 &&& dport=81",
            "dport=80 & dip=10.0.0.1",
            "dport=80|dport=81",
            "dport=80 dport=81",
            "dport=80 and dip=10.0.0.1",
            "keyword=my app",
            "keyword='a'b",
            "'dport=80'",
            "dip='10.0.0.1', dport=80",
            // Not in the language
            "dport!=80",
            "dport==80",
            "dport>=1024",
            "dport =~ 80",
            "!dport=80",
            "(dport=80)",
            "dport=80)",
            "dport=(80)",
            "dport=80,443",
            "keyword=[a,b]",
            "dport in 80",
            "keyword=a!b",
            // Keys
            "Dport=80",
            "dst=10.0.0.1",
            "é=1",
            "dport&&dip=10.0.0.1",
            // Values
            "dport= && dip=10.0.0.1",
            "dport=''",
            "dport=65536",
            "dport=+80",
            "dport=' 80'",
            "dport=http",
            "dport=²",
            "dip=",
            "dip=\"\"",
            "dip='nonsense'",
            "dip=10.0.0.0/",
            "dip=10.0.0.0/x",
            "dip=10.0.0.0/+8",
            "dip=10.0.0.0/255.0.0.0",
            "dip=::/129",
            "dip=/8",
            "dip=fe80::1%eth0",
            "dip=[::1]",
            "dip=010.0.0.1",
            "dip=10.0.0.0/8/8",
            "protocol=",
            "protocol=sctp",
            "protocol=TCP",
            "protocol=6",
            "protocol=tcp,udp",
            "uid=root",
            "uid=4294967295",
            "uid=-1",
            "pid=0",
            "pid=4194305",
            "pid=''",
            "pid>1",
            "gid=0",
            // Quotes
            "keyword=\"",
            "keyword='a\" && dport=80",
            "keyword=it's",
            "container=\"\"",
            "keyword=“a”",
            "dip=“::1”",
            "dport=8\"0\"",
            "dport=80 “",
            "keyword= =x",
            "keyword = ~x",
            "dport~80",
            "dport 80",
            "nginx",
            "dport=80;;=",
            "a\u{301}b=1",
        ];
        let errors = texts.map(|text| {
            let Fault {
                span,
                problem,
                expected,
            } = expr(text).expect_err(text);
            let (before, after) = (&text[..span.start], &text[span.end..]);
            format!("{before}⟦{}⟧{after}: {problem}, {expected}", &text[span])
        });
        insta::assert_snapshot!(errors.join("\n"), @r#"
        ⟦&&⟧: condition missing, expected a condition, such as dport=80
        ⟦||⟧: condition missing, expected a condition, such as dport=80
        ;⟦&&⟧: condition missing, expected a condition, such as dport=80
        dport=80 ||⟦⟧: condition missing, expected a condition, such as dport=80
        dport=80 || ⟦;⟧ dport=81: condition missing, expected a condition, such as dport=80
        dport=80 && ⟦&&⟧ dport=81: condition missing, expected a condition, such as dport=80
        dport=80 &&⟦&⟧ dport=81: condition missing, expected a condition, such as dport=80
        dport=80 ⟦&⟧ dip=10.0.0.1: single `&`, expected `&&`, `||`, `;` or the end
        dport=80⟦|⟧dport=81: single `|`, expected `&&`, `||`, `;` or the end
        dport=80 ⟦dport=81⟧: operator missing, expected `&&`, `||` or `;`, or quotes around a value with spaces
        dport=80 ⟦and⟧ dip=10.0.0.1: operator missing, expected `&&`, `||` or `;`, or quotes around a value with spaces
        keyword=my ⟦app⟧: operator missing, expected `&&`, `||` or `;`, or quotes around a value with spaces
        keyword='a'⟦b⟧: operator missing, expected `&&`, `||` or `;`, or quotes around a value with spaces
        ⟦'⟧dport=80': key missing, expected dport, dip, protocol, uid, pid, keyword or container
        dip='10.0.0.1'⟦,⟧ dport=80: lists are not in the language (yet), expected `&&`, `||`, `;` or the end
        dport⟦!=⟧80: comparisons other than `=` are not in the language (yet), expected `=` and a value
        dport⟦==⟧80: comparisons other than `=` are not in the language (yet), expected `=` and a value
        dport⟦>=⟧1024: comparisons other than `=` are not in the language (yet), expected `=` and a value
        dport ⟦=~⟧ 80: comparisons other than `=` are not in the language (yet), expected `=` and a value
        ⟦!⟧dport=80: negations are not in the language (yet), expected a condition, such as dport=80
        ⟦(⟧dport=80): parentheses are not in the language (yet), expected a condition, such as dport=80
        dport=80⟦)⟧: parentheses are not in the language (yet), expected `&&`, `||`, `;` or the end
        dport=⟦(⟧80): parentheses are not in the language (yet), expected a port, 0 to 65535
        dport=80⟦,⟧443: lists are not in the language (yet), expected `&&`, `||`, `;` or the end
        keyword=[a⟦,⟧b]: lists are not in the language (yet), expected quotes around the value if `,` is part of it
        dport ⟦in⟧ 80: `=` missing, expected `=` and a value
        keyword=a⟦!⟧b: comparisons other than `=` are not in the language (yet), expected quotes around the value if `!` is part of it
        ⟦Dport⟧=80: unknown key, did you mean dport?
        ⟦dst⟧=10.0.0.1: unknown key, expected dport, dip, protocol, uid, pid, keyword or container
        ⟦é⟧=1: unknown key, expected dport, dip, protocol, uid, pid, keyword or container
        dport⟦&&⟧dip=10.0.0.1: `=` missing, expected `=` and a value
        dport= ⟦&&⟧ dip=10.0.0.1: value missing, expected a port, 0 to 65535
        dport=⟦''⟧: value missing, expected a port, 0 to 65535
        dport=⟦65536⟧: port out of range, expected a port, 0 to 65535
        dport=⟦+80⟧: not a port, expected a port, 0 to 65535
        dport='⟦ 80⟧': not a port, expected a port, 0 to 65535
        dport=⟦http⟧: not a port, expected a port, 0 to 65535
        dport=⟦²⟧: not a port, expected a port, 0 to 65535
        dip=⟦⟧: value missing, expected an address or a network, such as 10.0.0.0/8
        dip=⟦""⟧: value missing, expected an address or a network, such as 10.0.0.0/8
        dip='⟦nonsense⟧': not an address, expected an address or a network, such as 10.0.0.0/8
        dip=10.0.0.0/⟦⟧: prefix length missing, expected a prefix length, 0 to 32
        dip=10.0.0.0/⟦x⟧: not a prefix length, expected a prefix length, 0 to 32
        dip=10.0.0.0/⟦+8⟧: not a prefix length, expected a prefix length, 0 to 32
        dip=10.0.0.0/⟦255.0.0.0⟧: not a prefix length, expected a prefix length, 0 to 32
        dip=::/⟦129⟧: prefix length out of range, expected a prefix length, 0 to 128
        dip=⟦/⟧8: not an address, expected an address or a network, such as 10.0.0.0/8
        dip=⟦fe80::1%eth0⟧: not an address, expected an address or a network, such as 10.0.0.0/8
        dip=⟦[::1]⟧: not an address, expected an address or a network, such as 10.0.0.0/8
        dip=⟦010.0.0.1⟧: not an address, expected an address or a network, such as 10.0.0.0/8
        dip=10.0.0.0/⟦8/8⟧: not a prefix length, expected a prefix length, 0 to 32
        protocol=⟦⟧: value missing, expected tcp or udp
        protocol=⟦sctp⟧: not a protocol, expected tcp or udp
        protocol=⟦TCP⟧: not a protocol, expected tcp or udp
        protocol=⟦6⟧: not a protocol, expected tcp or udp
        protocol=tcp⟦,⟧udp: lists are not in the language (yet), expected `&&`, `||`, `;` or the end
        uid=⟦root⟧: not a user id, expected a user id, 0 to 4294967294
        uid=⟦4294967295⟧: user id out of range, expected a user id, 0 to 4294967294
        uid=⟦-1⟧: not a user id, expected a user id, 0 to 4294967294
        pid=⟦0⟧: process id out of range, expected a process id, 1 to 4194304
        pid=⟦4194305⟧: process id out of range, expected a process id, 1 to 4194304
        pid=⟦''⟧: value missing, expected a process id, 1 to 4194304
        pid⟦>⟧1: comparisons other than `=` are not in the language (yet), expected `=` and a value
        ⟦gid⟧=0: unknown key, did you mean uid?
        keyword=⟦"⟧: quote not closed, expected another " behind the value
        keyword=⟦'⟧a" && dport=80: quote not closed, expected another ' behind the value
        keyword=it⟦'⟧s: quote in the wrong place, expected quotes around the value if `'` is part of it
        container=⟦""⟧: empty text would exclude everything, expected a part of the name, such as "nginx"
        keyword=⟦“⟧a”: typographic quote, expected ' or "
        dip=⟦“⟧::1”: typographic quote, expected ' or "
        dport=8⟦"⟧0": quote in the wrong place, expected `&&`, `||`, `;` or the end
        dport=80 ⟦“⟧: typographic quote, expected `&&`, `||`, `;` or the end
        keyword= ⟦=⟧x: comparisons other than `=` are not in the language (yet), expected a part of the name, such as "nginx"
        keyword = ⟦~⟧x: comparisons other than `=` are not in the language (yet), expected a part of the name, such as "nginx"
        dport⟦~⟧80: comparisons other than `=` are not in the language (yet), expected `=` and a value
        dport ⟦80⟧: `=` missing, expected `=` and a value
        ⟦nginx⟧: unknown key, expected dport, dip, protocol, uid, pid, keyword or container
        dport=80;;⟦=⟧: key missing, expected dport, dip, protocol, uid, pid, keyword or container
        ⟦áb⟧=1: unknown key, expected dport, dip, protocol, uid, pid, keyword or container
        "#);
    }

    #[test]
    fn a_megabyte_is_fine() {
        let many = "dport=80 && keyword='x' || dip=10.0.0.0/8; ".repeat(25_000);
        assert_eq!(read(&many).0.len(), 50_000);
        let long = format!("keyword='{}'", "é".repeat(500_000));
        assert_eq!(read(&long).to_string().len(), 1_000_010);
        for part in [
            ";",
            " ",
            "&&",
            "(",
            "'",
            "=",
            "dport",
            "dport=",
            "dport=80&&",
            "é",
            "\u{1b}",
        ] {
            let text = part.repeat(200_000 / part.len());
            if let Err(error) = text.parse::<Expr>() {
                assert!(error.to_string().len() < 1000, "{part}");
            }
        }
    }

    prop_compose! {
        /// Text that is nearly an expression, or even one.
        fn soup()(parts in prop::collection::vec(prop_oneof![
            prop::sample::select(vec![
                "dport", "dip", "protocol", "uid", "pid", "keyword", "container", "=", "80", "udp", "10.0.0.0/8", "::ffff:1.2.3.4/97", "&&", "||", ";", " ",
                "'", "\"", "'x;y'", "&", "|", "(", ",", "!", "é", "“", "\n", "\u{1b}[31m", "\u{202e}", "dport=80", "dip=::1",
            ]).prop_map(str::to_owned),
            any::<char>().prop_map(String::from),
        ], 0..12)) -> String {
            parts.concat()
        }
    }

    prop_compose! {
        fn condition()(kind in 0..7, port: u16, address: IpAddr, uid in 0..=MAX_UID, pid in 1..=MAX_PID, length in 0_u8..=128, text in "[^']{1,20}") -> String {
            match kind {
                0 => format!("dport={port}"),
                1 if length.is_multiple_of(2) => format!("dip={address}"),
                1 => format!("dip={address}/{}", if address.is_ipv4() { length / 4 } else { length }),
                2 => format!("protocol={}", if length < 64 { "tcp" } else { "udp" }),
                3 => format!("uid={uid}"),
                4 => format!("pid={pid}"),
                5 => format!("keyword='{text}'"),
                _ => format!("container='{text}'"),
            }
        }
    }

    prop_compose! {
        fn expression()(
            parts in prop::collection::vec((condition(), prop::sample::select(vec!["&&", " || ", ";"])), 0..8),
            last in condition(),
        ) -> String {
            parts.into_iter().map(|(condition, operator)| condition + operator).collect::<String>() + &last
        }
    }

    /// The error's lines are short, and the mark stands under the first character that is to blame.
    fn check_error(text: &str) {
        let Err(error) = text.parse::<Expr>() else {
            return;
        };
        let error = error.to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert!((3..=4).contains(&lines.len()), "{error}");
        assert!(
            lines.iter().all(|line| line.chars().count() <= 80),
            "{error}"
        );
        assert!(
            !error.chars().any(|c| c.is_control() && c != '\n'),
            "{error:?}"
        );
        let place = expr(text).unwrap_err().span.start;
        let column = lines[2].find('^').expect("a mark");
        match text[place..].chars().next() {
            Some(c) if c.is_ascii_graphic() => {
                assert_eq!(lines[1].chars().nth(column), Some(c), "{error}");
            }
            Some(_) => assert!(column < lines[1].chars().count(), "{error}"),
            None => assert_eq!(column, lines[1].chars().count(), "{error}"),
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), soup in soup(), repeat in 1_usize..20) {
            check_error(&text);
            check_error(&soup);
            check_error(&soup.repeat(repeat));
        }

        #[test]
        fn reads_back_what_it_writes(text in expression(), soup in soup()) {
            let expr = read(&text);
            prop_assert_eq!(&read(&expr.to_string()), &expr);
            if let Ok(expr) = soup.parse::<Expr>() {
                prop_assert_eq!(&read(&expr.to_string()), &expr);
            }
        }
    }
}
