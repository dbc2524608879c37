//! Limits that the user sets for one plugin, by name.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use lightmon_event::escape::printable;

use super::Limits;

/// The names of the limits that can be set.
const NAMES: &str = "answer, batch, counters, events, faults, file, init, kv, line, log, memory, stop, table, tag, tags, tick, window";

/// The range of timeouts.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);

/// The limits that are set, as text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LimitOverrides(BTreeMap<String, String>);

/// A limit that can't be set.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadLimit {
    /// There is no such limit.
    #[error("limits.{0} is unknown: the limits are {NAMES}")]
    Unknown(String),
    /// The value is not valid.
    #[error("limits.{name}={value} is not valid: expected {expected}")]
    Value {
        /// The name of the limit.
        name: String,
        /// The value that was given.
        value: String,
        /// The values that are valid.
        expected: String,
    },
    /// The limit has two values.
    #[error("limits.{0} is given twice")]
    Twice(String),
}

impl LimitOverrides {
    /// Sets a limit.
    ///
    /// # Errors
    /// If there is no such limit, the value is not valid, or the limit is already set.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), BadLimit> {
        apply(&mut Limits::default(), name, value)?;
        match self.0.insert(name.to_owned(), value.to_owned()) {
            Some(_) => Err(BadLimit::Twice(printable(name))),
            None => Ok(()),
        }
    }

    /// Whether the user has set this limit.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns `limits` with these overrides.
    pub(crate) fn over(&self, limits: &Limits) -> Limits {
        let mut limits = limits.clone();
        for (name, value) in &self.0 {
            apply(&mut limits, name, value).expect("invariant: `set` has checked the value");
        }
        limits
    }
}

fn apply(limits: &mut Limits, name: &str, value: &str) -> Result<(), BadLimit> {
    let bad = |expected: String| BadLimit::Value {
        name: name.to_owned(),
        value: printable(value),
        expected,
    };
    let time = || {
        let time = value.parse::<jiff::SignedDuration>().ok();
        let time = time.and_then(|time| Duration::try_from(time).ok());
        time.filter(|time| TIMEOUTS.contains(time))
            .ok_or_else(|| bad("a time of 1ms to 1h, such as 200ms".to_owned()))
    };
    let size = |max: usize| {
        size(value)
            .filter(|size| (1..=max).contains(size))
            .ok_or_else(|| bad(format!("a size of at most {}M, such as 8M", max >> 20)))
    };
    let number = |range: RangeInclusive<usize>| {
        value
            .parse()
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| bad(format!("a number of {} to {}", range.start(), range.end())))
    };
    match name {
        "batch" => limits.batch = time()?,
        "init" => limits.init = time()?,
        "tick" => limits.tick = time()?,
        "stop" => limits.stop = time()?,
        "window" => limits.window = time()?,
        "memory" => limits.memory = size(4 << 30)?,
        "answer" => limits.answer = size(1 << 30)?,
        "file" => limits.file = size(1 << 30)? as u64,
        "table" => limits.table = size(16 << 30)? as u64,
        "kv" => limits.kv = size(1 << 30)?,
        "line" => limits.line = size(1 << 20)?,
        "tag" => limits.tag = size(1 << 20)?,
        "events" => limits.events = number(1..=256)?,
        "tags" => limits.tags = number(0..=1024)?,
        "faults" => limits.faults = number(1..=1_000_000)?,
        "counters" => limits.counters = number(0..=1024)?,
        "log" => limits.log = number(0..=100_000)? as u32,
        _ => return Err(BadLimit::Unknown(printable(name))),
    }
    Ok(())
}

/// Parses a number of bytes, or a number with a unit, such as `128M`.
fn size(text: &str) -> Option<usize> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim_start() {
        "" | "B" => 1,
        "K" | "k" | "KiB" => 1 << 10,
        "M" | "m" | "MiB" => 1 << 20,
        "G" | "g" | "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_can_be_set() {
        let mut overrides = LimitOverrides::default();
        for name in NAMES.split(", ") {
            let value = ["200ms", "7"]
                .into_iter()
                .find(|value| overrides.set(name, value).is_ok());
            assert!(value.is_some() && overrides.has(name), "{name}");
        }
        let limits = overrides.over(&Limits::default());
        let batch = Duration::from_millis(200);
        assert_eq!((limits.batch, limits.kv, limits.log), (batch, 7, 7));
    }

    #[test]
    fn invalid_limits_are_errors() {
        for (name, value, expected) in [
            (
                "batsh",
                "1s",
                format!("limits.batsh is unknown: the limits are {NAMES}"),
            ),
            (
                "batch",
                "soon",
                "limits.batch=soon is not valid: expected a time of 1ms to 1h, such as 200ms"
                    .to_owned(),
            ),
            (
                "tick",
                "0s",
                "limits.tick=0s is not valid: expected a time of 1ms to 1h, such as 200ms"
                    .to_owned(),
            ),
            (
                "memory",
                "5G",
                "limits.memory=5G is not valid: expected a size of at most 4096M, such as 8M"
                    .to_owned(),
            ),
            (
                "memory",
                "1 pound",
                "limits.memory=1 pound is not valid: expected a size of at most 4096M, such as 8M"
                    .to_owned(),
            ),
            (
                "events",
                "257",
                "limits.events=257 is not valid: expected a number of 1 to 256".to_owned(),
            ),
        ] {
            let error = LimitOverrides::default().set(name, value).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let mut overrides = LimitOverrides::default();
        overrides.set("memory", "128MiB").unwrap();
        assert_eq!(overrides.over(&Limits::default()).memory, 128 << 20);
        assert_eq!(
            overrides.set("memory", "1M"),
            Err(BadLimit::Twice("memory".to_owned()))
        );
    }
}
