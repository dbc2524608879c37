//! What makes two connections the same: the fields that the user chose, as bytes. Leaves out how they ended, on purpose.

use std::net::IpAddr;

use lightmon_plugin::{Event, Fields};
use serde::Deserialize;

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
}

/// The key of an event.
pub(crate) fn of(event: &Event<'_>, parts: &[Part]) -> Vec<u8> {
    let mut key = Vec::with_capacity(128);
    for part in parts {
        part.write(event, &mut key);
    }
    key
}

fn text(key: &mut Vec<u8>, form: u8, text: &str) {
    key.push(form);
    key.extend(text.len().to_le_bytes());
    key.extend(text.as_bytes());
}
