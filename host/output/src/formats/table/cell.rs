//! What the table's cells say of an event, and how they say it in too little room.
//! Looks at no terminal: a width of none is a pipe's, where a cell may be as long as it likes.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use jiff::{Timestamp, tz::TimeZone};

use lightmon_event::{ErrorName, Event, Outcome, Protocol, escape};

/// What a cell in a pipe is cut to: comfy-table counts columns in 16 bits, and characters may be two wide. Only a forged
/// record gets there.
const LONGEST: usize = 30_000;

/// In the zone, to the second.
pub(super) fn time(time: Timestamp, zone: &TimeZone) -> String {
    zone.to_datetime(time).strftime("%H:%M:%S").to_string()
}

pub(super) fn user(event: &Event, width: Option<u16>) -> String {
    text(event.user_name().as_deref().unwrap_or("-"), width)
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
mod tests;
