//! Advances wasmtime's epoch while a plugin runs, so that calls that take too long are interrupted.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use wasmtime::EngineWeak;

/// The time between two epochs: how exact deadlines are.
pub(crate) const EPOCH_INTERVAL: Duration = Duration::from_millis(10);

/// The thread that advances the epoch. It sleeps while no plugin runs, so it costs an idle host nothing.
pub(super) struct Clock {
    state: Arc<State>,
    thread: thread::Thread,
}

#[derive(Default)]
struct State {
    /// Running calls, on any thread.
    running: AtomicUsize,
    is_stopped: AtomicBool,
}

impl Clock {
    pub(super) fn start(engine: EngineWeak) -> io::Result<Self> {
        let state = Arc::<State>::default();
        let shared = state.clone();
        let thread = thread::Builder::new()
            .name("plugin-clock".to_owned())
            .spawn(move || {
                while !shared.is_stopped.load(Ordering::SeqCst) {
                    if shared.running.load(Ordering::SeqCst) > 0 {
                        thread::sleep(EPOCH_INTERVAL);
                        let Some(engine) = engine.upgrade() else {
                            return;
                        };
                        engine.increment_epoch();
                    } else {
                        thread::park();
                    }
                }
            })?;
        Ok(Self {
            state,
            thread: thread.thread().clone(),
        })
    }

    /// Advances the epoch until the result is dropped.
    pub(super) fn run(&self) -> Running<'_> {
        self.state.running.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
        Running(&self.state.running)
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.state.is_stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// A running call.
pub(super) struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
