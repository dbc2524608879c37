use lightmon_event::Provenance;

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

/// The process calls exec at that time.
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

/// Above the kernel's largest pid (PID_MAX_LIMIT, 4 Mi): no process in /proc has it.
const PID: u32 = 0x4000_0001;

#[test]
fn an_event_has_the_program_that_ran_when_it_connected() {
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
        "a program that is not remembered any more is not guessed"
    );
}

#[test]
fn a_reused_pid_is_another_process() {
    let mut processes = Processes::default();
    exec(&mut processes, process(PID, 990, "/bin/old"), 1000);
    assert_eq!(path(&mut processes, &event(PID, 5000, 6000)), None);
}

#[test]
fn a_child_has_the_program_of_its_parent() {
    let mut processes = Processes::default();
    exec(&mut processes, process(PID, 990, "/bin/sh"), 1000);
    exec(&mut processes, process(PID, 990, "/bin/later"), 3000);
    let parent = Parent {
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
                parents: Arc::new([parent.clone()]),
                ..process(pid, at, "")
            },
            exec_id: 0,
        });
        let (child, _) = processes.of(&event(pid, at, at + 1), &Containers::new());
        (child.path.clone(), child.provenance, child.parents[0].pid)
    };
    let exec = Some(Provenance::Exec);
    assert_eq!(
        fork(PID + 1, 2000),
        (Some("/bin/sh".into()), exec, PID),
        "the program that the parent ran then"
    );
    assert_eq!(fork(PID + 2, 4000), (Some("/bin/later".into()), exec, PID));
}

/// The process of this test, and an event of it.
fn own_process() -> (Process, Event) {
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
fn a_process_that_is_read_from_proc_must_have_the_same_exec_id() {
    let (process, mut event) = own_process();
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
    let (process, event) = own_process();
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
