//! The types that the kernel program and the host share: records, counters, kernel offsets.
//! Knows neither eBPF nor the host. A type that only one side needs does not belong here.
//!
//! All types are `#[repr(C)]` without padding, in native byte order. Each record starts with its [`kind`](mod@kind).
#![no_std]

pub mod exclude;

/// The first word of each record in the ring buffer.
pub mod kind {
    /// A [`Connection`](crate::Connection).
    pub const CONNECTION: u32 = 1;
    /// An [`Exec`](crate::Exec), followed by its arguments and path.
    pub const EXEC: u32 = 2;
    /// A [`Cgroup`](crate::Cgroup), followed by its path.
    pub const CGROUP: u32 = 3;
    /// A [`Fork`](crate::Fork).
    pub const FORK: u32 = 4;
    /// A [`ScanRequest`](crate::ScanRequest).
    pub const SCAN_REQUEST: u32 = 5;
}

/// How far a connection got, in [`Connection::stage`].
pub mod stage {
    /// TCP: the handshake is complete.
    pub const ESTABLISHED: u8 = 1;
    /// UDP: the socket is connected. No datagram has been sent.
    pub const CONNECTED: u8 = 2;
    /// TCP: closed before the handshake was complete. `errno` says why.
    pub const CLOSED: u8 = 3;
    /// The system call failed with `errno` before a packet was sent.
    pub const REJECTED: u8 = 4;
    /// TCP: no answer yet. Another record of the same connection follows with the outcome.
    pub const PENDING: u8 = 5;
    /// UDP: an unconnected socket has sent a datagram.
    pub const SENT: u8 = 6;
}

/// Indexes of the per-CPU counters.
pub mod counter {
    /// Connections that were lost: the ring buffer or a map was full, or nothing tells the outcome any more.
    pub const LOST: u32 = 0;
    /// Forks and execs that were lost. Connections of these processes may lack path and arguments.
    pub const LOST_PROCESSES: u32 = 1;
    /// Connections that were submitted to the ring buffer.
    pub const SUBMITTED: u32 = 2;
    /// Connections that a rule of [`exclude`](crate::exclude) has excluded.
    pub const EXCLUDED: u32 = 3;
    /// Number of counters.
    pub const COUNT: u32 = 4;
}

/// [`Connection::errno`] when the kernel program could not read the errno (no BTF).
pub const ERRNO_UNKNOWN: u16 = u16::MAX;
/// Maximum length of the arguments of an [`Exec`]. Longer arguments are cut.
pub const MAX_ARGS_BYTES: usize = 4096;
/// Maximum length of the path of an [`Exec`] or a [`Cgroup`].
pub const MAX_PATH_BYTES: usize = 1024;
/// `TASK_COMM_LEN` of include/linux/sched.h, in bytes.
pub const TASK_COMM_LEN: usize = 16;

/// A record: has the same layout on both sides, and the host decodes it without unsafe casts.
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
    /// The task that connects, forks or execs.
    pub struct Task {
        /// Start time of the process (its thread-group leader), in ns of CLOCK_BOOTTIME; 0 without BTF.
        pub started_ns: u64,
        /// Start time of the parent, likewise.
        pub parent_started_ns: u64,
        /// cgroup v2 id: the inode number of the cgroup's directory.
        pub cgroup_id: u64,
        /// Thread group: the `pid` of user space.
        pub tgid: u32,
        /// Thread: the `pid` of the kernel.
        pub tid: u32,
        /// Thread group of the parent; 0 without BTF.
        pub ppid: u32,
        /// Real user id in the initial user namespace.
        pub uid: u32,
        /// Real group id in the initial user namespace.
        pub gid: u32,
        /// 1 if this is lightmon itself, see [`SelfProcess`]. Connections of lightmon are counted separately.
        pub is_self: u32,
        /// Identifies the executable image: the address of the arguments (`mm->arg_start`). An exec changes it, a fork keeps it.
        /// 0 without BTF, and for tasks without user memory, such as kernel threads.
        pub exec_id: u64,
        /// Name of the thread, padded with NULs.
        pub comm: [u8; TASK_COMM_LEN],
    }
}

impl Task {
    /// All fields are 0.
    pub const ZERO: Self = Self {
        started_ns: 0,
        parent_started_ns: 0,
        cgroup_id: 0,
        tgid: 0,
        tid: 0,
        ppid: 0,
        uid: 0,
        gid: 0,
        is_self: 0,
        exec_id: 0,
        comm: [0; TASK_COMM_LEN],
    };
}

record! {
    /// An outgoing connection. Sent when its outcome is known.
    pub struct Connection {
        /// [`kind::CONNECTION`].
        pub kind: u32,
        /// `AF_INET` or `AF_INET6`: the family of the socket.
        pub family: u16,
        /// IANA number: 6 TCP, 17 UDP.
        pub protocol: u16,
        /// When the connection began, in ns of CLOCK_BOOTTIME.
        pub began_ns: u64,
        /// Time from `began_ns` to the outcome.
        pub latency_ns: u64,
        /// The task that began the connection.
        pub task: Task,
        /// Source address in network order. An IPv4 address is IPv4-mapped.
        pub source: [u8; 16],
        /// Destination address, likewise.
        pub destination: [u8; 16],
        /// Source port in host order.
        pub source_port: u16,
        /// Destination port in host order.
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
    /// A process has called exec. `args_len` bytes of NUL-terminated arguments follow, then `path_len` bytes of path.
    pub struct Exec {
        /// [`kind::EXEC`].
        pub kind: u32,
        /// Bytes of arguments that follow.
        pub args_len: u16,
        /// Bytes of path that follow the arguments. If `path_is_text` is 1, the path is the one that execve(2) was called with.
        /// Otherwise it is a list of NUL-terminated names, from the file up to the root (`curl\0bin\0usr\0`).
        pub path_len: u16,
        /// When, in ns of CLOCK_BOOTTIME.
        pub time_ns: u64,
        /// The process.
        pub task: Task,
        /// 1 if the arguments were longer than [`MAX_ARGS_BYTES`] and were cut.
        pub args_cut: u8,
        /// See `path_len`.
        pub path_is_text: u8,
        /// 1 if the file has no name any more (it was deleted, or is a memfd).
        pub is_deleted: u8,
        /// Keeps the size a multiple of 8.
        pub reserved: u8,
        /// Number of cgroup migrations so far; 0 if they are not counted.
        pub cgroup_migrations: u32,
    }
}

record! {
    /// A cgroup of version 2 was created. `path_len` bytes of path follow, including the NUL at its end.
    pub struct Cgroup {
        /// [`kind::CGROUP`].
        pub kind: u32,
        /// Bytes of path that follow.
        pub path_len: u32,
        /// See [`Task::cgroup_id`].
        pub id: u64,
    }
}

record! {
    /// A process was forked. It has the executable and the arguments of its parent.
    pub struct Fork {
        /// [`kind::FORK`].
        pub kind: u32,
        /// Thread group of the new process.
        pub tgid: u32,
        /// Start time of the new process, see [`Task::started_ns`].
        pub started_ns: u64,
        /// The parent.
        pub parent: Task,
    }
}

record! {
    /// Asks the host to schedule a scan of the pending TCP connections: one began, and no scan was scheduled (see
    /// `SCAN_SCHEDULED` in the kernel program's maps).
    pub struct ScanRequest {
        /// [`kind::SCAN_REQUEST`].
        pub kind: u32,
        /// Keeps the size a multiple of 8.
        pub reserved: u32,
        /// When the connection began, in ns of CLOCK_BOOTTIME.
        pub began_ns: u64,
    }
}

record! {
    /// A pending TCP connection: one without an answer yet. A value of the map `PENDING`, by `struct sock *`.
    pub struct Pending {
        /// When the connection began, in ns of CLOCK_BOOTTIME.
        pub began_ns: u64,
        /// The task that began the connection. Stored at the SYN, since later states are often entered in another context.
        pub task: Task,
        /// 1 if the connection was reported as pending.
        pub is_reported: u64,
    }
}

record! {
    /// Identifies lightmon itself by its pid namespace and its process id there. The host sets it before it loads the program.
    pub struct SelfProcess {
        /// Device number of /proc/self/ns/pid, in the kernel's encoding (`MKDEV` of include/linux/kdev_t.h).
        pub pid_ns_dev: u64,
        /// Inode number of /proc/self/ns/pid; 0 if it is not known.
        pub pid_ns_ino: u64,
        /// Thread group, as seen in that namespace.
        pub tgid: u32,
        /// 1 if lightmon's connections are reported like all others, and not counted separately.
        pub is_reported: u32,
    }
}

impl SelfProcess {
    /// Matches no process.
    pub const UNKNOWN: Self = Self {
        pid_ns_dev: 0,
        pid_ns_ino: 0,
        tgid: 0,
        is_reported: 0,
    };
}

const _: () = assert!(size_of::<Task>() == 72);
const _: () = assert!(size_of::<Connection>() == 136);
const _: () = assert!(size_of::<Exec>() == 96);
const _: () = assert!(size_of::<Cgroup>() == 16);
const _: () = assert!(size_of::<Fork>() == 88);
const _: () = assert!(size_of::<ScanRequest>() == 16);
const _: () = assert!(size_of::<Pending>() == 88);
const _: () = assert!(size_of::<SelfProcess>() == 24);

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident: $structure:literal $path:literal,)*) => {
        /// Byte offsets of kernel structure members that the tracepoints do not report. The host reads them from the BTF of
        /// the running kernel. An offset that BTF does not have is [`Offsets::UNKNOWN`].
        #[repr(C)]
        #[derive(Clone, Copy)]
        #[cfg_attr(feature = "user", derive(Debug, PartialEq, zerocopy::IntoBytes, zerocopy::Immutable))]
        pub struct Offsets { $($(#[$doc])* pub $name: u32,)* }

        impl Offsets {
            /// No offset is known: the kernel program does without these members.
            pub const NONE: Self = Self { $($name: Self::UNKNOWN,)* };
            /// The member behind each field: (structure, path of members).
            pub const MEMBERS: &[(&str, &str)] = &[$(($structure, $path),)*];

            /// Calls `offset_of` for each of [`MEMBERS`](Self::MEMBERS), in that order.
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
    /// `pid_t`: the thread id.
    task_pid: "task_struct" "pid",
    /// `pid_t`: the process id.
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
    /// `void *`; for the file of a socket: `struct socket *`.
    file_private_data: "file" "private_data",
    /// `struct dentry *`.
    file_dentry: "file" "f_path.dentry",
    /// `struct vfsmount *`.
    file_mnt: "file" "f_path.mnt",
    /// `struct dentry *`.
    dentry_parent: "dentry" "d_parent",
    /// `const unsigned char *`.
    dentry_name: "dentry" "d_name.name",
    /// `struct hlist_bl_node **`: null if the file was deleted.
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
    /// `void *`; for an MPTCP subflow: `struct mptcp_subflow_context *`.
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
    /// `__be16 skc_dport` (destination), then `__u16 skc_num` (source, in host order).
    sock_portpair: "sock" "__sk_common.skc_portpair",
    /// `__be16`: the source port. A closed socket keeps it.
    inet_sport: "inet_sock" "inet_sport",
    /// `__be32 skc_daddr`, then `__be32 skc_rcv_saddr`.
    sock_addrpair: "sock" "__sk_common.skc_addrpair",
    /// `struct in6_addr`.
    sock_v6_daddr: "sock" "__sk_common.skc_v6_daddr",
    /// `struct in6_addr`.
    sock_v6_rcv_saddr: "sock" "__sk_common.skc_v6_rcv_saddr",
}

impl Offsets {
    /// Stands for an offset that is not known.
    pub const UNKNOWN: u32 = u32::MAX;

    /// Whether the kernel program can read a TCP connection from its socket, without the tracepoint's fields.
    pub fn can_read_tcp(&self) -> bool {
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
