//! The size of the kernel's ring buffer, as users write it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

use lightmon_event::escape;

/// Holds a page of every architecture.
const LEAST: u64 = 64 << 10;
/// The map's size is 32 bits wide, and the kernel maps the data twice.
const MOST: u64 = 1 << 30;

/// Bytes: a power of two, 64 KiB to 1 GiB, as the kernel wants it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BufferSize(u32);

impl BufferSize {
    /// The bytes.
    pub const fn bytes(self) -> u32 {
        self.0
    }
}

/// What is wrong with a size.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// No size at all.
    #[error("`{}` is no size: write it as `8M`, `16MiB` or `65536`", escape::Text(.0))]
    NoSize(String),
    /// Out of range.
    #[error("must be {} to {}: use {}", Bytes(LEAST), Bytes(MOST), Bytes(*.0))]
    Range(u64),
    /// No power of two.
    #[error("must be a power of two: use {} or {}", Bytes(.0[0]), Bytes(.0[1]))]
    NoPowerOfTwo([u64; 2]),
}

impl FromStr for BufferSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let no_size = || Error::NoSize(text.to_owned());
        let shift = match unit.trim_start() {
            "" | "B" => 0,
            "K" | "k" | "KiB" => 10,
            "M" | "m" | "MiB" => 20,
            "G" | "g" | "GiB" => 30,
            _ => return Err(no_size()),
        };
        let number: u64 = match number.parse() {
            Ok(number) => number,
            Err(_) if number.is_empty() => return Err(no_size()),
            // More digits than a number has.
            Err(_) => return Err(Error::Range(MOST)),
        };
        Self::new(number.saturating_mul(1 << shift))
    }
}

impl BufferSize {
    fn new(bytes: u64) -> Result<Self, Error> {
        if bytes < LEAST {
            return Err(Error::Range(LEAST));
        }
        if bytes > MOST {
            return Err(Error::Range(MOST));
        }
        if !bytes.is_power_of_two() {
            let above = bytes.next_power_of_two();
            return Err(Error::NoPowerOfTwo([above / 2, above]));
        }
        let bytes = u32::try_from(bytes).expect("invariant: at most 1 GiB");
        Ok(Self(bytes))
    }
}

impl<'de> Deserialize<'de> for BufferSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = BufferSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as `8M`")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<BufferSize, E> {
                BufferSize::new(bytes).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<BufferSize, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A size as users would write it.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 30 => write!(f, "{}G", n >> 30),
            n if n >= 1 << 20 => write!(f, "{}M", n >> 20),
            n => write!(f, "{}K", n >> 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_two() {
        for (text, bytes) in [
            ("65536", 65_536),
            ("64K", 65_536),
            ("64 KiB", 65_536),
            ("8M", 8 << 20),
            ("16MiB", 16 << 20),
            ("1G", 1 << 30),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(text.parse(), Ok(BufferSize(bytes)), "{text}");
        }
        for (text, error) in [
            ("5M", "must be a power of two: use 4M or 8M"),
            ("100000", "must be a power of two: use 64K or 128K"),
            ("1000M", "must be a power of two: use 512M or 1G"),
            ("0", "must be 64K to 1G: use 64K"),
            ("32K", "must be 64K to 1G: use 64K"),
            ("2G", "must be 64K to 1G: use 1G"),
            ("99999999999999999999999", "must be 64K to 1G: use 1G"),
            ("18446744073709551615G", "must be 64K to 1G: use 1G"),
            (
                "8 MB",
                "`8 MB` is no size: write it as `8M`, `16MiB` or `65536`",
            ),
            ("M", "`M` is no size: write it as `8M`, `16MiB` or `65536`"),
            ("", "`` is no size: write it as `8M`, `16MiB` or `65536`"),
            (
                "-8M",
                "`-8M` is no size: write it as `8M`, `16MiB` or `65536`",
            ),
        ] {
            let result = text.parse::<BufferSize>();
            assert_eq!(result.unwrap_err().to_string(), error, "{text}");
        }
    }
}
