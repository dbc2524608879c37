//! The maps: state that the hooks keep, and the ring buffer to the host.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use lightmon_common::{Cgroup, Exec, MAX_ARGS_BYTES, MAX_PATH_BYTES, Pending, Task, counter};

use crate::endpoints::Endpoints;

/// Records for the host. The host sets the size before it loads the program.
#[map]
pub static RECORDS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// See [`counter`]. Per CPU, so that CPUs do not slow each other down.
#[map]
pub static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(counter::COUNT, 0);

/// Pending TCP connections, by `struct sock *`. Not an LRU map: if the map is full, the new connection is counted as lost,
/// while an LRU map would lose an old one silently.
#[map]
pub static PENDING: HashMap<u64, Pending> = HashMap::with_max_entries(65_536, 0);

/// Not 0 while the host polls the ring buffer and needs no wake-up, see `consumer`.
#[map]
pub static CONSUMER_POLLING: Array<u64> = Array::with_max_entries(1, 0);

/// Not 0 while the host has a scan of [`PENDING`] scheduled. If it is 0, the next connection sends a
/// [`ScanRequest`](lightmon_common::ScanRequest). So an idle host sleeps.
#[map]
pub static SCAN_SCHEDULED: Array<u64> = Array::with_max_entries(1, 0);

/// The `struct sock *` that the host probes, see `pending`.
#[map]
pub static PROBED_SOCKET: Array<u64> = Array::with_max_entries(1, 0);

/// Number of cgroup migrations, see `cgroup_attach_task`. 0: migrations are not counted. The host sets 1 before it attaches the
/// hook.
#[map]
pub static CGROUP_MIGRATIONS: Array<u64> = Array::with_max_entries(1, 0);

/// The task that connected an MPTCP socket, by `struct sock *`: a kernel thread begins the further subflows. An LRU map: without
/// an entry, a subflow is attributed to the kernel thread.
#[map]
pub static MPTCP_OWNERS: LruHashMap<u64, Task> = LruHashMap::with_max_entries(1024, 0);

/// When a flow was last reported, in ns of CLOCK_BOOTTIME. An LRU map: without an entry, a flow is reported once more.
#[map]
pub static FLOWS: LruHashMap<Flow, u64> = LruHashMap::with_max_entries(16_384, 0);

/// The connect(2) or send call that a thread is in, by `bpf_get_current_pid_tgid`.
#[map]
pub static CALLS: HashMap<u64, Call> = HashMap::with_max_entries(16_384, 0);

/// Memory to build an [`Exec`] in, which does not fit on the stack of 512 bytes.
#[map]
pub static EXEC_BUFFER: PerCpuArray<ExecBuffer> = PerCpuArray::with_max_entries(1, 0);

/// Memory to build a [`Cgroup`] in.
#[map]
pub static CGROUP_BUFFER: PerCpuArray<CgroupBuffer> = PerCpuArray::with_max_entries(1, 0);

/// Datagrams of one process to one destination, with the same result.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Flow {
    /// Start time of the process. Together with `tgid` it identifies the process.
    pub started_ns: u64,
    pub destination: [u8; 16],
    pub tgid: u32,
    pub destination_port: u16,
    /// 0 if the datagrams were sent. Part of the key, so that a failure does not hide a later success.
    pub errno: u16,
}

/// A connect(2) or send call, see `call`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Call {
    pub began_ns: u64,
    /// The `struct socket *` of the call's file descriptor; 0 without BTF.
    pub socket: u64,
    /// Pointer to the destination address in user memory; for sendmmsg(2): pointer to the messages.
    pub address: u64,
    /// The `struct sock *` that entered SYN_SENT during this call (a subflow with MPTCP); 0 if no SYN was sent.
    pub syn_sk: u64,
    /// 1 if `syn_sk` was closed again during this call without an error of its own. The errno of the call says why.
    pub is_closed: u32,
    /// Length of the destination address; 0 for a call that sends datagrams.
    pub address_len: u32,
    /// Endpoints of `syn_sk` when it was closed.
    pub endpoints: Endpoints,
}

/// An [`Exec`] followed by arguments and path. `data` has room for one more name than the path may have.
#[repr(C)]
pub struct ExecBuffer {
    pub exec: Exec,
    pub data: [u8; MAX_ARGS_BYTES + MAX_PATH_BYTES + MAX_NAME_BYTES],
    /// Length of the path so far.
    pub path_len: u64,
    /// Position on the walk up to the root: a `struct dentry *` …
    pub dentry: u64,
    /// … and its `struct vfsmount *`.
    pub mnt: u64,
}

/// A [`Cgroup`] followed by its path.
#[repr(C)]
pub struct CgroupBuffer {
    pub cgroup: Cgroup,
    pub path: [u8; MAX_PATH_BYTES],
}

/// `NAME_MAX` of include/uapi/linux/limits.h, and the NUL.
pub const MAX_NAME_BYTES: usize = 256;
