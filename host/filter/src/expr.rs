//! An exclude expression after it is read: alternatives of conjunctions of typed conditions.
//! Evaluates events and writes itself back as text. Reads no text.

use std::fmt;

use ipnet::IpNet;
use lightmon_event::{Event, Protocol};

/// One less than (uid_t)-1, which stands for no user.
pub(crate) const MAX_UID: u32 = u32::MAX - 1;

/// `PID_MAX_LIMIT` of include/linux/threads.h.
pub(crate) const MAX_PID: u32 = 4 * 1024 * 1024;

/// One expression. Matches an event if any of its conjunctions does: both `;` and `||` mean "or".
///
/// Made by [`str::parse`]. Its text, parsed again, is the same expression. The blank expression matches nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Expr(pub(crate) Vec<Conjunction>);

/// Conditions that must all match. Never empty: an empty conjunction would match everything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Conjunction(pub(crate) Vec<Condition>);

/// A key with its value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Condition {
    /// Destination port.
    Dport(u16),
    /// Destination network, without host bits and never IPv4-mapped. A single address is a network of one address.
    Dip(IpNet),
    /// TCP or UDP.
    Protocol(Protocol),
    /// User that the thread runs as.
    Uid(u32),
    /// Process.
    Pid(u32),
    /// Part of the process's path or name. Not empty, and does not contain both kinds of quotes.
    Keyword(String),
    /// Part of the container's name. The same holds for its text.
    Container(String),
}

/// The left side of `=`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Key {
    Dport,
    Dip,
    Protocol,
    Uid,
    Pid,
    Keyword,
    Container,
}

impl Expr {
    /// Whether the expression is blank.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the expression matches the event.
    pub fn matches(&self, event: &Event) -> bool {
        self.0
            .iter()
            .any(|conjunction| conjunction.0.iter().all(|c| c.matches(event)))
    }
}

impl Condition {
    fn matches(&self, event: &Event) -> bool {
        match self {
            Self::Dport(port) => event.destination.port() == *port,
            Self::Dip(network) => network.contains(&event.destination.ip().to_canonical()),
            Self::Protocol(protocol) => event.protocol == *protocol,
            Self::Uid(uid) => event.uid == *uid,
            Self::Pid(pid) => event.pid == *pid,
            Self::Keyword(text) => {
                let process = &event.process;
                let names = [&process.comm, &event.comm];
                let mut names = names.into_iter().chain(&process.path);
                names.any(|name| name.contains(text.as_str()))
            }
            Self::Container(text) => event
                .container
                .as_ref()
                .and_then(|container| container.name.as_ref())
                .is_some_and(|name| name.contains(text.as_str())),
        }
    }

    fn key(&self) -> Key {
        match self {
            Self::Dport(_) => Key::Dport,
            Self::Dip(_) => Key::Dip,
            Self::Protocol(_) => Key::Protocol,
            Self::Uid(_) => Key::Uid,
            Self::Pid(_) => Key::Pid,
            Self::Keyword(_) => Key::Keyword,
            Self::Container(_) => Key::Container,
        }
    }
}

impl Key {
    pub(crate) const ALL: [Self; 7] = [
        Self::Dport,
        Self::Dip,
        Self::Protocol,
        Self::Uid,
        Self::Pid,
        Self::Keyword,
        Self::Container,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Dport => "dport",
            Self::Dip => "dip",
            Self::Protocol => "protocol",
            Self::Uid => "uid",
            Self::Pid => "pid",
            Self::Keyword => "keyword",
            Self::Container => "container",
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        join(f, &self.0, " || ")
    }
}

impl fmt::Display for Conjunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        join(f, &self.0, " && ")
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.key().as_str())?;
        match self {
            Self::Dport(port) => write!(f, "{port}"),
            Self::Dip(network) if network.prefix_len() == network.max_prefix_len() => {
                write!(f, "{}", network.addr())
            }
            Self::Dip(network) => write!(f, "{network}"),
            Self::Protocol(protocol) => write!(f, "{protocol}"),
            Self::Uid(number) | Self::Pid(number) => write!(f, "{number}"),
            // The language has no escapes: text with double quotes goes into single quotes.
            Self::Keyword(text) | Self::Container(text) if text.contains('"') => {
                write!(f, "'{text}'")
            }
            Self::Keyword(text) | Self::Container(text) => write!(f, "\"{text}\""),
        }
    }
}

fn join<T: fmt::Display>(f: &mut fmt::Formatter<'_>, parts: &[T], operator: &str) -> fmt::Result {
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            f.write_str(operator)?;
        }
        write!(f, "{part}")?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
