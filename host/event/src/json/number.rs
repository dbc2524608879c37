//! Numbers in strings: quoted ones, which may exceed what a JSON number holds in many readers, and the ids of connections.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

use super::{nanoseconds, object::Value};
use crate::Id;

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
