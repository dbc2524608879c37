//! The exclude rules that the kernel program evaluates, before it makes a record of a connection.

/// Maximum number of rules in the kernel program.
pub const MAX_RULES: usize = 64;

/// The fields of a connection that rules compare.
#[derive(Clone, Copy, Default)]
pub struct Fields {
    /// Destination address in network order. An IPv4 address is IPv4-mapped.
    pub destination: [u8; 16],
    /// See [`Task::tgid`](crate::Task::tgid).
    pub tgid: u32,
    /// See [`Task::uid`](crate::Task::uid).
    pub uid: u32,
    /// Whether the destination is an IPv4 address. An IPv6 network contains no IPv4 address, mapped or not.
    pub is_ipv4: bool,
    /// Destination port in host order.
    pub destination_port: u16,
    /// IANA number.
    pub protocol: u16,
}

impl Fields {
    /// All fields, in the layout of [`Rule::mask`] and [`Rule::value`].
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

/// Matches a connection if its [words](Fields::words) equal `value` in all bits that are 1 in `mask`.
/// The other bits of `value` are 0.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(
    feature = "user",
    derive(Debug, PartialEq, zerocopy::IntoBytes, zerocopy::Immutable)
)]
pub struct Rule {
    /// The bits that are compared.
    pub mask: [u64; 4],
    /// The values that these bits must have.
    pub value: [u64; 4],
}

impl Rule {
    /// Matches every connection.
    pub const ALL: Self = Self {
        mask: [0; 4],
        value: [0; 4],
    };

    /// Whether the rule matches a connection with these [words](Fields::words).
    #[inline(always)]
    pub fn matches(&self, words: [u64; 4]) -> bool {
        let Self { mask, value } = self;
        (words[0] & mask[0]) == value[0]
            && (words[1] & mask[1]) == value[1]
            && (words[2] & mask[2]) == value[2]
            && (words[3] & mask[3]) == value[3]
    }
}

/// A connection is excluded if any of these rules matches.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(feature = "user", derive(zerocopy::IntoBytes, zerocopy::Immutable))]
pub struct Rules {
    /// Number of rules in use, from the start of `rules`.
    pub count: u64,
    /// The rules, in any order.
    pub rules: [Rule; MAX_RULES],
}

impl Rules {
    /// Excludes nothing.
    pub const NONE: Self = Self {
        count: 0,
        rules: [Rule::ALL; MAX_RULES],
    };
}

const _: () = assert!(size_of::<Rules>() == 8 + 64 * MAX_RULES);
