//! Maps the fields of an event to the keys of CEF's dictionary. Omits fields that are not known.

use std::{fmt::Display, net::IpAddr};

use lightmon_plugin::{Event, Outcome, Protocol};

use crate::escape;

/// Maximum length of names and paths in CEF.
const MAX_NAME_BYTES: usize = 1023;

/// Maximum length of a custom text field in CEF.
const MAX_CUSTOM_BYTES: usize = 4000;

/// The severity, 0 to 10: up to 3 is low, up to 6 medium, up to 8 high.
const fn severity(outcome: Outcome) -> u8 {
    match outcome {
        _ if outcome.is_success() => 1,
        Outcome::PENDING => 2,
        Outcome::REFUSED | Outcome::RESET | Outcome::TIMED_OUT | Outcome::UNREACHABLE => 3,
        Outcome::ABORTED => 2,
        // A rule of a firewall or security module denied the connection.
        Outcome::DENIED => 6,
        _ => 4,
    }
}

/// Builds a line.
pub(crate) struct Line(String);

impl Line {
    /// The line of an event, without a line break at the end.
    pub(crate) fn of(event: &Event<'_>) -> String {
        let mut line = Self::header(event.outcome());
        line.times(event);
        line.addresses(event);
        line.process(event);
        line.container(event);
        line.tags(event.tags());
        line.0
    }

    /// Writes `CEF:version|vendor|product|version|class|name|severity|`.
    fn header(outcome: Outcome) -> Self {
        let mut line = String::with_capacity(1024);
        line.push_str("CEF:0");
        let name = format!("Connection {}", outcome.as_str().replace('-', " "));
        for field in [
            "gotoolkits",
            "lightmon",
            env!("CARGO_PKG_VERSION"),
            outcome.as_str(),
            &*name,
        ] {
            line.push('|');
            escape::header(&mut line, field);
        }
        line.push_str(&format!("|{}|", severity(outcome)));
        Self(line)
    }

    fn times(&mut self, event: &Event<'_>) {
        self.add("rt", event.time().as_millis());
        if let Some(latency) = event.latency() {
            self.add("end", event.time().saturating_add(latency).as_millis());
            self.labelled(
                "cn1",
                "Latency in microseconds",
                &latency.as_micros().to_string(),
            );
        }
        let outcome = event.outcome();
        if outcome.is_success() {
            self.add("outcome", "success");
        } else if outcome != Outcome::PENDING && outcome.as_str() != "unknown" {
            self.add("outcome", "failure");
        }
        if let Some(errno) = event.errno() {
            self.labelled("cn2", "errno", &errno.to_string());
        }
    }

    /// Writes IPv6 addresses under separate keys, because `src` and `dst` are IPv4 addresses in CEF version 0.
    fn addresses(&mut self, event: &Event<'_>) {
        match event.protocol() {
            Protocol::TCP => self.add("proto", "TCP"),
            Protocol::UDP => self.add("proto", "UDP"),
            other => self.add("proto", other),
        }
        self.add("deviceDirection", 1);
        // The source is unspecified if the connection failed before the kernel chose an address.
        match event.source() {
            source if source.is_unspecified() => {}
            IpAddr::V4(source) => self.add("src", source),
            IpAddr::V6(source) => self.labelled("c6a2", "Source IPv6 Address", &source.to_string()),
        }
        if event.source_port() != 0 {
            self.add("spt", event.source_port());
        }
        match event.destination() {
            IpAddr::V4(destination) => self.add("dst", destination),
            IpAddr::V6(destination) => {
                self.labelled("c6a3", "Destination IPv6 Address", &destination.to_string());
            }
        }
        self.add("dpt", event.destination_port());
        self.text("dhost", event.dname().unwrap_or_default(), MAX_NAME_BYTES);
    }

    fn process(&mut self, event: &Event<'_>) {
        self.add("spid", event.pid());
        self.add("suid", event.uid());
        let Some(process) = event.process() else {
            return;
        };
        self.text("suser", &process.user, MAX_NAME_BYTES);
        self.text(
            "sproc",
            process.path.as_deref().unwrap_or(&process.comm),
            MAX_NAME_BYTES,
        );
        self.labelled("cs1", "Command line", &process.args().join(" "));
        if let Some(parent) = process.parents().first() {
            self.labelled(
                "cs5",
                "Parent process",
                parent.path.as_deref().unwrap_or(&parent.comm),
            );
        }
    }

    fn container(&mut self, event: &Event<'_>) {
        if let Some(container) = event.container() {
            self.labelled("cs2", "Container id", &container.id);
            self.labelled("cs3", "Container name", &container.name);
            self.labelled("cs4", "Container image", &container.image);
        }
    }

    fn tags(&mut self, tags: &[(String, String)]) {
        let tags: Vec<_> = tags
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        self.labelled("cs6", "Tags", &tags.join(" "));
    }

    /// Writes a custom field and its label.
    fn labelled(&mut self, key: &str, label: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        // Only two fields may have CEF's full length, so that the line fits into the host's limit.
        let max_bytes = if matches!(key, "cs1" | "cs6") {
            MAX_CUSTOM_BYTES
        } else {
            MAX_NAME_BYTES
        };
        self.text(key, value, max_bytes);
        self.add(&format!("{key}Label"), label);
    }

    /// Writes a text, unless it is empty, which means not known.
    fn text(&mut self, key: &str, value: &str, max_bytes: usize) {
        if !value.is_empty() {
            self.key(key);
            escape::value(&mut self.0, value, max_bytes);
        }
    }

    /// Writes a value that needs no escaping, such as a number, an address or a fixed word.
    fn add(&mut self, key: &str, value: impl Display) {
        self.key(key);
        self.0.push_str(&value.to_string());
    }

    fn key(&mut self, key: &str) {
        if !self.0.ends_with('|') {
            self.0.push(' ');
        }
        self.0.push_str(key);
        self.0.push('=');
    }
}
