//! Protocols, outcomes, provenances and errnos in JSON: each is a word, and each is read back from its word.

use std::{borrow::Cow, io::Write as _};

use serde::{Deserialize, Deserializer, de};

use super::object::{Value, Word};
use crate::{ErrorName, Outcome, Protocol, Provenance};

/// A protocol: `tcp`, `udp` or the IANA number.
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

/// An outcome, by its word.
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

/// A provenance, by its word.
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
