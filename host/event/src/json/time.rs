//! Times in JSON: RFC 3339 with the offset of a zone, to the second or to the nanosecond.

use std::{fmt, io::Write as _};

use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::object::{Raw, Value};

/// A time as RFC 3339 with the zone's offset.
#[derive(Clone, Copy)]
pub(crate) struct Time {
    pub(crate) at: Timestamp,
    offset: Offset,
    digits: u32,
}

impl Time {
    /// A time with this many digits after the seconds, at most nine.
    pub(crate) fn new(at: Timestamp, zone: &TimeZone, digits: u32) -> Self {
        let offset = zone.to_offset(at);
        // RFC 3339 has no seconds in offsets. A century ago, some zones had them.
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

/// The first `digits` of a second's nine digits.
fn fraction(nanosecond: i32, digits: u32) -> u32 {
    nanosecond.unsigned_abs() / 10_u32.pow(9 - digits)
}

/// The number with leading zeros.
fn padded(number: u32, digits: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + digits, b'0');
    fill(number, &mut out[start..]);
}

/// Overwrites the text with the number's last digits.
fn fill(mut number: u32, text: &mut [u8]) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The times of successive events. Many are in the same second: then only the digits after the second are written anew.
#[derive(Debug)]
pub(crate) struct Times {
    pub(crate) zone: TimeZone,
    digits: u32,
    /// The second that `text` is in; `None` before 1970, when seconds count backwards and a year may have a sign.
    second: Option<i64>,
    text: Vec<u8>,
}

impl Times {
    /// Times with this many digits after the seconds, at most nine.
    pub(crate) fn new(zone: TimeZone, digits: u32) -> Self {
        Self {
            zone,
            digits,
            second: None,
            text: Vec::new(),
        }
    }

    /// Writes the time as [`Time`] does, with the zone's offset at that second.
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
