//! How single values look in JSON, for the formats that are JSON.
//! Knows no line: which key holds what is the formats' business.

use std::{
    borrow::Cow, collections::HashSet, fmt, hash::Hash, io::Write as _, marker::PhantomData,
    str::FromStr, sync::Arc, time::Duration,
};

use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    nanoseconds,
    object::{Object, Raw, Value, Word, key},
};
use crate::{ErrorName, Id, Outcome, Parent, Protocol, Provenance};

/// A number as a string.
#[derive(Default)]
pub(crate) struct Quoted<T>(pub(crate) T);

impl<T: Value> Value for Quoted<T> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        self.0.write(out);
        out.push(b'"');
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Quoted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

/// A moment as RFC 3339 with the zone's offset.
#[derive(Clone, Copy)]
pub(crate) struct Time {
    pub(crate) at: Timestamp,
    offset: Offset,
    digits: u32,
}

impl Time {
    /// With so many digits after the seconds, at most nine.
    pub(crate) fn new(at: Timestamp, zone: &TimeZone, digits: u32) -> Self {
        let offset = zone.to_offset(at);
        // RFC 3339 has no seconds in offsets; some zones had, a century ago.
        let offset = Offset::from_seconds(offset.seconds() / 60 * 60).unwrap_or(offset);
        Self { at, offset, digits }
    }
}

impl Value for Time {
    fn write(&self, out: &mut Vec<u8>) {
        let Self { at, offset, digits } = *self;
        let local = offset.to_datetime(at);
        out.push(b'"');
        match u16::try_from(local.year()) {
            Ok(year @ 0..=9999) => {
                padded(year.into(), 4, out);
                for (before, part) in [
                    (b'-', local.month()),
                    (b'-', local.day()),
                    (b'T', local.hour()),
                    (b':', local.minute()),
                    (b':', local.second()),
                ] {
                    out.push(before);
                    padded(part.unsigned_abs().into(), 2, out);
                }
                if digits > 0 {
                    out.push(b'.');
                    padded(
                        fraction(local.subsec_nanosecond(), digits),
                        digits as usize,
                        out,
                    );
                }
                let minutes = offset.seconds() / 60;
                out.push(if minutes < 0 { b'-' } else { b'+' });
                let minutes = minutes.unsigned_abs();
                padded(minutes / 60, 2, out);
                out.push(b':');
                padded(minutes % 60, 2, out);
            }
            // RFC 3339 has no such years.
            _ => write!(out, "{self}").expect("invariant: a Vec takes every write"),
        }
        out.push(b'"');
    }
}

/// The first so many of a second's nine digits.
fn fraction(nanosecond: i32, digits: u32) -> u32 {
    nanosecond.unsigned_abs() / 10_u32.pow(9 - digits)
}

/// The number with leading zeros.
fn padded(number: u32, digits: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + digits, b'0');
    fill(number, &mut out[start..]);
}

/// Puts the number's last digits in the place of others.
fn fill(mut number: u32, text: &mut [u8]) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The times of events, one after the other: many are of the same second, and only what is after it is made for each.
#[derive(Debug)]
pub(crate) struct Times {
    pub(crate) zone: TimeZone,
    digits: u32,
    /// That of the text, if it is one from 1970 on: before, seconds count backwards, and a year may have a sign.
    second: Option<i64>,
    text: Vec<u8>,
}

impl Times {
    /// With so many digits after the seconds, at most nine.
    pub(crate) fn new(zone: TimeZone, digits: u32) -> Self {
        Self {
            zone,
            digits,
            second: None,
            text: Vec::new(),
        }
    }

    /// The moment as [`Time`] has it. Its offset is the zone's at that second, and no other's.
    pub(crate) fn at(&mut self, at: Timestamp) -> Raw<'_> {
        const FRACTION: usize = "\"1970-01-01T00:00:00.".len();
        let second = Some(at.as_second()).filter(|_| at >= Timestamp::UNIX_EPOCH);
        if second.is_some() && second == self.second {
            if self.digits > 0 {
                let text = &mut self.text[FRACTION..][..self.digits as usize];
                fill(fraction(at.subsec_nanosecond(), self.digits), text);
            }
        } else {
            self.second = second;
            self.text.clear();
            Time::new(at, &self.zone, self.digits).write(&mut self.text);
        }
        Raw(&self.text)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, offset, digits } = *self;
        let digits = digits as usize;
        write!(f, "{:.digits$}", at.display_with_offset(offset))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Timestamp::deserialize(deserializer).map(|at| Self::new(at, &TimeZone::UTC, 9))
    }
}

/// `tcp`, `udp` or the number.
pub(crate) struct ProtocolName(pub(crate) Protocol);

impl Default for ProtocolName {
    fn default() -> Self {
        Self(Protocol::Tcp)
    }
}

impl Value for ProtocolName {
    fn write(&self, out: &mut Vec<u8>) {
        match self.0 {
            Protocol::Tcp => Word("tcp").write(out),
            Protocol::Udp => Word("udp").write(out),
            Protocol::Other(number) => number.write(out),
        }
    }
}

impl<'de> Deserialize<'de> for ProtocolName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "expected `tcp`, `udp` or the number of a protocol"
        )]
        enum Either {
            Number(u8),
            Word(Word),
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Word {
            Tcp,
            Udp,
        }
        Ok(Self(match Either::deserialize(deserializer)? {
            Either::Number(number) => Protocol::from_number(number),
            Either::Word(Word::Tcp) => Protocol::Tcp,
            Either::Word(Word::Udp) => Protocol::Udp,
        }))
    }
}

/// The outcome's word.
pub(crate) struct OutcomeWord(pub(crate) Outcome);

impl Value for OutcomeWord {
    fn write(&self, out: &mut Vec<u8>) {
        Word(self.0.as_str()).write(out);
    }
}

impl<'de> Deserialize<'de> for OutcomeWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<str>::deserialize(deserializer)?;
        Outcome::from_word(&word)
            .map(Self)
            .ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&word), &"an outcome"))
    }
}

/// The provenance's word.
pub(crate) struct ProvenanceWord(pub(crate) Provenance);

impl Value for ProvenanceWord {
    fn write(&self, out: &mut Vec<u8>) {
        Word(self.0.as_str()).write(out);
    }
}

impl<'de> Deserialize<'de> for ProvenanceWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<str>::deserialize(deserializer)?;
        [Provenance::Exec, Provenance::Proc]
            .into_iter()
            .find(|it| it.as_str() == word)
            .map(Self)
            .ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&word), &"a provenance"))
    }
}

impl Value for ErrorName {
    fn write(&self, out: &mut Vec<u8>) {
        write!(out, "\"{self}\"").expect("invariant: a Vec takes every write");
    }
}

impl Value for Id {
    fn write(&self, out: &mut Vec<u8>) {
        let Self { began, thread } = self;
        out.push(b'"');
        hex(nanoseconds(*began), out);
        out.push(b'-');
        hex((*thread).into(), out);
        out.push(b'"');
    }
}

fn hex(mut number: u64, out: &mut Vec<u8>) {
    let mut text = [0; 16];
    let mut start = text.len();
    loop {
        start -= 1;
        text[start] = b"0123456789abcdef"[number as usize % 16];
        number /= 16;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[start..]);
}

/// Ancestors of a process, as they are read.
#[derive(Default)]
pub(crate) struct Parents(pub(crate) Arc<[Parent]>);

#[derive(Deserialize)]
#[serde(remote = "Parent")]
struct ParentKeys {
    pid: u32,
    #[serde(default, deserialize_with = "since_boot")]
    started: Option<Duration>,
    comm: Arc<str>,
    #[serde(default)]
    path: Option<Arc<str>>,
}

/// Nanoseconds as a string.
fn since_boot<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let nanoseconds = Option::<Quoted<u64>>::deserialize(deserializer)?;
    Ok(nanoseconds.map(|it| Duration::from_nanos(it.0)))
}

impl Value for Parent {
    fn write(&self, out: &mut Vec<u8>) {
        let Self {
            pid,
            started,
            comm,
            path,
        } = self;
        let mut object = Object::begin(out);
        object.put(key!("pid"), *pid);
        object.put_some(key!("started"), started.map(|it| Quoted(nanoseconds(it))));
        object.put(key!("comm"), comm);
        object.put_some(key!("path"), path.as_ref());
        object.end();
    }
}

impl<'de> Deserialize<'de> for Parents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct One(#[serde(with = "ParentKeys")] Parent);
        let all = Vec::<One>::deserialize(deserializer)?;
        Ok(Self(all.into_iter().map(|One(parent)| parent).collect()))
    }
}

/// Pairs as an object, in their order.
pub(crate) struct Map<'a, T: Clone>(pub(crate) Cow<'a, [(T, T)]>);

impl<T: Clone> Map<'_, T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Clone> Default for Map<'_, T> {
    fn default() -> Self {
        Self(Cow::Borrowed(&[]))
    }
}

/// Pairs as an object, in their order.
impl<K: AsRef<str>, V: AsRef<str>> Value for [(K, V)] {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (i, (key, value)) in self.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            key.as_ref().write(out);
            out.push(b':');
            value.as_ref().write(out);
        }
        out.push(b'}');
    }
}

impl<T: Clone + Serialize> Serialize for Map<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de, T: Clone + Deserialize<'de> + Eq + Hash> Deserialize<'de> for Map<'_, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Eq + Hash> de::Visitor<'de> for Visitor<T> {
            type Value = Vec<(T, T)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs: Self::Value = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                if pairs
                    .iter()
                    .map(|(key, _)| key)
                    .collect::<HashSet<_>>()
                    .len()
                    < pairs.len()
                {
                    return Err(de::Error::custom("a key occurs twice in one object"));
                }
                Ok(pairs)
            }
        }

        let pairs = deserializer.deserialize_map(Visitor(PhantomData))?;
        Ok(Self(pairs.into()))
    }
}
