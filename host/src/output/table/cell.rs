//! What the table's cells say of an event, and how they say it in too little room.
//! Looks at no terminal: a width of none is a pipe's, where a cell may be as long as it likes.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    escape,
    event::{Event, Outcome, Protocol},
    output::{format, json::value::ErrorName},
};

/// What a cell in a pipe is cut to: comfy-table counts columns in 16 bits, and characters may be two wide. Only a forged
/// record gets there.
const LONGEST: usize = 30_000;

/// In the zone, to the second.
pub(super) fn time(time: Timestamp, zone: &TimeZone) -> String {
    zone.to_datetime(time).strftime("%H:%M:%S").to_string()
}

pub(super) fn user(event: &Event, width: Option<u16>) -> String {
    text(format::user(event).as_deref().unwrap_or("-"), width)
}

pub(super) fn pid(event: &Event) -> String {
    event.pid.to_string()
}

pub(super) fn family(event: &Event) -> String {
    let family = if event.destination.is_ipv4() {
        "ipv4"
    } else {
        "ipv6"
    };
    family.to_owned()
}

/// Any text, escaped. No longer than comfy-table needs to see that it has to be cut: its work grows with the square.
fn text(text: &str, width: Option<u16>) -> String {
    let longest = width.map_or(LONGEST, |width| 4 * usize::from(width));
    let end = |text: &str| {
        text.char_indices()
            .nth(longest)
            .map_or(text.len(), |(end, _)| end)
    };
    let mut safe = escape::Text(&text[..end(text)]).to_string();
    if width.is_none() {
        // There the columns are told apart by it.
        safe = safe.replace('|', "\\x7c");
    }
    safe.truncate(end(&safe));
    safe
}

/// Address and port; the port stays when there is little room.
pub(super) fn endpoint(address: SocketAddr, width: Option<u16>) -> String {
    if address.ip().is_unspecified() && address.port() == 0 {
        return "-".to_owned();
    }
    let full = address.to_string();
    let Some(width) = width.map(usize::from).filter(|&width| width < full.len()) else {
        return full;
    };
    let end = if address.is_ipv6() {
        full.rfind("]:")
    } else {
        full.rfind(':')
    };
    let (head, tail) = full.split_at(end.unwrap_or(full.len()));
    // Nothing of the address fits: then its bracket says nothing either.
    let tail = if width < 1 + tail.len() {
        tail.trim_start_matches(']')
    } else {
        tail
    };
    let head = &head[..width.saturating_sub(1 + tail.len()).min(head.len())];
    format!("{head}…{tail}")
}

/// The container's name, or the beginning of its id.
pub(super) fn container(event: &Event, width: Option<u16>) -> String {
    const SHORT_ID: usize = 12;
    let Some(container) = &event.container else {
        return "-".to_owned();
    };
    if let Some(name) = &container.name {
        return text(name, width);
    }
    let end = container
        .id
        .char_indices()
        .nth(SHORT_ID)
        .map_or(container.id.len(), |(end, _)| end);
    text(&container.id[..end], width)
}

/// Namespace, pod and container; as [`container`] where there is no pod.
pub(super) fn pod(event: &Event, width: Option<u16>) -> String {
    let Some(pod) = event.container.as_ref().and_then(|it| it.pod.as_deref()) else {
        return container(event, width);
    };
    let mut name = format!("{}/{}", pod.namespace, pod.name);
    // The sandbox is none of the pod's containers.
    if !pod.container.is_empty() {
        name.push('/');
        name.push_str(&pod.container);
    }
    text(&name, width)
}

/// The program's path, or the process's name; a path is cut at its beginning, since its end says more.
pub(super) fn process(event: &Event, width: Option<u16>) -> String {
    let path = event.process.path.as_deref().unwrap_or(&event.process.comm);
    if path.is_empty() {
        return "-".to_owned();
    }
    match width.map(usize::from) {
        Some(width)
            if path.len() > width && path.bytes().all(|byte| matches!(byte, b' '..=b'~')) =>
        {
            format!("…{}", &path[path.len() - (width - 1)..])
        }
        _ => text(path, width),
    }
}

/// How it ended, and after how long if there is room; an outcome that says little names its errno.
pub(super) fn outcome(event: &Event, width: Option<u16>) -> String {
    let mut cell = String::new();
    if event.protocol != Protocol::Tcp {
        let _ = write!(cell, "{} ", event.protocol);
    }
    cell.push_str(event.outcome.as_str());
    let mut add = |word: String| {
        if width.is_none_or(|width| cell.len() + 1 + word.len() <= usize::from(width)) {
            cell.push(' ');
            cell.push_str(&word);
        }
    };
    if event.outcome == Outcome::Failed
        && let Some(name) = event.errno.and_then(ErrorName::of)
    {
        add(name.to_string());
    }
    if let Some(latency) = event.latency {
        add(brief(latency));
    }
    cell
}

/// `country=US as=64496`
pub(super) fn tags(event: &Event, width: Option<u16>) -> String {
    let mut all = String::new();
    for (i, (key, value)) in event.tags.iter().enumerate() {
        let gap = if i > 0 { " " } else { "" };
        let _ = write!(all, "{gap}{key}={value}");
    }
    text(&all, width)
}

fn brief(latency: Duration) -> String {
    let ms = latency.as_secs_f64() * 1e3;
    match latency.as_micros() {
        us @ 0..1_000 => format!("{us}us"),
        1_000..9_950 => format!("{ms:.1}ms"),
        9_950..999_500 => format!("{ms:.0}ms"),
        _ => format!("{:.1}s", ms / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{Container, Process};

    #[test]
    fn endpoints_keep_their_port() {
        let check = |address: &str, width, expected: &str| {
            assert_eq!(endpoint(address.parse().unwrap(), Some(width)), expected);
        };
        check("192.0.2.1:443", 13, "192.0.2.1:443");
        check("192.0.2.10:65535", 12, "192.0…:65535");
        check(
            "[2001:db8:85a3::8a2e:370:7334]:443",
            18,
            "[2001:db8:85…]:443",
        );
        check("[2001:db8::1]:65535", 8, "…]:65535");
        check("[2001:db8::1]:65535", 7, "…:65535");
        check("[2001:db8::1]:65535", 4, "…:65535");
        check("[::]:0", 12, "-");
        check("0.0.0.0:0", 12, "-");
    }

    #[test]
    fn paths_keep_their_end() {
        let check = |path: &str, width, expected: &str| {
            let process = Process {
                path: Some(path.into()),
                ..Process::default()
            };
            let event = Event {
                process: Arc::new(process),
                ..Event::sample()
            };
            assert_eq!(super::process(&event, width), expected);
        };
        check("/usr/local/bin/curl", Some(9), "…bin/curl");
        check("/usr/local/bin/curl", Some(19), "/usr/local/bin/curl");
        check("/usr/local/bin/curl", None, "/usr/local/bin/curl");
        check("/a|\n", None, r"/a\x7c\n");
        check("/a|\n", Some(20), r"/a|\n");
    }

    #[test]
    fn outcomes() {
        let check = |protocol, outcome, errno, latency, width, expected: &str| {
            let latency = Some(Duration::from_nanos(latency));
            let event = Event {
                protocol,
                outcome,
                errno,
                latency,
                ..Event::sample()
            };
            assert_eq!(super::outcome(&event, width), expected);
        };
        let tcp = Protocol::Tcp;
        check(
            tcp,
            Outcome::Established,
            None,
            1_234_000,
            Some(17),
            "established 1.2ms",
        );
        check(
            tcp,
            Outcome::Established,
            None,
            1_234_000,
            Some(16),
            "established",
        );
        check(
            tcp,
            Outcome::Refused,
            Some(111),
            312_900,
            None,
            "refused 312us",
        );
        check(
            tcp,
            Outcome::TimedOut,
            Some(110),
            130_100_000_000,
            None,
            "timed-out 130.1s",
        );
        check(
            tcp,
            Outcome::Failed,
            Some(22),
            99_999_999,
            None,
            "failed EINVAL 100ms",
        );
        check(
            tcp,
            Outcome::Failed,
            Some(4095),
            9_949_999,
            None,
            "failed 9.9ms",
        );
        check(
            Protocol::Udp,
            Outcome::Connected,
            None,
            999_499_999,
            None,
            "udp connected 999ms",
        );
        check(
            Protocol::Other(132),
            Outcome::Established,
            None,
            999_500_000,
            None,
            "132 established 1.0s",
        );
    }

    #[test]
    fn a_pod_is_shown_with_its_namespace_and_container() {
        let check = |pod: Option<crate::event::Pod>, expected: &str| {
            let container = Container {
                name: Some("nginx".into()),
                pod: pod.map(Arc::new),
                ..Container::default()
            };
            let event = Event {
                container: Some(Arc::new(container)),
                ..Event::sample()
            };
            assert_eq!(super::pod(&event, None), expected);
            assert_eq!(super::container(&event, None), "nginx");
        };
        let pod = crate::event::Pod {
            name: "web-0".into(),
            namespace: "shop".into(),
            container: "nginx".into(),
            ..Default::default()
        };
        check(Some(pod.clone()), "shop/web-0/nginx");
        let sandbox = crate::event::Pod {
            container: "".into(),
            ..pod
        };
        check(Some(sandbox), "shop/web-0");
        check(None, "nginx");
    }

    #[test]
    fn a_container_without_a_name_has_its_short_id() {
        let check = |container: Option<Container>, expected: &str| {
            let event = Event {
                container: container.map(Arc::new),
                ..Event::sample()
            };
            assert_eq!(super::container(&event, None), expected);
        };
        let nameless = Container {
            id: "3f4e8d0c5b6a79881726".into(),
            ..Container::default()
        };
        check(
            Some(Container {
                name: Some("web".into()),
                ..nameless.clone()
            }),
            "web",
        );
        check(Some(nameless), "3f4e8d0c5b6a");
        check(None, "-");
    }
}
