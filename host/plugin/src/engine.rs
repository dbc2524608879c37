//! The engine that runs plugins, and the limits that it enforces: time, memory, stack.
//! Knows nothing of events or of the plugin contract.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use wasmtime::{Config, EngineWeak, ResourceLimiter, Store, Trap};

use super::{Fault, Limits, cache::Cache};
use lightmon_event::escape::printable;

/// How exact deadlines are.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Core instances, memories and tables of one component (those made from Python need more than a hundred instances).
const INSTANCES: usize = 256;

/// One for all plugins of a chain.
pub(super) struct Engine {
    wasm: wasmtime::Engine,
    clock: Clock,
    cache: Cache,
    stack: usize,
    metered: bool,
}

impl Engine {
    /// `cache` is for what it compiles.
    pub(super) fn new(limits: &Limits, cache: Cache) -> wasmtime::Result<Self> {
        let mut config = Config::new();
        config
            .epoch_interruption(true)
            .concurrency_support(false)
            .consume_fuel(limits.metered)
            .max_wasm_stack(limits.stack);
        let wasm = wasmtime::Engine::new(&config)?;
        Ok(Self {
            clock: Clock::start(wasm.weak())?,
            wasm,
            cache,
            stack: limits.stack,
            metered: limits.metered,
        })
    }

    pub(super) fn wasm(&self) -> &wasmtime::Engine {
        &self.wasm
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// A store for one instance: what traps once is never entered again, so each gets its own. `host` is for the functions
    /// that it may call.
    pub(super) fn store<T: 'static>(&self, limits: &Limits, host: T) -> Store<Data<T>> {
        let data = Data {
            budget: Budget {
                memory: Quota::new(limits.memory, "bytes of memory"),
                tables: Quota::new(limits.table_elements, "table elements"),
            },
            deadline: None,
            answer: limits.answer,
            host,
        };
        let mut store = Store::new(&self.wasm, data);
        store.limiter(|data| &mut data.budget);
        store.set_hostcall_fuel(limits.answer);
        self.refuel(&mut store);
        store
    }

    /// What was executed since the last time, in wasmtime's unit, about one an instruction. 0 when nobody counts.
    pub(super) fn refuel<T>(&self, store: &mut Store<T>) -> u64 {
        if !self.metered {
            return 0;
        }
        let left = store.get_fuel().unwrap_or(0);
        let filled = store.set_fuel(u64::MAX);
        debug_assert!(filled.is_ok(), "the engine counts");
        u64::MAX - left
    }

    /// Runs `call`, which may enter WebAssembly for `limit`.
    pub(super) fn call<T, R>(
        &self,
        store: &mut Store<Data<T>>,
        limit: Duration,
        call: impl FnOnce(&mut Store<Data<T>>) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        store.data_mut().deadline = Some((Instant::now() + limit, limit));
        // One more, since the first tick may come at once.
        store.set_epoch_deadline(limit.as_nanos().div_ceil(TICK.as_nanos()) as u64 + 1);
        let running = self.clock.run();
        let result = call(store);
        drop(running);
        result.map_err(|error| self.fault(&error, limit, store.data()))
    }

    fn fault<T>(&self, error: &wasmtime::Error, limit: Duration, data: &Data<T>) -> Fault {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return fault.clone();
        }
        let budget = &data.budget;
        let refused = budget.memory.refused().or_else(|| budget.tables.refused());
        let trap = error.downcast_ref::<Trap>();
        match (trap, refused) {
            (Some(Trap::Interrupt), _) => Fault::Deadline(limit),
            // Guests that get no memory trap in their own ways.
            (_, Some(fault)) => fault,
            (Some(Trap::StackOverflow), _) => Fault::Stack(self.stack),
            (Some(trap), _) => {
                let text = trap.to_string();
                Fault::Trap(text.trim_start_matches("wasm trap: ").to_owned())
            }
            (None, _) => {
                let text = format!("{error:#}");
                // wasmtime keeps the type of this error to itself.
                if text.contains("fuel allocated for hostcalls") {
                    Fault::Answer(data.answer)
                } else {
                    Fault::Malformed(printable(&text))
                }
            }
        }
    }
}

/// What belongs to one instance, beside its memory.
pub(super) struct Data<T> {
    budget: Budget,
    /// When the running call must end, and how long it may take.
    deadline: Option<(Instant, Duration)>,
    /// Bytes that an answer may take.
    answer: usize,
    /// For the functions that it may call.
    pub(super) host: T,
}

impl<T> Data<T> {
    /// Bytes of linear memory, all memories together.
    pub(super) fn memory(&self) -> usize {
        self.budget.memory.used
    }

    /// Whether there is time left. The epoch stops WebAssembly only: what works for it in the host, and could work for
    /// long, asks here.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn on_time(&self) -> Result<(), Fault> {
        match self.deadline {
            Some((until, limit)) if Instant::now() > until => Err(Fault::Deadline(limit)),
            _ => Ok(()),
        }
    }
}

/// What one instance has taken of what it may take.
struct Budget {
    memory: Quota,
    tables: Quota,
}

struct Quota {
    limit: usize,
    used: usize,
    /// The first amount that was refused.
    refused: Option<usize>,
    unit: &'static str,
}

impl Quota {
    fn new(limit: usize, unit: &'static str) -> Self {
        Self {
            limit,
            used: 0,
            refused: None,
            unit,
        }
    }

    fn take(&mut self, amount: usize) -> bool {
        let wanted = self.used.saturating_add(amount);
        let granted = wanted <= self.limit;
        if granted {
            self.used = wanted;
        } else {
            self.refused.get_or_insert(wanted);
        }
        granted
    }

    fn refused(&self) -> Option<Fault> {
        self.refused.map(|wanted| Fault::Memory {
            wanted,
            limit: self.limit,
            unit: self.unit,
        })
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.memory.take(desired.saturating_sub(current)))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.tables.take(desired.saturating_sub(current)))
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        INSTANCES
    }

    fn memories(&self) -> usize {
        INSTANCES
    }
}

/// The thread that advances the epoch. It sleeps for good while no plugin runs: an idle host has no ticks to pay.
struct Clock {
    state: Arc<State>,
    thread: thread::Thread,
}

#[derive(Default)]
struct State {
    /// Calls, on any thread.
    running: AtomicUsize,
    over: AtomicBool,
}

impl Clock {
    fn start(engine: EngineWeak) -> io::Result<Self> {
        let state = Arc::<State>::default();
        let shared = state.clone();
        let thread = thread::Builder::new()
            .name("plugin-clock".to_owned())
            .spawn(move || {
                while !shared.over.load(Ordering::SeqCst) {
                    if shared.running.load(Ordering::SeqCst) > 0 {
                        thread::sleep(TICK);
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

    /// Makes it tick until the result is dropped.
    fn run(&self) -> Running<'_> {
        self.state.running.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
        Running(&self.state.running)
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quota_counts_all_memories_together() {
        let mut budget = Budget {
            memory: Quota::new(100, "bytes of memory"),
            tables: Quota::new(10, "table elements"),
        };
        let grow = |budget: &mut Budget, current, desired| {
            budget
                .memory_growing(current, desired, None)
                .expect("never an error")
        };
        assert!(grow(&mut budget, 0, 60));
        assert!(!grow(&mut budget, 0, 60));
        assert!(grow(&mut budget, 60, 100));
        assert!(!grow(&mut budget, 100, usize::MAX));
        assert_eq!(
            budget.memory.refused().expect("was refused").to_string(),
            "wanted 120 bytes of memory, 100 is the limit"
        );
        assert_eq!(budget.tables.refused(), None);
    }
}
