//! What crosses the border between the kernel program and the host: records, counters, kernel offsets.
//! Knows neither eBPF nor the host; a type that only one side needs does not belong here.
//!
//! Everything is `#[repr(C)]` without padding, in native byte order, and starts with its [`kind`](mod@kind).
#![no_std]

pub mod exclude;

/// First word of each record in the ring buffer.
pub mod kind {
    /// A [`Connection`](crate::Connection).
    pub const CONNECTION: u32 = 1;
    /// An [`Exec`](crate::Exec), followed by its arguments and path.
    pub const EXEC: u32 = 2;
    /// A [`Cgroup`](crate::Cgroup), followed by its path.
    pub const CGROUP: u32 = 3;
    /// A [`Fork`](crate::Fork).
    pub const FORK: u32 = 4;
    /// A [`Waiting`](crate::Waiting).
    pub const WAITING: u32 = 5;
}

/// How far a connection came, in [`Connection::stage`].
pub mod stage {
    /// TCP: the handshake is complete.
    pub const ESTABLISHED: u8 = 1;
    /// UDP: the socket has its peer; nothing has been sent.
    pub const CONNECTED: u8 = 2;
    /// TCP: closed while it waited for an answer; `errno` says why.
    pub const CLOSED: u8 = 3;
    /// The call failed with `errno` before anything was sent.
    pub const REJECTED: u8 = 4;
    /// TCP: still no answer; another record of the same beginning follows with the outcome.
    pub const PENDING: u8 = 5;
    /// UDP: a datagram was sent by a socket that has no peer.
    pub const SENT: u8 = 6;
}

/// Indexes of the per-CPU counters.
pub mod counter {
    /// Connections that found no room in the ring buffer or in a map.
    pub const LOST: u32 = 0;
    /// Forks and execs that found no room: their connections may miss the process's path and arguments.
    pub const LOST_PROCESSES: u32 = 1;
    /// Connections that are in the ring buffer, or were.
    pub const SENT: u32 = 2;
    /// Connections that a rule of [`exclude`](crate::exclude) has left out.
    pub const EXCLUDED: u32 = 3;
    /// How many counters there are.
    pub const COUNT: u32 = 4;
}

/// [`Connection::errno`] when the kernel program could not read it (no BTF).
pub const ERRNO_UNKNOWN: u16 = u16::MAX;
/// Longest arguments of an [`Exec`], in bytes; what is longer is cut.
pub const MAX_ARGS: usize = 4096;
/// Longest path of an [`Exec`] or a [`Cgroup`], in bytes.
pub const MAX_PATH: usize = 1024;
/// A socket without a peer is reported once in this time for each destination.
pub const FLOW_NS: u64 = 60_000_000_000;
/// `TASK_COMM_LEN` of include/linux/sched.h.
pub const COMM_LEN: usize = 16;

/// What lies in the ring buffer: laid out alike on both sides, and decoded on the host without unsafe casts.
macro_rules! record {
    ($($structure:tt)*) => {
        #[repr(C)]
        #[derive(Clone, Copy)]
        #[cfg_attr(
            feature = "user",
            derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
        )]
        $($structure)*
    };
}

record! {
    /// The task that connects or execs.
    pub struct Task {
        /// When the process (its thread-group leader) started, in ns of CLOCK_BOOTTIME; 0 without BTF.
        pub started_ns: u64,
        /// When the parent started, likewise.
        pub parent_started_ns: u64,
        /// cgroup v2 id: the inode of the cgroup's folder.
        pub cgroup_id: u64,
        /// Thread group: `pid` in user space.
        pub tgid: u32,
        /// Thread: `pid` in the kernel.
        pub tid: u32,
        /// The parent's thread group; 0 without BTF.
        pub ppid: u32,
        /// Real user id in the initial user namespace.
        pub uid: u32,
        /// Real group id in the initial user namespace.
        pub gid: u32,
        /// 1 when it is lightmon itself, whose connections are counted apart, see [`Own`].
        pub own: u32,
        /// Where its arguments are (`mm->arg_start`): another place after each exec, the same in a fork; 0 without BTF, and
        /// for what has no memory of its own, as the kernel's own threads.
        pub image: u64,
        /// NUL-padded name of the thread.
        pub comm: [u8; COMM_LEN],
    }
}

impl Task {
    /// All zeros.
    pub const NOBODY: Self = Self {
        started_ns: 0,
        parent_started_ns: 0,
        cgroup_id: 0,
        tgid: 0,
        tid: 0,
        ppid: 0,
        uid: 0,
        gid: 0,
        own: 0,
        image: 0,
        comm: [0; COMM_LEN],
    };
}

record! {
    /// One outgoing connection, sent when its outcome is known.
    pub struct Connection {
        /// [`kind::CONNECTION`].
        pub kind: u32,
        /// `AF_INET` or `AF_INET6`, of the socket.
        pub family: u16,
        /// IANA number: 6 TCP, 17 UDP.
        pub protocol: u16,
        /// When it was begun, in ns of CLOCK_BOOTTIME.
        pub began_ns: u64,
        /// From there to the outcome.
        pub latency_ns: u64,
        /// Who began it.
        pub task: Task,
        /// Own address in network order; an IPv4 address is IPv4-mapped.
        pub source: [u8; 16],
        /// Peer's address, likewise.
        pub destination: [u8; 16],
        /// Own port in host order.
        pub source_port: u16,
        /// Peer's port in host order.
        pub destination_port: u16,
        /// 0, an errno, or [`ERRNO_UNKNOWN`].
        pub errno: u16,
        /// One of [`mod@stage`].
        pub stage: u8,
        /// Keeps the size a multiple of 8.
        pub reserved: u8,
    }
}

record! {
    /// A process starts a program. `args_len` bytes of NUL-ended arguments follow, then `path_len` bytes of path.
    pub struct Exec {
        /// [`kind::EXEC`].
        pub kind: u32,
        /// Bytes of arguments that follow.
        pub args_len: u16,
        /// Bytes of path that follow the arguments: NUL-ended names from the file up to the root
        /// (`curl\0bin\0usr\0`), or, when `path_is_text`, what was given to execve(2).
        pub path_len: u16,
        /// When, in ns of CLOCK_BOOTTIME.
        pub time_ns: u64,
        /// Who.
        pub task: Task,
        /// 1 when the arguments are longer than what follows.
        pub args_cut: u8,
        /// See `path_len`.
        pub path_is_text: u8,
        /// 1 when the file has no name any more (deleted, or a memfd).
        pub is_deleted: u8,
        /// Keeps the size a multiple of 8.
        pub reserved: u8,
        /// How often processes were moved to another cgroup so far; 0 when not known.
        pub moves: u32,
    }
}

record! {
    /// A cgroup of version 2 is made. `path_len` bytes of path follow, with a NUL.
    pub struct Cgroup {
        /// [`kind::CGROUP`].
        pub kind: u32,
        /// Bytes of path that follow.
        pub path_len: u32,
        /// As in [`Task::cgroup_id`].
        pub id: u64,
    }
}

record! {
    /// A process is made, which runs the program of its maker.
    pub struct Fork {
        /// [`kind::FORK`].
        pub kind: u32,
        /// The new process.
        pub tgid: u32,
        /// When it started, as in [`Task::started_ns`].
        pub started_ns: u64,
        /// Who makes it.
        pub parent: Task,
    }
}

record! {
    /// A TCP connection was begun, and the host is not looking after those that wait for an answer (see `ARMED` in the
    /// kernel program's maps).
    pub struct Waiting {
        /// [`kind::WAITING`].
        pub kind: u32,
        /// Keeps the size a multiple of 8.
        pub reserved: u32,
        /// When, in ns of CLOCK_BOOTTIME.
        pub time_ns: u64,
    }
}

record! {
    /// A TCP connection that waits for an answer: who has begun it, and when.
    pub struct Pending {
        /// In ns of CLOCK_BOOTTIME.
        pub began_ns: u64,
        /// Only SYN_SENT is surely entered in the caller's context.
        pub task: Task,
        /// Not 0: it was reported as pending.
        pub is_reported: u64,
    }
}

record! {
    /// Who lightmon is, so that its own connections are known: by its pid namespace, and its process in there.
    pub struct Own {
        /// Device of /proc/self/ns/pid, as the kernel numbers it (`MKDEV` of include/linux/kdev_t.h).
        pub dev: u64,
        /// Its inode; 0 when not known.
        pub ino: u64,
        /// Thread group as seen in that namespace.
        pub tgid: u32,
        /// 1 when its connections are like all others', and not counted apart.
        pub is_like_others: u32,
    }
}

impl Own {
    /// Nobody.
    pub const NONE: Self = Self {
        dev: 0,
        ino: 0,
        tgid: 0,
        is_like_others: 0,
    };
}

const _: () = assert!(size_of::<Task>() == 72);
const _: () = assert!(size_of::<Connection>() == 136);
const _: () = assert!(size_of::<Exec>() == 96);
const _: () = assert!(size_of::<Cgroup>() == 16);
const _: () = assert!(size_of::<Fork>() == 88);
const _: () = assert!(size_of::<Waiting>() == 16);
const _: () = assert!(size_of::<Pending>() == 88);
const _: () = assert!(size_of::<Own>() == 24);

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident: $structure:literal $path:literal,)*) => {
        /// Where the kernel keeps what the tracepoints lack: byte offsets that the host reads from the running
        /// kernel's BTF, [`Offsets::UNKNOWN`] where it can't.
        #[repr(C)]
        #[derive(Clone, Copy)]
        #[cfg_attr(feature = "user", derive(Debug, PartialEq, zerocopy::IntoBytes, zerocopy::Immutable))]
        pub struct Offsets { $($(#[$doc])* pub $name: u32,)* }

        impl Offsets {
            /// No offset is known: the kernel program does without these fields.
            pub const NONE: Self = Self { $($name: Self::UNKNOWN,)* };
            /// What each field stands for: (structure, path of members).
            pub const MEMBERS: &[(&str, &str)] = &[$(($structure, $path),)*];

            /// Fills the fields in the order of [`MEMBERS`](Self::MEMBERS).
            pub fn resolve(mut offset_of: impl FnMut(&str, &str) -> Option<u32>) -> Self {
                Self { $($name: offset_of($structure, $path).unwrap_or(Self::UNKNOWN),)* }
            }
        }
    };
}

offsets! {
    /// `struct task_struct *` of the thread-group leader.
    task_group_leader: "task_struct" "group_leader",
    /// `struct task_struct *` of the real parent.
    task_real_parent: "task_struct" "real_parent",
    /// `pid_t`: the thread.
    task_pid: "task_struct" "pid",
    /// `pid_t`.
    task_tgid: "task_struct" "tgid",
    /// u64, ns of CLOCK_BOOTTIME (since Linux 5.5).
    task_start_boottime: "task_struct" "start_boottime",
    /// `struct mm_struct *`.
    task_mm: "task_struct" "mm",
    /// `struct files_struct *`.
    task_files: "task_struct" "files",
    /// `unsigned long`.
    mm_arg_start: "mm_struct" "arg_start",
    /// `unsigned long`.
    mm_arg_end: "mm_struct" "arg_end",
    /// `struct file *`.
    mm_exe_file: "mm_struct" "exe_file",
    /// `struct fdtable *`.
    files_fdt: "files_struct" "fdt",
    /// `struct file **`.
    fdtable_fd: "fdtable" "fd",
    /// `void *`; of a socket's file: `struct socket *`.
    file_private_data: "file" "private_data",
    /// `struct dentry *`.
    file_dentry: "file" "f_path.dentry",
    /// `struct vfsmount *`.
    file_mnt: "file" "f_path.mnt",
    /// `struct dentry *`.
    dentry_parent: "dentry" "d_parent",
    /// `const unsigned char *`.
    dentry_name: "dentry" "d_name.name",
    /// `struct hlist_bl_node **`: null when the name is gone.
    dentry_hashed: "dentry" "d_hash.pprev",
    /// `struct dentry *`.
    vfsmount_root: "vfsmount" "mnt_root",
    /// The `struct vfsmount` inside a `struct mount`.
    mount_mnt: "mount" "mnt",
    /// `struct mount *`.
    mount_parent: "mount" "mnt_parent",
    /// `struct dentry *`.
    mount_mountpoint: "mount" "mnt_mountpoint",
    /// `socket_state`, an int.
    socket_state: "socket" "state",
    /// `struct sock *`.
    socket_sk: "socket" "sk",
    /// `void *`; of an MPTCP subflow: `struct mptcp_subflow_context *`.
    sock_ulp_data: "inet_connection_sock" "icsk_ulp_data",
    /// `struct sock *`: the MPTCP socket that a subflow belongs to.
    subflow_conn: "mptcp_subflow_context" "conn",
    /// int.
    sock_err: "sock" "sk_err",
    /// u16 (since Linux 5.6).
    sock_protocol: "sock" "sk_protocol",
    /// u16.
    sock_family: "sock" "__sk_common.skc_family",
    /// u8.
    sock_state: "sock" "__sk_common.skc_state",
    /// `__be16 skc_dport`, and `__u16 skc_num`, the own port in host order.
    sock_portpair: "sock" "__sk_common.skc_portpair",
    /// `__be16`: the own port, also when the socket is closed.
    inet_sport: "inet_sock" "inet_sport",
    /// `__be32 skc_daddr`, and `__be32 skc_rcv_saddr`.
    sock_addrpair: "sock" "__sk_common.skc_addrpair",
    /// `struct in6_addr`.
    sock_v6_daddr: "sock" "__sk_common.skc_v6_daddr",
    /// `struct in6_addr`.
    sock_v6_rcv_saddr: "sock" "__sk_common.skc_v6_rcv_saddr",
}

impl Offsets {
    /// An offset that is not known.
    pub const UNKNOWN: u32 = u32::MAX;

    /// Whether a TCP connection can be read from its socket alone.
    pub fn tell_tcp(&self) -> bool {
        ![
            self.sock_protocol,
            self.sock_family,
            self.sock_portpair,
            self.inet_sport,
            self.sock_addrpair,
            self.sock_v6_daddr,
            self.sock_v6_rcv_saddr,
        ]
        .contains(&Self::UNKNOWN)
    }
}
