//! How single values look in JSON, for the formats that are JSON.
//! Knows no line: which key holds what is the formats' business.

use std::{
    borrow::Cow, collections::HashSet, fmt, hash::Hash, marker::PhantomData, str::FromStr,
    sync::Arc, time::Duration,
};

use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
};
use nix::errno::Errno;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::nanoseconds;
use crate::event::{Outcome, Parent, Protocol, Provenance};

/// A number as a string.
#[derive(Default)]
pub(in crate::output) struct Quoted<T>(pub(in crate::output) T);

impl<T: fmt::Display> Serialize for Quoted<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
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
pub(in crate::output) struct Time {
    pub(in crate::output) at: Timestamp,
    offset: Offset,
    digits: usize,
}

impl Time {
    /// With so many digits after the seconds.
    pub(in crate::output) fn new(at: Timestamp, zone: &TimeZone, digits: usize) -> Self {
        let offset = zone.to_offset(at);
        // RFC 3339 has no seconds in offsets; some zones had, a century ago.
        let offset = Offset::from_seconds(offset.seconds() / 60 * 60).unwrap_or(offset);
        Self { at, offset, digits }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { at, offset, digits } = *self;
        serializer.collect_str(&format_args!("{:.digits$}", at.display_with_offset(offset)))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Timestamp::deserialize(deserializer).map(|at| Self::new(at, &TimeZone::UTC, 9))
    }
}

/// `tcp`, `udp` or the number.
pub(in crate::output) struct ProtocolName(pub(in crate::output) Protocol);

impl Default for ProtocolName {
    fn default() -> Self {
        Self(Protocol::Tcp)
    }
}

impl Serialize for ProtocolName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Protocol::Other(number) => serializer.serialize_u8(number),
            name => serializer.collect_str(&name),
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
pub(in crate::output) struct OutcomeWord(pub(in crate::output) Outcome);

impl Serialize for OutcomeWord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
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
pub(in crate::output) struct ProvenanceWord(pub(in crate::output) Provenance);

impl Serialize for ProvenanceWord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
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

/// The name of an errno, like `ECONNREFUSED`.
pub(in crate::output) struct ErrorName(Errno);

impl ErrorName {
    /// None for what Linux has no name for.
    pub(in crate::output) fn of(errno: u16) -> Option<Self> {
        let errno = Errno::from_raw(errno.into());
        (errno != Errno::UnknownErrno).then_some(Self(errno))
    }
}

impl fmt::Display for ErrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for ErrorName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Ancestors of a process.
#[derive(Default)]
pub(in crate::output) struct Parents<'a>(pub(in crate::output) Cow<'a, [Parent]>);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Parent")]
struct ParentKeys {
    pid: u32,
    #[serde(default, with = "since_boot", skip_serializing_if = "Option::is_none")]
    started: Option<Duration>,
    comm: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<Arc<str>>,
}

/// Nanoseconds as a string.
mod since_boot {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration
            .map(|it| Quoted(nanoseconds(it)))
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let nanoseconds = Option::<Quoted<u64>>::deserialize(deserializer)?;
        Ok(nanoseconds.map(|it| Duration::from_nanos(it.0)))
    }
}

impl Parents<'_> {
    pub(in crate::output) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Parents<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct One<'a>(#[serde(with = "ParentKeys")] &'a Parent);
        serializer.collect_seq(self.0.iter().map(One))
    }
}

impl<'de> Deserialize<'de> for Parents<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct One(#[serde(with = "ParentKeys")] Parent);
        let all = Vec::<One>::deserialize(deserializer)?;
        Ok(Self(all.into_iter().map(|One(parent)| parent).collect()))
    }
}

/// Pairs as an object, in their order.
pub(in crate::output) struct Map<'a, T: Clone>(pub(in crate::output) Cow<'a, [(T, T)]>);

impl<T: Clone> Map<'_, T> {
    pub(in crate::output) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Clone> Default for Map<'_, T> {
    fn default() -> Self {
        Self(Cow::Borrowed(&[]))
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
