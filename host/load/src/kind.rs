//! The kinds of connections.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// One way of opening a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// TCP over IPv4, accepted
    Tcp,
    /// TCP over IPv6, accepted; needs --own-network, as the loopback device has one IPv6 address only
    Tcp6,
    /// TCP over IPv4 to a port without a listener
    Refused,
    /// A connected UDP socket; nothing is sent
    Udp,
    /// A datagram from an unconnected UDP socket
    UdpSend,
    /// One process per connection: it connects over TCP and ends
    Exec,
}

impl Kind {
    /// The outcome that lightmon must report.
    pub(crate) const fn outcome(self) -> &'static str {
        match self {
            Self::Tcp | Self::Tcp6 | Self::Exec => "established",
            Self::Refused => "refused",
            Self::Udp => "connected",
            Self::UdpSend => "sent",
        }
    }

    /// The protocol that lightmon must report.
    pub(crate) const fn protocol(self) -> &'static str {
        match self {
            Self::Udp | Self::UdpSend => "udp",
            Self::Tcp | Self::Tcp6 | Self::Refused | Self::Exec => "tcp",
        }
    }

    pub(crate) const fn is_ipv6(self) -> bool {
        matches!(self, Self::Tcp6)
    }
}
