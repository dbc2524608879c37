//! Builds the tags of an event from all fields that a plugin receives.

use std::net::{IpAddr, SocketAddr};

use lightmon_plugin::{Event, Outcome, Protocol};

/// Maximum length of a tag value.
const MAX_TAG_BYTES: usize = 100;

/// The tags that every event gets, in order.
pub(crate) fn tags(event: &Event<'_>) -> [(&'static str, String); 14] {
    let process = event.process();
    let container = event.container();
    [
        (
            "dst",
            endpoint(event.destination(), event.destination_port()),
        ),
        ("src", endpoint(event.source(), event.source_port())),
        ("time", event.time().as_nanos().to_string()),
        (
            "latency",
            or_dash(event.latency().map(|it| it.as_nanos().to_string())),
        ),
        (
            "ids",
            format!(
                "{}/{}/{}/{}",
                event.pid(),
                event.tid(),
                event.uid(),
                event.gid()
            ),
        ),
        (
            "who",
            or_dash(process.map(|it| {
                let path = it.path.as_deref().unwrap_or("-");
                format!("{} {} {path}", it.user, it.comm)
            })),
        ),
        (
            "args",
            or_dash(process.and_then(|it| it.args.as_ref()).map(|args| {
                let last = args.last().map_or("", String::as_str);
                format!("{} {last}", args.len())
            })),
        ),
        (
            "parent",
            or_dash(
                process
                    .and_then(|it| it.parents().first())
                    .map(|it| format!("{} {}", it.pid, it.comm)),
            ),
        ),
        (
            "container",
            or_dash(container.map(|it| format!("{} {} {}", it.id, it.name, it.image))),
        ),
        (
            "label",
            or_dash(container.and_then(|it| it.label("team").map(str::to_owned))),
        ),
        ("earlier", event.tags().len().to_string()),
        ("outcome", outcome(event.outcome())),
        ("protocol", protocol(event.protocol())),
        ("errno", event.errno().unwrap_or(0).to_string()),
    ]
}

/// Truncates the text to `MAX_TAG_BYTES`, at the end of a character.
pub(crate) fn truncate(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TAG_BYTES)]
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn endpoint(address: IpAddr, port: u16) -> String {
    SocketAddr::new(address, port).to_string()
}

fn outcome(outcome: Outcome) -> String {
    format!("{} {outcome}", outcome.0)
}

fn protocol(protocol: Protocol) -> String {
    protocol.to_string()
}
