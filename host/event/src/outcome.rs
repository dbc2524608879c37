//! How a connection ended.

use std::fmt;

macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $text:literal,)*) => {
        /// How a connection ended. The number is the one in the plugin contract (`wit/`); everything else uses the word.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[repr(u8)]
        pub enum Outcome { $($(#[$doc])* $name = $code,)* }

        impl Outcome {
            /// All outcomes, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word for the outcome.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

outcomes! {
    /// TCP: the handshake is complete.
    Established = 1 "established",
    /// UDP: connect(2) has set the destination; nothing is sent yet.
    Connected = 2 "connected",
    /// The destination refused the connection.
    Refused = 3 "refused",
    /// The destination reset the connection.
    Reset = 4 "reset",
    /// The destination did not answer.
    TimedOut = 5 "timed-out",
    /// There is no route to the host or its network.
    Unreachable = 6 "unreachable",
    /// A firewall, cgroup program or security module denied the connection.
    Denied = 7 "denied",
    /// The source address or port was in use or not available.
    AddressUnavailable = 8 "address-unavailable",
    /// The process closed the socket before an answer.
    Aborted = 9 "aborted",
    /// Any other errno.
    Failed = 10 "failed",
    /// TCP: no answer after one second. The outcome follows in an event with the same [`Event::id`](crate::Event::id).
    Pending = 11 "pending",
    /// UDP without connect(2): the first datagram to this destination within a minute was sent.
    Sent = 12 "sent",
}

impl Outcome {
    /// What an errno (Linux numbers, include/uapi/asm-generic/errno.h) means for a connection that has failed.
    pub const fn from_errno(errno: u16) -> Self {
        match errno {
            111 => Self::Refused,                       // ECONNREFUSED
            104 => Self::Reset,                         // ECONNRESET
            110 => Self::TimedOut,                      // ETIMEDOUT
            100 | 101 | 112 | 113 => Self::Unreachable, // ENETDOWN ENETUNREACH EHOSTDOWN EHOSTUNREACH
            1 | 13 => Self::Denied,                     // EPERM EACCES
            98 | 99 => Self::AddressUnavailable,        // EADDRINUSE EADDRNOTAVAIL
            103 => Self::Aborted,                       // ECONNABORTED
            _ => Self::Failed,
        }
    }

    /// Whether the connection succeeded.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Established | Self::Connected | Self::Sent)
    }

    /// The outcome for a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|outcome| outcome.as_str() == word)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
