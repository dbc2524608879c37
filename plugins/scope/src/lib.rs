//! Keeps connections whose destination has one of the chosen scopes, and drops the others. By default, keeps only connections to
//! the Internet.

use lightmon_plugin::{Config, Event, Plugin, Scope, Verdict};
use serde::Deserialize;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keep {
    keep: Vec<ScopeName>,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            keep: vec![ScopeName::Public],
        }
    }
}

/// The name of a [`Scope`] in the settings.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum ScopeName {
    Host,
    Link,
    Private,
    Multicast,
    Reserved,
    Public,
}

impl From<Scope> for ScopeName {
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
            return Err(
                "setting `keep`: empty, so that every connection would be dropped".to_owned(),
            );
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
                "description": "Scopes of the destinations to keep",
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

    /// One destination for each scope, in the order of the scopes.
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
    fn only_the_chosen_scopes_are_kept() {
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
                "setting `keep`: empty, so that every connection would be dropped",
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
