//! Plugins and output, after the stages that must keep up with the kernel. Plugins run on a thread of their own behind a
//! bounded queue: one that is slow holds up neither capture nor the table of processes. What finds no room in time goes
//! past the plugins, as it does when they fail.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{Builder, Scope, ScopedJoinHandle},
    time::{Duration, Instant},
};

mod worker;

use jiff::Timestamp;

use self::worker::Worker;
use lightmon_event::{Event, Notice, Stats};
use lightmon_output::Output;
use lightmon_plugin_host::{Bypass, Chain, Halt};
use lightmon_thread::{
    Stop,
    privileges::{self, STACK_SIZE},
};

/// Most events that wait for the plugins; one batch always may.
const MOST: usize = 8192;

/// How long capture waits for room, all in all, before events go past the plugins.
const GRACE: Duration = Duration::from_millis(100);

/// Where events go after they were enriched and not excluded.
pub(super) enum Tail<'scope> {
    /// There are no plugins.
    Output(Output),
    /// There are some.
    Plugins {
        queue: Arc<Queue>,
        output: Arc<Mutex<Output>>,
        /// Changes with the plugins.
        past: Arc<Mutex<Bypass>>,
        /// Whether there is all the time there is, as with a replay.
        is_lossless: bool,
        thread: ScopedJoinHandle<'scope, ()>,
    },
}

impl<'scope> Tail<'scope> {
    /// Starts the thread, if there are plugins.
    pub(super) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        plugins: Chain,
        output: Output,
        (stop, stats): (&'env Stop, &'env Stats),
        is_lossless: bool,
    ) -> io::Result<Self> {
        if plugins.is_empty() {
            return Ok(Self::Output(output));
        }
        let (queue, output) = (Arc::new(Queue::default()), Arc::new(Mutex::new(output)));
        let past = Arc::new(Mutex::new(plugins.bypass()));
        let queue_to_wake = queue.clone();
        plugins.wake_with(move || queue_to_wake.wake());
        let (queue_too, output_too) = (queue.clone(), output.clone());
        let (remote, past_too) = (lock(&output).handle(), past.clone());
        let thread = Builder::new()
            .name("plugins".to_owned())
            .stack_size(STACK_SIZE)
            .spawn_scoped(scope, move || {
                // Also when a bug makes it panic: nobody waits for it then.
                let _ended = Ended(&queue_too);
                privileges::give_up_all_but(&[]);
                Worker {
                    plugins,
                    queue: &queue_too,
                    remote,
                    output: &output_too,
                    past: &past_too,
                    stop,
                    stats,
                    recorded: is_lossless.then_some(Timestamp::MIN),
                    began: Instant::now(),
                    halted: false,
                }
                .run();
            })?;
        Ok(Self::Plugins {
            queue,
            output,
            past,
            is_lossless,
            thread,
        })
    }

    /// Takes a batch, and leaves it empty. To be called again soon, with or without events, as long as some come.
    ///
    /// # Errors
    /// When a plugin has failed that lightmon must not go on without.
    pub(super) fn take(&mut self, events: &mut Vec<Event>, stats: &Stats) -> Result<(), Halt> {
        match self {
            Self::Output(output) => {
                output.write_buffered(events);
                events.clear();
                Ok(())
            }
            Self::Plugins {
                queue,
                output,
                past,
                is_lossless,
                ..
            } => {
                if !events.is_empty()
                    && let Err(mut late) = queue.push(std::mem::take(events), *is_lossless)
                {
                    let result = lock(past).apply(&mut late, stats);
                    lock(output).write(&late);
                    late.clear();
                    *events = late;
                    result?;
                }
                let spare = queue.spare()?;
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
            Self::Output(output) => output.write_notice(&notice),
            Self::Plugins { queue, .. } => queue.write_notice(notice),
        }
    }

    /// Waits until all that there is has gone to the output, so that what is left can be told.
    pub(super) fn settle(&mut self) {
        match self {
            Self::Output(output) => output.flush(),
            Self::Plugins { queue, .. } => queue.settle(),
        }
    }

    /// Ends: what waits is written.
    ///
    /// # Errors
    /// When it can't be, or a plugin has failed that lightmon must not go on without.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Output(output) => Ok(output.finish()?),
            Self::Plugins {
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
                queue.spare()?;
                Ok(finished?)
            }
        }
    }
}

enum Work {
    Events(Vec<Event>),
    Notice(Notice),
    /// A plugin is there to take another's place.
    Swap,
    /// The time is over.
    Nothing,
}

/// What waits for the plugins.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    room: Condvar,
}

#[derive(Default)]
struct State {
    work: VecDeque<Work>,
    /// In the work, and with the plugins.
    events: usize,
    /// What is left of [`GRACE`].
    grace: Option<Duration>,
    /// An emptied batch, for the next one.
    spare: Vec<Event>,
    halt: Option<Halt>,
    /// No more is pushed.
    ending: bool,
    /// The plugins take no more.
    ended: bool,
}

impl Queue {
    /// Hands events over, or gives them back when there is no room for long enough.
    fn push(&self, events: Vec<Event>, is_lossless: bool) -> Result<(), Vec<Event>> {
        let mut state = lock(&self.state);
        if state.events <= MOST / 2 {
            state.grace = Some(GRACE);
        }
        while state.events > 0 && state.events + events.len() > MOST && !state.ended {
            if is_lossless {
                state = wait(&self.room, state, None);
                continue;
            }
            let Some(left) = state.grace.filter(|grace| !grace.is_zero()) else {
                break;
            };
            let began = Instant::now();
            state = wait(&self.room, state, Some(left));
            state.grace = Some(left.saturating_sub(began.elapsed()));
        }
        if state.ended || (state.events > 0 && state.events + events.len() > MOST) {
            return Err(events);
        }
        state.events += events.len();
        state.work.push_back(Work::Events(events));
        self.work.notify_one();
        Ok(())
    }

    fn write_notice(&self, notice: Notice) {
        lock(&self.state).work.push_back(Work::Notice(notice));
        self.work.notify_one();
    }

    fn wake(&self) {
        lock(&self.state).work.push_back(Work::Swap);
        self.work.notify_one();
    }

    /// An emptied batch, or why lightmon must not go on.
    fn spare(&self) -> Result<Vec<Event>, Halt> {
        let mut state = lock(&self.state);
        match state.halt.take() {
            Some(halt) => Err(halt),
            None => Ok(std::mem::take(&mut state.spare)),
        }
    }

    /// Says why lightmon must not go on.
    fn halt(&self, halt: Halt) {
        lock(&self.state).halt.get_or_insert(halt);
    }

    fn settle(&self) {
        let mut state = lock(&self.state);
        while state.events > 0 && !state.ended {
            state = wait(&self.room, state, None);
        }
    }

    fn end(&self) {
        lock(&self.state).ending = true;
        self.work.notify_one();
    }

    /// The next work; waits for some, if need be for so long. None when there is no more.
    fn next(&self, at_most: Option<Duration>) -> Option<Work> {
        let mut state = lock(&self.state);
        let began = Instant::now();
        loop {
            if let Some(work) = state.work.pop_front() {
                return Some(work);
            }
            if state.ending {
                return None;
            }
            let left = at_most.map(|time| time.saturating_sub(began.elapsed()));
            if left == Some(Duration::ZERO) {
                return Some(Work::Nothing);
            }
            state = wait(&self.work, state, left);
        }
    }

    /// Events have gone through. They come back to be used again.
    fn done(&self, mut events: Vec<Event>) {
        let mut state = lock(&self.state);
        // All that was handed over, whatever the plugins have dropped of it.
        state.events = state
            .work
            .iter()
            .map(|work| match work {
                Work::Events(events) => events.len(),
                Work::Notice(_) | Work::Swap | Work::Nothing => 0,
            })
            .sum();
        events.clear();
        state.spare = events;
        self.room.notify_all();
    }
}

/// Says that the plugins take no more, however their thread has ended.
struct Ended<'a>(&'a Queue);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.ended = true;
        state.events = 0;
        self.0.room.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<'a>(
    condvar: &Condvar,
    state: MutexGuard<'a, State>,
    at_most: Option<Duration>,
) -> MutexGuard<'a, State> {
    match at_most {
        None => condvar.wait(state).unwrap_or_else(PoisonError::into_inner),
        Some(time) => {
            let (state, _) = condvar
                .wait_timeout(state, time)
                .unwrap_or_else(PoisonError::into_inner);
            state
        }
    }
}
