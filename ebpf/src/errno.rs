//! Error numbers of system calls: include/uapi/asm-generic/errno-base.h and errno.h.

pub const EINTR: i64 = 4;
pub const EBADF: i64 = 9;
pub const EAGAIN: i64 = 11;
pub const ENOMEM: i64 = 12;
pub const EFAULT: i64 = 14;
pub const EEXIST: i32 = 17;
pub const EINVAL: i64 = 22;
pub const EPIPE: i64 = 32;
pub const ENOTSOCK: i64 = 88;
pub const EDESTADDRREQ: i64 = 89;
pub const EMSGSIZE: i64 = 90;
pub const EOPNOTSUPP: i64 = 95;
pub const ECONNRESET: i64 = 104;
pub const ENOBUFS: i64 = 105;
pub const EISCONN: i64 = 106;
pub const EALREADY: i64 = 114;
pub const EINPROGRESS: i64 = 115;
/// The largest errno that user space sees. Larger ones are internal to the kernel, for calls that are restarted after a signal.
pub const MAX_ERRNO: i64 = 133;

/// A set of error numbers up to 127. A bit set, since the verifier follows each branch of a comparison chain.
#[derive(Clone, Copy)]
pub struct ErrnoSet(u64, u64);

impl ErrnoSet {
    /// The set of these error numbers.
    pub const fn of(errnos: &[i64]) -> Self {
        let (mut bits, mut i) = (0_u128, 0);
        while i < errnos.len() {
            bits |= 1 << errnos[i];
            i += 1;
        }
        Self(bits as u64, (bits >> 64) as u64)
    }

    /// Whether the set contains `errno`.
    #[inline(always)]
    pub fn contains(self, errno: i64) -> bool {
        let half = match errno >> 6 {
            0 => self.0,
            1 => self.1,
            _ => 0,
        };
        half >> (errno & 63) & 1 != 0
    }
}
