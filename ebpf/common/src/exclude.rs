//! What the kernel program leaves out: rules that a connection is compared with before there is a record of it.

/// Most rules that the kernel program can have.
pub const MAX_RULES: usize = 64;

/// The fields of a connection that rules look at.
#[derive(Clone, Copy, Default)]
pub struct Fields {
    /// Peer's address in network order; an IPv4 address is IPv4-mapped.
    pub destination: [u8; 16],
    /// As in [`Task::tgid`](crate::Task::tgid).
    pub tgid: u32,
    /// As in [`Task::uid`](crate::Task::uid).
    pub uid: u32,
    /// Whether the destination is an IPv4 address: networks of IPv6 have none of them.
    pub is_ipv4: bool,
    /// Peer's port in host order.
    pub destination_port: u16,
    /// IANA number.
    pub protocol: u16,
}

impl Fields {
    /// All of them, as rules compare them.
    #[inline(always)]
    pub fn words(&self) -> [u64; 4] {
        let Self {
            destination: [a, b, c, d, e, f, g, h, rest @ ..],
            tgid,
            uid,
            is_ipv4,
            destination_port,
            protocol,
        } = *self;
        [
            u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            u64::from_ne_bytes(rest),
            u64::from(tgid) << 32 | u64::from(uid),
            u64::from(is_ipv4) << 32 | u64::from(destination_port) << 16 | u64::from(protocol),
        ]
    }
}

/// Matches the connections whose [words](Fields::words) have the bits of `value` where those of `mask` are 1; those of
/// `value` are 0 elsewhere.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    feature = "user",
    derive(Debug, PartialEq, zerocopy::IntoBytes, zerocopy::Immutable)
)]
pub struct Rule {
    /// What is looked at.
    pub mask: [u64; 4],
    /// What it has to be.
    pub value: [u64; 4],
}

impl Rule {
    /// Matches everything.
    pub const ALL: Self = Self {
        mask: [0; 4],
        value: [0; 4],
    };

    /// Whether the connection is one of those.
    #[inline(always)]
    pub fn matches(&self, words: [u64; 4]) -> bool {
        let Self { mask, value } = self;
        (words[0] & mask[0]) == value[0]
            && (words[1] & mask[1]) == value[1]
            && (words[2] & mask[2]) == value[2]
            && (words[3] & mask[3]) == value[3]
    }
}

/// A connection that any of them matches is left out.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(feature = "user", derive(zerocopy::IntoBytes, zerocopy::Immutable))]
pub struct Rules {
    /// How many there are; those behind them are not looked at.
    pub count: u64,
    /// In any order.
    pub rules: [Rule; MAX_RULES],
}

impl Rules {
    /// Nothing is left out.
    pub const NONE: Self = Self {
        count: 0,
        rules: [Rule::ALL; MAX_RULES],
    };
}

const _: () = assert!(size_of::<Rules>() == 8 + 64 * MAX_RULES);
