//! Identity: from records to complete events. All processes run in containers that exist before.

use std::process::{Child, Command, Stdio};

use lightmon_capture::ebpf::decode::{Clock, Tasks};
use lightmon_common::Task;
use lightmon_event::Record;
use lightmon_identity::{Identity, container::Containers};

use crate::{
    bench::{BATCH, Bench},
    records,
};

pub(crate) fn stages(bench: &mut Bench<'_>) {
    // Processes that connected before.
    bench.stage("enrich-warm", BATCH, || {
        let bytes: Vec<_> = (0..BATCH).map(records::connection).collect();
        (decoded(bytes), enrich())
    });
    // Processes that have just started, seen by lightmon.
    bench.stage("enrich-exec", BATCH, || {
        let (clock, mut tasks, mut n) = (Clock::now(), Tasks::default(), 0);
        let input = move || {
            let mut batch = Vec::with_capacity(2 * BATCH);
            for _ in 0..BATCH {
                let task = records::task(records::unknown(n));
                for bytes in [records::exec(task), records::connection_of(task, n % BATCH)] {
                    batch.push(records::decode(&bytes, &clock, &mut tasks));
                }
                n += 1;
            }
            batch
        };
        (input, enrich())
    });
    // A process that lightmon does not know and does not cache: it reads /proc for each connection.
    bench.stage("enrich-cold", BATCH, || {
        let mut enrich = enrich();
        let process = Waiting::start();
        let task = Task {
            started_ns: 0,
            ppid: 0,
            exec_id: 0,
            ..records::task(process.0.id())
        };
        let bytes: Vec<_> = (0..BATCH)
            .map(|n| records::connection_of(task, n))
            .collect();
        let run = move |batch| {
            let _lives = &process;
            enrich(batch)
        };
        (decoded(bytes), run)
    });
}

/// Makes new batches of these records for each run.
fn decoded(bytes: Vec<Vec<u8>>) -> impl FnMut() -> Vec<Record> {
    let (clock, mut tasks) = (Clock::now(), Tasks::default());
    move || {
        let bytes = bytes.iter();
        bytes
            .map(|bytes| records::decode(bytes, &clock, &mut tasks))
            .collect()
    }
}

/// Returns the stage. It knows the processes of this machine and of the records, and returns the number of events.
fn enrich() -> impl FnMut(Vec<Record>) -> usize {
    let (mut enrich, mut events) = (Identity::new(Containers::new()), Vec::new());
    enrich.apply(records::known(), &mut events);
    move |batch| {
        events.clear();
        enrich.apply(batch, &mut events);
        assert_eq!(events.len(), BATCH);
        events.len()
    }
}

/// A process that does nothing but wait.
struct Waiting(Child);

impl Waiting {
    fn start() -> Self {
        let mut cat = Command::new("cat");
        cat.stdin(Stdio::piped());
        Self(cat.spawn().expect("cat, of coreutils"))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // The process ends by itself when its standard input is closed.
        drop(self.0.stdin.take());
        self.0.wait().expect("a child of ours");
    }
}
