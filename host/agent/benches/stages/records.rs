//! Records of connections, byte for byte as the kernel program sends them.

use lightmon_capture::ebpf::decode::{self, Clock, Decoded, Tasks};
use lightmon_common::{Cgroup, Connection, Exec, Task, kind, stage};
use lightmon_event::Record;
use zerocopy::{FromZeros as _, IntoBytes as _};

/// The pids of the processes that connect. No process on this machine has them: the kernel's largest pid is 4 Mi.
const PROCESSES: u32 = 8;
const FIRST_PID: u32 = 0x4000_0000;

/// The cgroup ids of their containers.
const CONTAINERS: u64 = 4;
const FIRST_CGROUP: u64 = 1 << 40;

/// The start of all processes and connections, in nanoseconds since boot.
const START: u64 = 13_898_485_459_656;
const NOW: u64 = 17_107_084_769_658;

/// A connection of a process of [`known`].
pub(crate) fn connection(n: usize) -> Vec<u8> {
    connection_of(task(FIRST_PID + n as u32 % PROCESSES), n)
}

/// A connection of this task.
pub(crate) fn connection_of(task: Task, n: usize) -> Vec<u8> {
    let mut record = Connection::new_zeroed();
    record.kind = kind::CONNECTION;
    record.family = 2;
    record.protocol = 6;
    record.began_ns = NOW + n as u64;
    record.latency_ns = 1_234_000;
    record.task = task;
    record.source = mapped([10, 0, 0, 2]);
    record.destination = mapped([(n % 32) as u8 * 7 + 1, 0, 113, 7]);
    record.source_port = 40_000 + n as u16;
    record.destination_port = if n.is_multiple_of(16) { 53 } else { 443 };
    record.stage = stage::ESTABLISHED;
    record.as_bytes().to_vec()
}

/// The exec of a process in its container.
pub(crate) fn exec(task: Task) -> Vec<u8> {
    let args = b"nginx:\0worker\0process\0-g\0daemon off;\0";
    let path = b"nginx\0sbin\0usr\0";
    let mut record = Exec::new_zeroed();
    record.kind = kind::EXEC;
    record.time_ns = task.started_ns;
    record.args_len = args.len() as u16;
    record.path_len = path.len() as u16;
    record.task = task;
    [record.as_bytes(), args, path].concat()
}

/// A process whose parent is the first process.
pub(crate) fn task(pid: u32) -> Task {
    let mut task = Task::new_zeroed();
    task.started_ns = START;
    task.parent_started_ns = START;
    task.cgroup_id = FIRST_CGROUP + u64::from(pid) % CONTAINERS;
    (task.tgid, task.tid, task.ppid) = (pid, pid, FIRST_PID);
    (task.uid, task.gid) = (33, 33);
    task.exec_id = 0x7ffd_1234_5678;
    task.comm[..5].copy_from_slice(b"nginx");
    task
}

/// The pid of process `n` of those that are not in [`known`].
pub(crate) const fn unknown(n: usize) -> u32 {
    FIRST_PID + PROCESSES + n as u32
}

/// The records that announce the containers and processes.
pub(crate) fn known() -> Vec<Record> {
    let containers = (0..CONTAINERS).map(|n| {
        let path = format!("/docker/{n:064x}\0");
        let mut record = Cgroup::new_zeroed();
        (record.kind, record.id) = (kind::CGROUP, FIRST_CGROUP + n);
        record.path_len = path.len() as u32;
        [record.as_bytes(), path.as_bytes()].concat()
    });
    let processes = (0..PROCESSES).map(|n| exec(task(FIRST_PID + n)));
    let (clock, mut tasks) = (Clock::now(), Tasks::default());
    containers
        .chain(processes)
        .map(|bytes| decode(&bytes, &clock, &mut tasks))
        .collect()
}

/// Decodes a record like the source.
pub(crate) fn decode(bytes: &[u8], clock: &Clock, tasks: &mut Tasks) -> Record {
    match decode::record(bytes, clock, tasks) {
        Ok(Decoded::Record(record)) => record,
        other => panic!("no record for the stages: {other:?}"),
    }
}

fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}
