//! The key of a connection: the fields that the user chose, as bytes for comparison and as text for reports. The outcome is not
//! part of the key; see `seen.rs`.

use std::{fmt::Write, net::IpAddr};

use lightmon_plugin::{Event, Fields};
use serde::Deserialize;

/// Maximum length of the description of a key, so that the descriptions of all keys fit into the plugin's memory.
const MAX_DESCRIPTION_BYTES: usize = 120;

/// A field of the key.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeyField {
    /// The program's path, or the process's name if the path is not known.
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

impl KeyField {
    /// The event fields that this key field requires.
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

    /// Appends the field's value to the key. The encoding is unambiguous: different values give different keys.
    fn write(self, event: &Event<'_>, key: &mut Vec<u8>) {
        let (process, container) = (event.process(), event.container());
        match self {
            Self::Path => match process.and_then(|it| it.path.as_deref()) {
                Some(path) => push_text(key, 1, path),
                None => push_text(key, 0, process.map_or("", |it| &it.comm)),
            },
            Self::Comm => push_text(key, 0, process.map_or("", |it| &it.comm)),
            Self::Args => {
                let args = process.map_or(&[][..], |it| it.args());
                key.extend(args.len().to_le_bytes());
                for arg in args {
                    push_text(key, 0, arg);
                }
            }
            Self::Pid => key.extend(event.pid().to_le_bytes()),
            Self::User => key.extend(event.uid().to_le_bytes()),
            Self::Container => push_text(key, 0, container.map_or("", |it| &it.id)),
            Self::Image => push_text(key, 0, container.map_or("", |it| &it.image)),
            Self::Destination => match event.destination() {
                IpAddr::V4(address) => key.extend(address.to_ipv6_mapped().octets()),
                IpAddr::V6(address) => key.extend(address.octets()),
            },
            Self::Port => key.extend(event.destination_port().to_le_bytes()),
            Self::Protocol => key.push(event.protocol().0),
        }
    }

    /// Appends the field to the description of the key. For arguments, writes only their number, because redact does not see
    /// reports.
    fn describe(self, event: &Event<'_>, text: &mut String) {
        let (process, container) = (event.process(), event.container());
        let comm = process.map_or("", |it| &it.comm);
        // Writing to a String never fails.
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

/// The key of an event. It starts with a hash of its fields, so that most comparisons of two keys end in the first bytes.
pub(crate) fn of(event: &Event<'_>, fields: &[KeyField]) -> Vec<u8> {
    let mut key = Vec::with_capacity(256);
    key.extend([0; HASH_BYTES]);
    for field in fields {
        field.write(event, &mut key);
    }
    let (start, rest) = key.split_at_mut(HASH_BYTES);
    start.copy_from_slice(&hash(rest).to_le_bytes());
    key
}

/// Size of the result of [`hash`].
const HASH_BYTES: usize = size_of::<u64>();

/// Computes FxHash. Collisions are harmless, because the whole keys are compared.
fn hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let rest = rest
        .iter()
        .fold(0, |word, &byte| word << 8 | u64::from(byte));
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    words.chain([rest]).fold(0_u64, |hash, word| {
        (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
    })
}

/// The description of the key in a report, at most [`MAX_DESCRIPTION_BYTES`] bytes.
pub(crate) fn description(event: &Event<'_>, fields: &[KeyField]) -> String {
    let mut text = String::new();
    for field in fields {
        let length = text.len();
        if length > 0 {
            text.push(' ');
        }
        let start = text.len();
        field.describe(event, &mut text);
        if text.len() == start {
            text.truncate(length);
        }
    }
    text.truncate(text.floor_char_boundary(MAX_DESCRIPTION_BYTES));
    text
}

/// Appends a text with its length. `tag` distinguishes texts of different kinds, such as a path and a name.
fn push_text(key: &mut Vec<u8>, tag: u8, text: &str) {
    key.push(tag);
    key.extend(text.len().to_le_bytes());
    key.extend(text.as_bytes());
}
