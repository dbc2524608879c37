//! Tags slow connections and drops DNS queries.

use lightmon_plugin::{Config, Event, Plugin, Verdict};
use serde::Deserialize;

/// The settings: `--plugin {{name}}.wasm:over=250`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Slow {
    /// Latency in milliseconds from which a connection is slow.
    over: u64,
}

impl Default for Slow {
    fn default() -> Self {
        Self { over: 100 }
    }
}

impl Plugin for Slow {
    fn new(config: &Config) -> Result<Self, String> {
        config.parse()
    }

    fn on_event(&mut self, event: &Event) -> Verdict {
        if event.destination_port() == 53 {
            return Verdict::drop();
        }
        match event.latency() {
            Some(latency) if latency.as_millis() >= u128::from(self.over) => {
                Verdict::keep().tag("slow", format!("{} ms", latency.as_millis()))
            }
            _ => Verdict::keep(),
        }
    }
}

lightmon_plugin::register!(
    Slow,
    config: r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "over": {"type": "integer", "minimum": 0, "default": 100, "description": "Latency in milliseconds from which a connection is slow"}
        }
    }"#,
    example: "--plugin {{name}}.wasm:over=250",
);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lightmon_plugin::test::{Harness, event};

    use super::*;

    #[test]
    fn tags_slow_connections() {
        let mut plugin = Harness::<Slow>::new(r#"{"over": 20}"#).unwrap();
        let slow = event().latency(Some(Duration::from_millis(23)));
        assert_eq!(plugin.event(slow), Verdict::keep().tag("slow", "23 ms"));
        let fast = event().latency(Some(Duration::from_millis(19)));
        assert_eq!(plugin.event(fast), Verdict::keep());
    }

    #[test]
    fn drops_dns_queries() {
        let mut plugin = Harness::<Slow>::new("{}").unwrap();
        assert_eq!(plugin.event(event().destination("192.0.2.1:53")), Verdict::drop());
    }
}
