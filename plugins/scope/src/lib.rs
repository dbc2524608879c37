//! Keeps the connections whose destination reaches as far as is wanted, and drops the others.
//! By default only what goes out to the Internet stays.

use lightmon_plugin::{Config, Event, Plugin, Scope, Verdict};
use serde::Deserialize;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keep {
    keep: Vec<Reach>,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            keep: vec![Reach::Public],
        }
    }
}

/// [`Scope`] as users write it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Reach {
    Host,
    Link,
    Private,
    Multicast,
    Reserved,
    Public,
}

impl From<Scope> for Reach {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Host => Self::Host,
            Scope::Link => Self::Link,
            Scope::Private => Self::Private,
            Scope::Multicast => Self::Multicast,
            Scope::Reserved => Self::Reserved,
            Scope::Public => Self::Public,
        }
    }
}

impl Plugin for Keep {
    fn new(config: &Config) -> Result<Self, String> {
        let settings: Self = config.parse()?;
        if settings.keep.is_empty() {
            return Err("setting `keep`: empty, which would drop everything".to_owned());
        }
        Ok(settings)
    }

    fn on_event(&mut self, event: &Event<'_>) -> Verdict {
        if self.keep.contains(&Scope::of(event.destination()).into()) {
            Verdict::keep()
        } else {
            Verdict::drop()
        }
    }
}

lightmon_plugin::register!(
    Keep,
    config: r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "keep": {
                "description": "Scopes that are kept",
                "type": "array",
                "items": {"enum": ["host", "link", "private", "multicast", "reserved", "public"]},
                "minItems": 1,
                "default": ["public"]
            }
        }
    }"#,
    example: "--plugin scope.wasm:keep=private+public",
);

#[cfg(test)]
mod tests {
    use lightmon_plugin::test::{Harness, event};

    use super::*;

    /// One destination a scope, in the order of the scopes.
    const DESTINATIONS: [&str; 6] = [
        "127.0.0.1:1",
        "[fe80::1]:1",
        "10.0.0.1:1",
        "224.0.0.251:1",
        "192.0.2.1:1",
        "1.1.1.1:1",
    ];

    fn check(settings: &str, kept: [bool; 6]) {
        let mut plugin = Harness::<Keep>::new(settings).unwrap();
        let verdicts = plugin.batch(DESTINATIONS.map(|it| event().destination(it)));
        let kept = kept.map(|keep| {
            if keep {
                Verdict::keep()
            } else {
                Verdict::drop()
            }
        });
        assert_eq!(verdicts, kept, "{settings}");
    }

    #[test]
    fn keeps() {
        check("{}", [false, false, false, false, false, true]);
        check(
            r#"{"keep":"private"}"#,
            [false, false, true, false, false, false],
        );
        check(
            r#"{"keep":"host+link+multicast"}"#,
            [true, true, false, true, false, false],
        );
        check(
            r#"{"keep":["reserved","public"]}"#,
            [false, false, false, false, true, true],
        );
    }

    #[test]
    fn settings_are_checked() {
        for (settings, error) in [
            (
                r#"{"keep":"internet"}"#,
                "setting `keep`: unknown variant `internet`, expected one of `host`, `link`, `private`, `multicast`, `reserved`, \
                 `public`",
            ),
            (
                r#"{"keep":""}"#,
                "setting `keep`: empty, which would drop everything",
            ),
            (
                r#"{"drop":"public"}"#,
                "unknown field `drop`, expected `keep`",
            ),
        ] {
            assert_eq!(
                Harness::<Keep>::new(settings).err().as_deref(),
                Some(error),
                "{settings}"
            );
        }
    }
}
