//! From records to complete events. All run in containers that were made before.

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
    // Processes that have connected before.
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
    // A process that lightmon knows nothing of, and does not get to know: what /proc says is read for each connection.
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

/// Makes batches of those records, each time anew.
fn decoded(bytes: Vec<Vec<u8>>) -> impl FnMut() -> Vec<Record> {
    let (clock, mut tasks) = (Clock::now(), Tasks::default());
    move || {
        let bytes = bytes.iter();
        bytes
            .map(|bytes| records::decode(bytes, &clock, &mut tasks))
            .collect()
    }
}

/// The stage, which knows this machine's processes and those of the records. Returns what it has made.
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

/// A process that only waits.
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
        // Without its standard input it ends by itself.
        drop(self.0.stdin.take());
        self.0.wait().expect("a child of ours");
    }
}
