//! The maps: what the hooks remember, and the way out.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use lightmon_common::{Cgroup, Exec, MAX_ARGS, MAX_PATH, Pending, Task, counter};

use crate::ends::Ends;

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

/// Not 0 while the host looks for records by itself, see `wake`.
#[map]
pub static AWAKE: Array<u64> = Array::with_max_entries(1, 0);

/// Not 0 while the host looks after [`PENDING`] by itself. When it is 0, the next connection sends a
/// [`Waiting`](lightmon_common::Waiting), so that an idle host sleeps.
#[map]
pub static ARMED: Array<u64> = Array::with_max_entries(1, 0);

/// Moves of processes between cgroups, see `cgroup_attach_task`. The host sets it to 1 before it attaches that hook: 0 is not known.
#[map]
pub static MOVES: Array<u64> = Array::with_max_entries(1, 0);

/// The socket that the host wants to be reported as pending, see `waiting`.
#[map]
pub static ASK: Array<u64> = Array::with_max_entries(1, 0);

/// MPTCP sockets, and who has connected them: the kernel itself begins further subflows. An LRU map: without the entry
/// such a subflow is the kernel thread's, which it is.
#[map]
pub static MPTCP: LruHashMap<u64, Task> = LruHashMap::with_max_entries(1024, 0);

/// When a flow was last reported, in ns of CLOCK_BOOTTIME. An LRU map: without the entry it is reported once more.
#[map]
pub static FLOWS: LruHashMap<Flow, u64> = LruHashMap::with_max_entries(16_384, 0);

/// connect(2) and send calls that a thread is in, by `bpf_get_current_pid_tgid`.
#[map]
pub static CALLS: HashMap<u64, Call> = HashMap::with_max_entries(16_384, 0);

/// Room to put an [`Exec`] together, which the stack of 512 bytes lacks.
#[map]
pub static EXEC: PerCpuArray<ExecBuffer> = PerCpuArray::with_max_entries(1, 0);

/// Room for a [`Cgroup`].
#[map]
pub static CGROUP: PerCpuArray<CgroupBuffer> = PerCpuArray::with_max_entries(1, 0);

/// Datagrams of one process to one destination that end alike.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Flow {
    /// With the thread group it names a process.
    pub started_ns: u64,
    pub destination: [u8; 16],
    pub tgid: u32,
    pub destination_port: u16,
    /// 0 when they are sent: a failure must not hide that a later one was.
    pub errno: u16,
}

/// A connect(2) or send call, and what became of it so far. Its destination is looked up when the call has ended, and only if it
/// has sent no SYN: then there is nobody else who knows it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Call {
    pub began_ns: u64,
    /// The `struct socket *` that `fd` stands for; 0 without BTF.
    pub socket: u64,
    /// Where the destination is in user memory; the messages of sendmmsg(2), each with a destination of its own.
    pub address: u64,
    /// The `struct sock *` that went to SYN_SENT in this call (a subflow with MPTCP), or 0: no SYN was sent.
    pub syn_sk: u64,
    /// Not 0 when `syn_sk` was closed again in this call, without an error of its own: the call's errno says why.
    pub closed: u32,
    /// Of the destination; 0 of a call that sends datagrams.
    pub length: u32,
    /// Of `syn_sk` when it was closed.
    pub ends: Ends,
}

impl Call {
    /// One that begins now.
    #[inline(always)]
    pub fn new(began_ns: u64, socket: u64, address: u64, length: u32) -> Self {
        Self {
            began_ns,
            socket,
            address,
            syn_sk: 0,
            closed: 0,
            length,
            ends: Ends::unknown(0),
        }
    }
}

/// An [`Exec`] with the arguments and the path behind it, and room for one more name than the path may have.
#[repr(C)]
pub struct ExecBuffer {
    pub exec: Exec,
    pub data: [u8; MAX_ARGS + MAX_PATH + NAME_MAX],
    /// Length of the path so far.
    pub path_len: u64,
    /// Where the way up to the root has come: a `struct dentry *` …
    pub dentry: u64,
    /// … and its `struct vfsmount *`.
    pub mnt: u64,
}

/// A [`Cgroup`] with its path behind it.
#[repr(C)]
pub struct CgroupBuffer {
    pub cgroup: Cgroup,
    pub path: [u8; MAX_PATH],
}

/// `NAME_MAX` of include/uapi/linux/limits.h and its NUL.
pub const NAME_MAX: usize = 256;
