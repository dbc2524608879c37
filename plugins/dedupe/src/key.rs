//! What makes two connections the same: the fields that the user chose, as bytes, and as text for reports. Leaves out how they
//! ended, on purpose.

use std::{fmt::Write, net::IpAddr};

use lightmon_plugin::{Event, Fields};
use serde::Deserialize;

/// Bytes of a key's text: as many keys as there may be fit into the plugin's memory.
const LONGEST_TEXT: usize = 120;

/// A field that counts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    /// The program's path; where it is not known, the process's name.
    Path,
    Comm,
    Args,
    Pid,
    /// The user's id.
    User,
    /// The container's id.
    Container,
    Image,
    Destination,
    Port,
    Protocol,
}

impl Part {
    /// What the host has to fill in for it.
    pub(crate) fn needs(self) -> Fields {
        match self {
            Self::Path | Self::Comm => Fields::PROCESS,
            Self::Args => Fields::ARGS,
            Self::Container | Self::Image => Fields::CONTAINER,
            Self::Pid | Self::User | Self::Destination | Self::Port | Self::Protocol => {
                Fields::empty()
            }
        }
    }

    /// Adds it to the key, so that no two values of it look alike, whatever follows.
    fn write(self, event: &Event<'_>, key: &mut Vec<u8>) {
        let (process, container) = (event.process(), event.container());
        match self {
            Self::Path => match process.and_then(|it| it.path.as_deref()) {
                Some(path) => text(key, 1, path),
                None => text(key, 0, process.map_or("", |it| &it.comm)),
            },
            Self::Comm => text(key, 0, process.map_or("", |it| &it.comm)),
            Self::Args => {
                let args = process.map_or(&[][..], |it| it.args());
                key.extend(args.len().to_le_bytes());
                for arg in args {
                    text(key, 0, arg);
                }
            }
            Self::Pid => key.extend(event.pid().to_le_bytes()),
            Self::User => key.extend(event.uid().to_le_bytes()),
            Self::Container => text(key, 0, container.map_or("", |it| &it.id)),
            Self::Image => text(key, 0, container.map_or("", |it| &it.image)),
            Self::Destination => match event.destination() {
                IpAddr::V4(address) => key.extend(address.to_ipv6_mapped().octets()),
                IpAddr::V6(address) => key.extend(address.octets()),
            },
            Self::Port => key.extend(event.destination_port().to_le_bytes()),
            Self::Protocol => key.push(event.protocol().0),
        }
    }
    /// Adds it to the text that a report names the key by. Arguments are only counted: reports are not redacted.
    fn tell(self, event: &Event<'_>, text: &mut String) {
        let (process, container) = (event.process(), event.container());
        let comm = process.map_or("", |it| &it.comm);
        // Writing to a text never fails.
        let _ = match self {
            Self::Path => write!(
                text,
                "path={}",
                process.and_then(|it| it.path.as_deref()).unwrap_or(comm)
            ),
            Self::Comm => write!(text, "comm={comm}"),
            Self::Args => write!(text, "args={}", process.map_or(0, |it| it.args().len())),
            Self::Pid => write!(text, "pid={}", event.pid()),
            Self::User => write!(text, "uid={}", event.uid()),
            Self::Container => match container {
                Some(it) if it.name.is_empty() => write!(text, "container={:.12}", it.id),
                Some(it) => write!(text, "container={}", it.name),
                None => Ok(()),
            },
            Self::Image => match container {
                Some(it) => write!(text, "image={}", it.image),
                None => Ok(()),
            },
            Self::Destination => write!(text, "destination={}", event.destination()),
            Self::Port => write!(text, "port={}", event.destination_port()),
            Self::Protocol => write!(text, "protocol={}", event.protocol()),
        };
    }
}

/// The key of an event. What it begins with is mixed from all of it, so that most keys differ there: whole paths and container ids
/// need not be compared to tell two keys apart.
pub(crate) fn of(event: &Event<'_>, parts: &[Part]) -> Vec<u8> {
    let mut key = Vec::with_capacity(256);
    key.extend([0; MIXED]);
    for part in parts {
        part.write(event, &mut key);
    }
    let (start, rest) = key.split_at_mut(MIXED);
    start.copy_from_slice(&mix(rest).to_le_bytes());
    key
}

/// Bytes of [`mix`].
const MIXED: usize = size_of::<u64>();

/// As FxHash does it. Who makes two that are alike wins nothing: they are compared whole then.
fn mix(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let rest = rest
        .iter()
        .fold(0, |word, &byte| word << 8 | u64::from(byte));
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    words.chain([rest]).fold(0_u64, |mixed, word| {
        (mixed.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
    })
}

/// The key as a report names it, at most [`LONGEST_TEXT`] bytes.
pub(crate) fn text_of(event: &Event<'_>, parts: &[Part]) -> String {
    let mut told = String::new();
    for part in parts {
        let length = told.len();
        if length > 0 {
            told.push(' ');
        }
        let start = told.len();
        part.tell(event, &mut told);
        if told.len() == start {
            told.truncate(length);
        }
    }
    told.truncate(told.floor_char_boundary(LONGEST_TEXT));
    told
}

fn text(key: &mut Vec<u8>, form: u8, text: &str) {
    key.push(form);
    key.extend(text.len().to_le_bytes());
    key.extend(text.as_bytes());
}
