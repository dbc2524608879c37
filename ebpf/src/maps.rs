//! The maps: what the hooks remember, and the way out.

use aya_ebpf::{
    macros::map,
    maps::{HashMap, PerCpuArray, RingBuf},
};
use lightmon_common::{Cgroup, Exec, MAX_ARGS, MAX_PATH, Task, counter};

/// Records for the host. The host sets the size before it loads the program.
#[map]
pub static RECORDS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// See [`counter`]. Per CPU, so that counting needs no atomic operation.
#[map]
pub static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(counter::COUNT, 0);

/// TCP connections that wait for an answer, by `struct sock *`. Not an LRU map: an entry that vanished
/// would be a connection lost silently, a full map is counted.
#[map]
pub static PENDING: HashMap<u64, Pending> = HashMap::with_max_entries(65_536, 0);

/// connect(2) calls that a thread is in, by `bpf_get_current_pid_tgid`.
#[map]
pub static CALLS: HashMap<u64, Call> = HashMap::with_max_entries(16_384, 0);

/// Room to put an [`Exec`] together, which the stack of 512 bytes lacks.
#[map]
pub static EXEC: PerCpuArray<ExecBuffer> = PerCpuArray::with_max_entries(1, 0);

/// Room for a [`Cgroup`].
#[map]
pub static CGROUP: PerCpuArray<CgroupBuffer> = PerCpuArray::with_max_entries(1, 0);

/// Who has begun a connection, and when. Only SYN_SENT is surely entered in the caller's context.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Pending {
    pub began_ns: u64,
    pub task: Task,
}

/// What connect(2) was asked for, and what became of it so far.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Call {
    pub began_ns: u64,
    /// The socket that `fd` stands for; 0 without BTF.
    pub sk: u64,
    /// The socket that went to SYN_SENT in this call (a subflow of `sk` with MPTCP), or 0: no SYN was sent.
    pub syn_sk: u64,
    pub source: [u8; 16],
    pub destination: [u8; 16],
    pub source_port: u16,
    pub destination_port: u16,
    pub family: u16,
    /// 0 without BTF.
    pub protocol: u16,
    /// `syn_sk` was closed again in this call, without an error of its own: the call's errno says why.
    pub closed: u64,
    /// Where the destination is in user memory, if it could not be read yet: its page was not there. Else 0.
    pub unread: u64,
}

/// An [`Exec`] with the arguments and the path behind it, and room for one more name than the path may have.
#[repr(C)]
pub struct ExecBuffer {
    pub exec: Exec,
    pub data: [u8; MAX_ARGS + MAX_PATH + NAME_MAX],
    /// Length of the path so far. Kept here and not in a register, so that the verifier, which follows each value
    /// that a register can have, finds every turn of the loop alike.
    pub path_len: u64,
}

/// A [`Cgroup`] with its path behind it.
#[repr(C)]
pub struct CgroupBuffer {
    pub cgroup: Cgroup,
    pub path: [u8; MAX_PATH],
}

/// `NAME_MAX` of include/uapi/linux/limits.h and its NUL.
pub const NAME_MAX: usize = 256;
