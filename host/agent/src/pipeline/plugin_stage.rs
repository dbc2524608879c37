//! The plugin stage and the output, which need not keep up with the kernel. Plugins run on a thread of their own behind a
//! bounded queue: a slow plugin holds up neither capture nor the table of processes. Events that find no room in the queue in
//! time bypass the plugins, as they do when a plugin fails.

mod queue;
mod worker;

use std::{
    io, mem,
    sync::{Arc, Mutex, PoisonError},
    thread::{Builder, Scope, ScopedJoinHandle},
    time::Instant,
};

use jiff::Timestamp;
use lightmon_event::{Event, Notice, Stats};
use lightmon_output::Output;
use lightmon_plugin_host::{Bypass, Chain, Halt};
use lightmon_thread::{
    Stop, lock,
    privileges::{self, STACK_SIZE},
};

use self::{queue::Queue, worker::Worker};

/// Where events go that are enriched and not excluded.
pub(super) enum PluginStage<'scope> {
    /// There are no plugins: straight to the output.
    None(Output),
    /// To the thread that runs the plugins.
    Thread {
        queue: Arc<Queue>,
        output: Arc<Mutex<Output>>,
        /// What happens to events that do not go through the plugins. Changes when a plugin is reloaded.
        bypass: Arc<Mutex<Bypass>>,
        thread: ScopedJoinHandle<'scope, ()>,
    },
}

impl<'scope> PluginStage<'scope> {
    /// Starts the thread, if there are plugins.
    pub(super) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        plugins: Chain,
        output: Output,
        (stop, stats): (&'env Stop, &'env Stats),
        is_lossless: bool,
    ) -> io::Result<Self> {
        if plugins.is_empty() {
            return Ok(Self::None(output));
        }
        let queue = Arc::new(Queue::new(is_lossless));
        let bypass = Arc::new(Mutex::new(plugins.bypass()));
        let queue_to_wake = queue.clone();
        plugins.wake_with(move || queue_to_wake.wake());
        let output_handle = output.handle();
        let output = Arc::new(Mutex::new(output));
        let (worker_queue, worker_output, worker_bypass) =
            (queue.clone(), output.clone(), bypass.clone());
        let thread = Builder::new()
            .name("plugins".to_owned())
            .stack_size(STACK_SIZE)
            .spawn_scoped(scope, move || {
                let _end = EndOnDrop(&worker_queue);
                privileges::give_up_all_but(&[]);
                Worker {
                    plugins,
                    queue: &worker_queue,
                    output_handle,
                    output: &worker_output,
                    bypass: &worker_bypass,
                    stop,
                    stats,
                    recorded_time: is_lossless.then_some(Timestamp::MIN),
                    began: Instant::now(),
                    is_halted: false,
                }
                .run();
            })?;
        Ok(Self::Thread {
            queue,
            output,
            bypass,
            thread,
        })
    }

    /// Takes a batch, and leaves it empty. The caller calls this again soon, with or without events.
    ///
    /// # Errors
    /// If a plugin has failed that lightmon must not go on without.
    pub(super) fn take(&mut self, events: &mut Vec<Event>, stats: &Stats) -> Result<(), Halt> {
        match self {
            Self::None(output) => {
                output.write_buffered(events);
                events.clear();
                Ok(())
            }
            Self::Thread {
                queue,
                output,
                bypass,
                ..
            } => {
                if !events.is_empty()
                    && let Err(mut late) = queue.push(mem::take(events))
                {
                    let result = lock(bypass).apply(&mut late, stats);
                    lock(output).write(&late);
                    late.clear();
                    *events = late;
                    result?;
                }
                let spare = queue.spare_batch()?;
                if events.capacity() == 0 {
                    *events = spare;
                }
                Ok(())
            }
        }
    }

    /// Takes a notice of another run, in its place among the events.
    pub(super) fn write_notice(&mut self, notice: Notice) {
        match self {
            Self::None(output) => output.write_notice(&notice),
            Self::Thread { queue, .. } => queue.push_notice(notice),
        }
    }

    /// Waits until all events have gone to the output, which then knows how many are left to write.
    pub(super) fn drain(&mut self) {
        match self {
            Self::None(output) => output.flush(),
            Self::Thread { queue, .. } => queue.drain(),
        }
    }

    /// Drains the queue and the output, and ends both.
    ///
    /// # Errors
    /// If something could not be written, or a plugin has failed that lightmon must not go on without.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::None(output) => Ok(output.finish()?),
            Self::Thread {
                queue,
                output,
                thread,
                ..
            } => {
                queue.end();
                let ended = thread.join();
                let output = Arc::into_inner(output)
                    .expect("invariant: the thread has ended")
                    .into_inner()
                    .unwrap_or_else(PoisonError::into_inner);
                let finished: Result<(), lightmon_output::Error> = output.finish();
                ended.map_err(|_| {
                    anyhow::anyhow!("the plugins' thread has panicked; this is a bug")
                })?;
                queue.spare_batch()?;
                Ok(finished?)
            }
        }
    }
}

/// Tells the queue that the thread has ended, even by a panic, so that nothing waits for the thread forever.
struct EndOnDrop<'a>(&'a Queue);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
