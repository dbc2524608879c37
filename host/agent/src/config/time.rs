//! Durations as users write them: `30s`, `5m`, `1h30m`.

use std::time::Duration;

const MIN_SELF_TEST_INTERVAL: Duration = Duration::from_secs(1);

/// A duration that is longer than zero.
///
/// # Errors
/// What is wrong with the text.
pub fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text
        .parse()
        .map_err(|error: jiff::Error| error.to_string())?;
    let duration = Duration::try_from(span).map_err(|_| "must not be negative".to_owned())?;
    if duration.is_zero() {
        Err("must be longer than 0s".to_owned())
    } else {
        Ok(duration)
    }
}

/// A duration of at least one second.
pub(super) fn self_test_interval(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        interval if interval < MIN_SELF_TEST_INTERVAL => Err("must be at least 1s".to_owned()),
        interval => Ok(interval),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_positive() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        for bad in ["", "0s", "-1s", "5", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(self_test_interval("1s"), Ok(Duration::from_secs(1)));
        assert!(self_test_interval("999ms").is_err());
    }
}
