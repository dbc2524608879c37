//! Maps the fields of an event to ECS. Borrows all texts; serde_json escapes them.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr};

use lightmon_plugin::{Container, Event, Outcome, Parent, Process, Protocol};
use serde::Serialize;

use crate::{MAX_LINE_BYTES, errno, time};

/// Limits for texts that processes and images choose.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Maximum bytes of a text.
    text: usize,
    /// Maximum bytes of all texts of a list.
    list: usize,
}

impl Limits {
    /// The limits to try, in order. The first fill a whole line. With the last, a line always fits, even if each byte becomes six
    /// (`\u0000`).
    pub(crate) const STEPS: &[Self] = &[
        Self {
            text: MAX_LINE_BYTES,
            list: MAX_LINE_BYTES,
        },
        Self {
            text: 1024,
            list: 4096,
        },
        Self {
            text: 256,
            list: 1024,
        },
        Self {
            text: 64,
            list: 256,
        },
    ];

    fn text(self, text: &str) -> &str {
        &text[..text.floor_char_boundary(self.text)]
    }

    /// None for an empty text, which means not known.
    fn known(self, text: &str) -> Option<&str> {
        Some(self.text(text)).filter(|text| !text.is_empty())
    }

    fn args(self, args: &[String]) -> Vec<&str> {
        let mut left = self.list;
        args.iter()
            .map(|arg| self.text(arg))
            .take_while(|arg| reserve(&mut left, arg.len()))
            .collect()
    }

    /// Labels as a JSON object. Replaces dots in names with `_`, as Elastic's Beats do: Elasticsearch reads dots as nesting, and
    /// rejects an object that has both `a` and `a.b`.
    fn labels<'a>(self, labels: impl IntoIterator<Item = &'a (String, String)>) -> Labels<'a> {
        let mut left = self.list;
        labels
            .into_iter()
            .map(|(key, value)| (self.text(key).replace('.', "_"), self.text(value)))
            .take_while(|(key, value)| reserve(&mut left, key.len() + value.len()))
            .collect()
    }
}

/// Subtracts the length of a text, its quotes and a comma from `left`. Returns false if not enough is left.
fn reserve(left: &mut usize, length: usize) -> bool {
    left.checked_sub(length + 3)
        .inspect(|rest| *left = *rest)
        .is_some()
}

type Labels<'a> = BTreeMap<String, &'a str>;

/// The JSON object of a line. <https://www.elastic.co/guide/en/ecs/8.17/ecs-field-reference.html>
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    ecs: Ecs,
    event: EventFields<'a>,
    network: Network,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Endpoint<'a>>,
    destination: Endpoint<'a>,
    process: ProcessFields<'a>,
    user: User<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<ContainerFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorFields>,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels<'a>,
}

#[derive(Serialize)]
struct Ecs {
    version: &'static str,
}

#[derive(Serialize)]
struct EventFields<'a> {
    kind: &'a str,
    category: [&'a str; 1],
    #[serde(rename = "type")]
    types: &'a [&'a str],
    action: &'a str,
    outcome: &'a str,
    reason: &'a str,
    module: &'a str,
    dataset: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
}

#[derive(Serialize)]
struct Network {
    #[serde(rename = "type")]
    family: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport: Option<&'static str>,
    iana_number: String,
    direction: &'static str,
}

#[derive(Serialize)]
struct Endpoint<'a> {
    address: IpAddr,
    ip: IpAddr,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    geo: Option<Geo<'a>>,
}

#[derive(Serialize)]
struct Geo<'a> {
    country_iso_code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    country_name: Option<&'a str>,
}

#[derive(Serialize)]
struct ProcessFields<'a> {
    pid: u32,
    thread: Thread,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<ParentFields<'a>>,
}

#[derive(Serialize)]
struct Thread {
    id: u32,
}

#[derive(Serialize)]
struct ParentFields<'a> {
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executable: Option<&'a str>,
}

#[derive(Serialize)]
struct User<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    group: Group,
}

#[derive(Serialize)]
struct Group {
    id: String,
}

#[derive(Serialize)]
struct ContainerFields<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Image<'a>>,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels<'a>,
}

#[derive(Serialize)]
struct Image<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<Hash<'a>>,
}

#[derive(Serialize)]
struct Hash<'a> {
    all: [&'a str; 1],
}

#[derive(Serialize)]
struct ErrorFields {
    code: Cow<'static, str>,
}

impl<'a> Line<'a> {
    pub(crate) fn new(event: &Event<'a>, limits: Limits) -> Self {
        let tags = event.tags().iter();
        Self {
            timestamp: time::rfc3339(event.time()),
            ecs: Ecs { version: "8.17.0" },
            event: EventFields::new(event),
            network: Network::new(event),
            source: (event.source_port() != 0 || !event.source().is_unspecified()).then(|| {
                Endpoint {
                    address: event.source(),
                    ip: event.source(),
                    port: event.source_port(),
                    domain: None,
                    geo: None,
                }
            }),
            destination: Endpoint {
                address: event.destination(),
                ip: event.destination(),
                port: event.destination_port(),
                domain: event.dname().and_then(|name| limits.known(name)),
                geo: event.tag("country").map(|code| Geo {
                    country_iso_code: limits.text(code),
                    country_name: event.tag("country_name").map(|name| limits.text(name)),
                }),
            },
            process: ProcessFields::new(event, event.process(), limits),
            user: User {
                id: event.uid().to_string(),
                name: event
                    .process()
                    .and_then(|process| limits.known(&process.user)),
                group: Group {
                    id: event.gid().to_string(),
                },
            },
            container: event
                .container()
                .map(|container| ContainerFields::new(container, limits)),
            error: event.errno().map(|errno| ErrorFields {
                code: errno::name(errno),
            }),
            labels: limits
                .labels(tags.filter(|(key, _)| key != "country" && key != "country_name")),
        }
    }
}

impl<'a> EventFields<'a> {
    fn new(event: &Event<'_>) -> Self {
        let outcome = event.outcome();
        Self {
            kind: "event",
            category: ["network"],
            types: match outcome {
                Outcome::DENIED => &["connection", "denied"],
                _ if outcome.is_success() => &["connection", "start"],
                _ => &["connection"],
            },
            // The action that Elastic's detection rules use.
            action: "connection_attempted",
            outcome: match outcome {
                _ if outcome.is_success() => "success",
                Outcome::PENDING => "unknown",
                _ if outcome.as_str() == "unknown" => "unknown",
                _ => "failure",
            },
            reason: outcome.as_str(),
            module: "lightmon",
            dataset: "lightmon.connection",
            duration: event
                .latency()
                .and_then(|it| u64::try_from(it.as_nanos()).ok()),
        }
    }
}

impl Network {
    fn new(event: &Event<'_>) -> Self {
        Self {
            family: match event.destination() {
                IpAddr::V4(_) => "ipv4",
                IpAddr::V6(_) => "ipv6",
            },
            transport: match event.protocol() {
                Protocol::TCP => Some("tcp"),
                Protocol::UDP => Some("udp"),
                _ => None,
            },
            iana_number: event.protocol().0.to_string(),
            direction: "egress",
        }
    }
}

impl<'a> ProcessFields<'a> {
    fn new(event: &Event<'_>, process: Option<&'a Process>, limits: Limits) -> Self {
        let args = process.map(|it| it.args()).filter(|args| !args.is_empty());
        Self {
            pid: event.pid(),
            thread: Thread { id: event.tid() },
            name: process.and_then(|it| limits.known(&it.comm)),
            executable: process.and_then(|it| limits.known(it.path.as_deref()?)),
            args: args.map(|args| limits.args(args)),
            args_count: args.map(<[String]>::len),
            parent: process.and_then(|it| it.parents().first()).map(
                |Parent { pid, comm, path }| ParentFields {
                    pid: *pid,
                    name: limits.known(comm),
                    executable: path.as_deref().and_then(|path| limits.known(path)),
                },
            ),
        }
    }
}

impl<'a> ContainerFields<'a> {
    fn new(container: &'a Container, limits: Limits) -> Self {
        Self {
            id: limits.text(&container.id),
            name: limits.known(&container.name),
            image: limits.known(&container.image).map(Image::new),
            labels: limits.labels(container.labels()),
        }
    }
}

impl<'a> Image<'a> {
    /// Parses `registry:5000/name:tag@sha256:…`. Every part except one may be missing.
    fn new(image: &'a str) -> Self {
        let (image, hash) = match image.split_once('@') {
            Some((image, hash)) => (image, Some(hash)),
            None if image.starts_with("sha256:") => ("", Some(image)),
            None => (image, None),
        };
        let (name, tag) = match image.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (image, None),
        };
        Self {
            name: Some(name).filter(|name| !name.is_empty()),
            tag: tag.map(|tag| [tag]),
            hash: hash.map(|hash| Hash { all: [hash] }),
        }
    }
}
