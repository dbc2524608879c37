//! Runs plugins in wasmtime, and enforces the limits of time, memory and stack.
//! Knows nothing of events or of the plugin contract.

mod clock;
mod quota;

use std::time::{Duration, Instant};

use lightmon_event::escape::printable;
use wasmtime::{Config, Store, Trap};

use self::{clock::Clock, quota::Quotas};
use crate::{cache::Cache, error::Fault, limits::Limits};

pub(crate) use self::clock::EPOCH_INTERVAL;

/// The engine of all plugins of a chain.
pub(crate) struct Engine {
    wasm: wasmtime::Engine,
    clock: Clock,
    cache: Cache,
    stack: usize,
    is_metered: bool,
}

impl Engine {
    /// `cache` is for the components that the engine compiles.
    pub(crate) fn new(limits: &Limits, cache: Cache) -> wasmtime::Result<Self> {
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
            is_metered: limits.metered,
        })
    }

    pub(crate) fn wasm(&self) -> &wasmtime::Engine {
        &self.wasm
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Makes the store of one instance. An instance that has trapped is never entered again, so each one has its own store.
    /// `host` is the state of the host functions that the instance calls.
    pub(crate) fn store<T: 'static>(&self, limits: &Limits, host: T) -> Store<Data<T>> {
        let data = Data {
            quotas: Quotas::new(limits),
            deadline: None,
            answer: limits.answer,
            host,
        };
        let mut store = Store::new(&self.wasm, data);
        store.limiter(|data| &mut data.quotas);
        store.set_hostcall_fuel(limits.answer);
        self.take_fuel(&mut store);
        store
    }

    /// The fuel that was used since the last call: about one unit an instruction. 0 if the engine is not metered.
    pub(crate) fn take_fuel<T>(&self, store: &mut Store<T>) -> u64 {
        if !self.is_metered {
            return 0;
        }
        let left = store.get_fuel().unwrap_or(0);
        let filled = store.set_fuel(u64::MAX);
        debug_assert!(filled.is_ok(), "invariant: the engine counts fuel");
        u64::MAX - left
    }

    /// Runs `call`, which can enter WebAssembly; it may take as long as `timeout`.
    pub(crate) fn call<T, R>(
        &self,
        store: &mut Store<Data<T>>,
        timeout: Duration,
        call: impl FnOnce(&mut Store<Data<T>>) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        store.data_mut().deadline = Some((Instant::now() + timeout, timeout));
        // One more, since the next epoch can begin at once.
        let epochs = timeout.as_nanos().div_ceil(EPOCH_INTERVAL.as_nanos()) as u64 + 1;
        store.set_epoch_deadline(epochs);
        let running = self.clock.run();
        let result = call(store);
        drop(running);
        result.map_err(|error| self.fault(&error, timeout, store.data()))
    }

    fn fault<T>(&self, error: &wasmtime::Error, timeout: Duration, data: &Data<T>) -> Fault {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return fault.clone();
        }
        let refused = data.quotas.refused();
        let trap = error.downcast_ref::<Trap>();
        match (trap, refused) {
            (Some(Trap::Interrupt), _) => Fault::Deadline(timeout),
            // A plugin that gets no memory can trap in any way.
            (_, Some(fault)) => fault,
            (Some(Trap::StackOverflow), _) => Fault::Stack(self.stack),
            (Some(trap), _) => {
                let text = trap.to_string();
                Fault::Trap(text.trim_start_matches("wasm trap: ").to_owned())
            }
            (None, _) => {
                let text = format!("{error:#}");
                // The type of this error is private to wasmtime.
                if text.contains("fuel allocated for hostcalls") {
                    Fault::Answer(data.answer)
                } else {
                    Fault::Malformed(printable(&text))
                }
            }
        }
    }
}

/// The host's data of one instance.
pub(crate) struct Data<T> {
    quotas: Quotas,
    /// When the running call must end, and its timeout.
    deadline: Option<(Instant, Duration)>,
    /// Bytes of one answer of the plugin.
    answer: usize,
    /// The state of the host functions.
    pub(crate) host: T,
}

impl<T> Data<T> {
    /// Bytes of linear memory, all memories together.
    pub(crate) fn memory(&self) -> usize {
        self.quotas.memory()
    }

    /// Checks the deadline. The epoch interrupts only WebAssembly, so host functions that can take long call this.
    ///
    /// # Errors
    /// If the running call has taken longer than its timeout.
    pub(crate) fn check_deadline(&self) -> Result<(), Fault> {
        match self.deadline {
            Some((until, timeout)) if Instant::now() > until => Err(Fault::Deadline(timeout)),
            _ => Ok(()),
        }
    }
}
