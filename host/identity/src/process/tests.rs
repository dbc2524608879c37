use super::*;

fn process(pid: u32, started_ms: u64, path: &str) -> Process {
    Process {
        pid,
        started: Some(Duration::from_millis(started_ms)),
        path: Some(path.into()),
        provenance: Some(Provenance::Exec),
        ..Process::default()
    }
}

fn event(pid: u32, started_ms: u64, at_ms: u64) -> Event {
    let process = Process {
        path: None,
        provenance: None,
        ..process(pid, started_ms, "")
    };
    Event {
        pid,
        process: Arc::new(process),
        kernel_time: Duration::from_millis(at_ms),
        ..Event::sample()
    }
}

/// The process executes that path at that time.
fn exec(processes: &mut Processes, process: Process, at_ms: u64) {
    let exec = Exec {
        time: Duration::from_millis(at_ms),
        process,
        cgroup_id: 0,
        cgroup_migrations: None,
        exec_id: at_ms,
    };
    processes.exec(exec, &Containers::new());
}

fn path(processes: &mut Processes, event: &Event) -> Option<String> {
    let (process, _) = processes.of(event, &Containers::new());
    process.path.as_deref().map(str::to_owned)
}

/// Above the kernel's largest pid (PID_MAX_LIMIT, 4 Mi): nobody in /proc has it.
const PID: u32 = 0x4000_0001;

#[test]
fn a_process_is_what_it_was_when_it_connected() {
    let mut processes = Processes::default();
    for i in 1..=6 {
        exec(
            &mut processes,
            process(PID, 990, &format!("/{i}")),
            1000 * i,
        );
    }
    let mut at = |time| path(&mut processes, &event(PID, 990, time));
    assert_eq!(at(9000).as_deref(), Some("/6"));
    assert_eq!(at(5999).as_deref(), Some("/5"));
    assert_eq!(at(3000).as_deref(), Some("/3"));
    assert_eq!(
        at(2999),
        None,
        "longer ago than what is remembered: not known, and not guessed"
    );
}

#[test]
fn a_reused_pid_is_another_process() {
    let mut processes = Processes::default();
    exec(&mut processes, process(PID, 990, "/bin/old"), 1000);
    assert_eq!(path(&mut processes, &event(PID, 5000, 6000)), None);
}

#[test]
fn a_fork_runs_its_makers_program() {
    let mut processes = Processes::default();
    exec(&mut processes, process(PID, 990, "/bin/sh"), 1000);
    exec(&mut processes, process(PID, 990, "/bin/later"), 3000);
    let maker = Parent {
        pid: PID,
        started: Some(Duration::from_millis(990)),
        ..Parent::default()
    };
    let mut fork = |pid, at: u64| {
        processes.fork(Fork {
            time: Duration::from_millis(at),
            process: Process {
                path: None,
                provenance: None,
                parents: Arc::new([maker.clone()]),
                ..process(pid, at, "")
            },
            exec_id: 0,
        });
        let (made, _) = processes.of(&event(pid, at, at + 1), &Containers::new());
        (made.path.clone(), made.provenance, made.parents[0].pid)
    };
    let exec = Some(Provenance::Exec);
    assert_eq!(
        fork(PID + 1, 2000),
        (Some("/bin/sh".into()), exec, PID),
        "its maker's program of then"
    );
    assert_eq!(fork(PID + 2, 4000), (Some("/bin/later".into()), exec, PID));
}

/// This test's process, and an event of it.
fn mine() -> (Process, Event) {
    let (process, exec_id) = proc::read(std::process::id()).unwrap();
    let mut event = event(process.pid, 0, u64::MAX / 2_000_000);
    event.exec_id = exec_id;
    event.process = Arc::new(Process {
        started: process.started,
        ..Process::clone(&event.process)
    });
    (process, event)
}

#[test]
fn what_was_read_later_must_be_the_same_image() {
    let (process, mut event) = mine();
    let (me, exec_id) = (process.pid, event.exec_id);
    for (exec_id, known) in [(exec_id, true), (exec_id + 1, false), (0, true)] {
        event.exec_id = exec_id;
        for mut processes in [Processes::default(), {
            let mut processes = Processes::of_system();
            while processes.has_unread() {
                processes.read_some();
            }
            processes
        }] {
            let (found, _) = processes.of(&event, &Containers::new());
            assert_eq!(
                found.path.is_some(),
                known,
                "{exec_id}: {found:?}, read before: {}",
                processes.known.get(&me).is_some()
            );
            assert_eq!(found.provenance, known.then_some(Provenance::Proc));
        }
    }
}

#[test]
fn a_running_process_is_read_from_proc() {
    let (process, event) = mine();
    let (found, _) = Processes::default().of(&event, &Containers::new());
    assert_eq!((found.pid, &found.comm), (process.pid, &process.comm));
    assert_eq!(
        found.path.as_deref(),
        std::env::current_exe().unwrap().to_str()
    );
    assert_eq!(
        found.args.as_ref().unwrap()[0].as_ref(),
        std::env::args().next().unwrap()
    );
    assert_eq!(found.parents[0].pid, process.parents[0].pid);
    assert!(!found.parents[0].comm.is_empty());
}
