//! The text of the table's cells, shortened to a width.
//! Does not look at the terminal: the width `None` means a pipe, where cells are not shortened.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use lightmon_event::{ErrorName, Event, Outcome, Protocol, escape};

/// The length of a cell in a pipe: comfy-table counts columns in 16 bits, and a character may be two columns wide. Only text of a
/// forged record is longer.
const MAX_PIPED_CELL_CHARS: usize = 30_000;

/// The time in the zone, to the second.
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

/// Any text, escaped. Cut to four times the width, which is enough for comfy-table to see that the text is too long: the time that
/// comfy-table needs grows with the square of the length.
fn text(text: &str, width: Option<u16>) -> String {
    let longest = width.map_or(MAX_PIPED_CELL_CHARS, |width| 4 * usize::from(width));
    let end = |text: &str| {
        text.char_indices()
            .nth(longest)
            .map_or(text.len(), |(end, _)| end)
    };
    let mut safe = escape::Text(&text[..end(text)]).to_string();
    if width.is_none() {
        // `|` separates the columns.
        safe = safe.replace('|', "\\x7c");
    }
    safe.truncate(end(&safe));
    safe
}

/// Address and port. If the cell is too narrow, the address is shortened, and not the port.
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
    // If nothing of the address fits, its bracket is left out too.
    let tail = if width < 1 + tail.len() {
        tail.trim_start_matches(']')
    } else {
        tail
    };
    let head = &head[..width.saturating_sub(1 + tail.len()).min(head.len())];
    format!("{head}…{tail}")
}

/// The container's name, or else the beginning of its id.
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

/// Namespace, pod and container; the same as [`container`] outside of pods.
pub(super) fn pod(event: &Event, width: Option<u16>) -> String {
    let Some(pod) = event.container.as_ref().and_then(|it| it.pod.as_deref()) else {
        return container(event, width);
    };
    let mut name = format!("{}/{}", pod.namespace, pod.name);
    // The pod's sandbox has no container name.
    if !pod.container.is_empty() {
        name.push('/');
        name.push_str(&pod.container);
    }
    text(&name, width)
}

/// The program's path, or else the process's name. A path is cut at its beginning, since its end says more.
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

/// The outcome, the errno if the outcome is `failed`, and the latency. What does not fit is left out.
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
