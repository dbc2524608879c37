//! What connections there are to open.

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
    /// TCP over IPv4 to a port that nobody listens on
    Refused,
    /// A UDP socket that is connected; nothing is sent
    Udp,
    /// UDP that is sent without connecting
    UdpSend,
    /// A process for each connection, which connects over TCP at once and ends
    Exec,
}

impl Kind {
    /// What lightmon calls a connection that went as it should.
    pub(crate) const fn outcome(self) -> &'static str {
        match self {
            Self::Tcp | Self::Tcp6 | Self::Exec => "established",
            Self::Refused => "refused",
            Self::Udp => "connected",
            Self::UdpSend => "sent",
        }
    }

    /// lightmon's name for its protocol.
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
