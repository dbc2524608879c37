//! Which program a process runs: remembered when it starts one, else read from /proc.
//! A pid alone names nobody: it is reused, so the time at which the process started goes with it.

use std::{fs, io, io::Read as _, sync::Arc, time::Duration};

use super::{Recent, container::Containers};
use crate::event::{Event, Exec, Parent, Process, Provenance, split_args};

/// Processes in each half of the table.
const REMEMBERED: usize = 16_384;

/// Ancestors of a process that are reported.
const MAX_PARENTS: usize = 4;

/// Ancestors that are read from /proc at once: chains can be made as long as there are processes.
const MAX_UNKNOWN: usize = 64;

/// Arguments are read up to this length, like those that the kernel program sends.
const MAX_ARGS: u64 = lightmon_common::MAX_ARGS as u64;

/// What /proc counts start times in: USER_HZ is 100 on every architecture that lightmon runs on.
const TICK: Duration = Duration::from_millis(10);

/// The processes that were seen lately, by pid.
#[derive(Debug, Default)]
pub(super) struct Processes(Recent<u32, Entry, REMEMBERED>);

#[derive(Debug)]
struct Entry {
    process: Arc<Process>,
    /// Since when it runs this program; zero when it was read from /proc.
    since: Duration,
    /// What it ran before.
    before: Option<Arc<Process>>,
    /// The cgroup that it was seen in, and the container that this means; not asked about yet for a parent.
    container: Option<(u64, Option<Arc<str>>)>,
}

impl Entry {
    /// Of a process that was read from /proc, where nobody says since when it runs its program.
    fn of_proc(process: Arc<Process>, container: Option<(u64, Option<Arc<str>>)>) -> Self {
        Self {
            process,
            since: Duration::ZERO,
            before: None,
            container,
        }
    }
}

impl Processes {
    /// Remembers the program that a process has started, and the id of the container that it is in.
    pub(super) fn exec(&mut self, exec: Exec, container: Option<Arc<str>>) {
        let Exec {
            time,
            mut process,
            cgroup_id,
            image: _,
        } = exec;
        self.name_parents(&mut process);
        let pid = process.pid;
        let before = self
            .0
            .get(pid)
            .filter(|entry| same_process(&entry.process, &process));
        let before = before.map(|entry| entry.process.clone());
        let container = Some((cgroup_id, container));
        self.0.insert(
            pid,
            Entry {
                process: Arc::new(process),
                since: time,
                before,
                container,
            },
        );
    }

    /// The process of an event as it was when it connected, and the id of its container; what the event itself says
    /// where nothing else is known.
    pub(super) fn of(
        &mut self,
        event: &Event,
        containers: &Containers,
    ) -> (Arc<Process>, Option<Arc<str>>) {
        let known = self
            .0
            .get(event.pid)
            .filter(|entry| same_process(&entry.process, &event.process));
        let container = match &known {
            Some(Entry {
                container: Some((cgroup, id)),
                ..
            }) if *cgroup == event.cgroup_id => id.clone(),
            _ => containers.id_of(event.cgroup_id, event.pid),
        };
        if let Some(entry) = known {
            entry.container = Some((event.cgroup_id, container.clone()));
            let process = if entry.since <= event.kernel_time {
                Some(&entry.process)
            } else {
                entry.before.as_ref()
            };
            return (
                process.cloned().unwrap_or_else(|| self.bare(event)),
                container,
            );
        }
        let Some(mut process) =
            read(event.pid).filter(|process| same_process(process, &event.process))
        else {
            return (self.bare(event), container);
        };
        self.name_parents(&mut process);
        let process = Arc::new(process);
        // Without a start time nobody can say later whether it is still the same process.
        if event.process.started.is_some() {
            let container = Some((event.cgroup_id, container.clone()));
            self.0
                .insert(event.pid, Entry::of_proc(process.clone(), container));
        }
        (process, container)
    }

    fn bare(&mut self, event: &Event) -> Arc<Process> {
        let mut process = Process::clone(&event.process);
        self.name_parents(&mut process);
        Arc::new(process)
    }

    /// Names the parent, of which only pid and start are known, and adds its own parents.
    fn name_parents(&mut self, process: &mut Process) {
        let mut unknown = Vec::new();
        let mut next = process.parents.first().cloned();
        while let Some(parent) = next.filter(|_| unknown.len() < MAX_UNKNOWN) {
            let Some(ancestor) = (!self.knows(&parent)).then(|| read(parent.pid)).flatten() else {
                break;
            };
            next = ancestor.parents.first().cloned();
            unknown.push(ancestor);
        }
        for mut ancestor in unknown.into_iter().rev() {
            self.add_parents(&mut ancestor);
            self.0
                .insert(ancestor.pid, Entry::of_proc(Arc::new(ancestor), None));
        }
        self.add_parents(process);
    }

    fn add_parents(&mut self, process: &mut Process) {
        let Some(parent) = process.parents.first_mut() else {
            return;
        };
        let Some(entry) = self
            .0
            .get(parent.pid)
            .filter(|entry| is_parent(&entry.process, parent))
        else {
            return;
        };
        let Process {
            started,
            comm,
            path,
            parents,
            ..
        } = &*entry.process;
        *parent = Parent {
            pid: parent.pid,
            started: *started,
            comm: comm.clone(),
            path: path.clone(),
        };
        process
            .parents
            .extend(parents.iter().take(MAX_PARENTS - 1).cloned());
    }

    fn knows(&mut self, parent: &Parent) -> bool {
        self.0
            .get(parent.pid)
            .is_some_and(|entry| is_parent(&entry.process, parent))
    }
}

/// Same pid and same start.
fn same_process(known: &Process, process: &Process) -> bool {
    known.pid == process.pid && same_start(known.started, process.started)
}

fn is_parent(known: &Process, parent: &Parent) -> bool {
    known.pid == parent.pid && same_start(known.started, parent.started)
}

/// /proc tells a start in ticks, the kernel program in nanoseconds; without BTF it tells none.
fn same_start(known: Option<Duration>, start: Option<Duration>) -> bool {
    let ticks = |start: Duration| start.as_nanos() / TICK.as_nanos();
    start.is_none() || known.map(ticks) == start.map(ticks)
}

/// A running process, from /proc (proc(5)).
fn read(pid: u32) -> Option<Process> {
    let (comm, ppid, started) = parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)?;
    let path = fs::read_link(format!("/proc/{pid}/exe"))
        .ok()
        .map(|path| path.to_string_lossy().into());
    let (args, args_cut) = read_args(pid).ok()?;
    // It may have ended in between, and another have got its pid.
    let (_, _, started_now) = parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)?;
    (started == started_now).then(|| Process {
        pid,
        started: Some(started),
        comm,
        path,
        args: (!args.is_empty()).then(|| split_args(&args)),
        args_cut,
        parents: (ppid != 0)
            .then(|| Parent {
                pid: ppid,
                started: None,
                comm: Arc::default(),
                path: None,
            })
            .into_iter()
            .collect(),
        provenance: Some(Provenance::Proc),
    })
}

fn read_args(pid: u32) -> io::Result<(Vec<u8>, bool)> {
    let mut args = Vec::new();
    fs::File::open(format!("/proc/{pid}/cmdline"))?
        .take(MAX_ARGS + 1)
        .read_to_end(&mut args)?;
    let is_cut = args.len() as u64 > MAX_ARGS;
    args.truncate(MAX_ARGS as usize);
    Ok((args, is_cut))
}

/// `123 (na)me) S 1 …`: name, parent, start. A name may hold anything, parentheses too.
fn parse_stat(stat: &[u8]) -> Option<(Arc<str>, u32, Duration)> {
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let comm = String::from_utf8_lossy(stat.get(open + 1..close)?).into();
    let mut fields = std::str::from_utf8(&stat[close + 1..])
        .ok()?
        .split_ascii_whitespace();
    let ppid = fields.nth(1)?.parse().ok()?; // field 4
    let ticks: u32 = fields.nth(17)?.parse::<u64>().ok()?.try_into().ok()?; // field 22
    Some((comm, ppid, TICK * ticks))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, started_ms: u64, path: &str) -> Process {
        Process {
            pid,
            started: Some(Duration::from_millis(started_ms)),
            path: Some(path.into()),
            ..Process::default()
        }
    }

    fn event(pid: u32, started_ms: u64, at_ms: u64) -> Event {
        let process = Process {
            path: None,
            ..process(pid, started_ms, "")
        };
        Event {
            pid,
            process: Arc::new(process),
            kernel_time: Duration::from_millis(at_ms),
            ..Event::sample()
        }
    }

    /// Above the kernel's largest pid (PID_MAX_LIMIT, 4 Mi): nobody in /proc has it.
    const PID: u32 = 0x4000_0001;

    #[test]
    fn a_process_is_what_it_was_when_it_connected() {
        let mut processes = Processes::default();
        for (at, path) in [(1000, "/bin/sh"), (2000, "/bin/curl")] {
            let process = process(PID, 990, path);
            processes.exec(
                Exec {
                    time: Duration::from_millis(at),
                    process,
                    cgroup_id: 0,
                    image: 0,
                },
                None,
            );
        }
        let mut path = |at| {
            processes
                .of(&event(PID, 990, at), &Containers::new())
                .0
                .path
                .clone()
        };
        assert_eq!(path(1500).as_deref(), Some("/bin/sh"));
        assert_eq!(path(2500).as_deref(), Some("/bin/curl"));
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let mut processes = Processes::default();
        let exec = Exec {
            time: Duration::from_millis(1000),
            process: process(PID, 990, "/bin/old"),
            cgroup_id: 0,
            image: 0,
        };
        processes.exec(exec, None);
        assert_eq!(
            processes
                .of(&event(PID, 5000, 6000), &Containers::new())
                .0
                .path,
            None
        );
    }

    #[test]
    fn a_running_process_is_read_from_proc() {
        let me = std::process::id();
        let (comm, ppid, started) = parse_stat(&fs::read("/proc/self/stat").unwrap()).unwrap();
        let found = Processes::default()
            .of(
                &event(me, started.as_millis() as u64, u64::MAX / 2_000_000),
                &Containers::new(),
            )
            .0;
        assert_eq!((found.pid, &found.comm), (me, &comm));
        assert_eq!(
            found.path.as_deref(),
            std::env::current_exe().unwrap().to_str()
        );
        assert_eq!(
            found.args.as_ref().unwrap()[0].as_ref(),
            std::env::args().next().unwrap()
        );
        assert_eq!(found.parents[0].pid, ppid);
        assert!(!found.parents[0].comm.is_empty());
    }

    #[test]
    fn names_may_hold_anything() {
        let rest = "S 7 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 450 1000";
        let (comm, ppid, started) = parse_stat(format!("12 (a) b (c) {rest}").as_bytes()).unwrap();
        assert_eq!(
            (&*comm, ppid, started),
            ("a) b (c", 7, Duration::from_millis(4500))
        );
        for bad in ["", "12", "12 (a", "12 )a(", "12 (a) S", "12 (a) S x 1"] {
            assert_eq!(parse_stat(bad.as_bytes()), None, "{bad}");
        }
    }
}
