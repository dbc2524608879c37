//! Makes, starts and calls an instance of a plugin. Does not decide what a fault means for events.

use std::{sync::Arc, time::Duration};

use lightmon_event::{Event, escape::printable};
use wasmtime::{
    Store,
    component::{ComponentExportIndex, InstancePre, TypedFunc},
};

use crate::{
    engine::{Data, Engine},
    error::{Fault, MIN_PERIOD, Reason},
    imports::{self, GrantedTables, Host, PluginState},
    limits::Limits,
    load::Loaded,
    v0_1::{Action, Batch, Fields, Report, Setup, batch::BatchTables},
};

/// Makes the instances of a plugin.
pub(crate) struct Template {
    engine: Arc<Engine>,
    pre: InstancePre<Data<Host>>,
    init: ComponentExportIndex,
    process: ComponentExportIndex,
    /// The functions `period` and `tick`.
    tick: Option<[ComponentExportIndex; 2]>,
    stop: Option<ComponentExportIndex>,
    config: String,
    limits: Limits,
    tables: GrantedTables,
    state: Arc<PluginState>,
}

impl Template {
    pub(crate) fn new(
        engine: Arc<Engine>,
        loaded: &Loaded,
        config: String,
        limits: Limits,
        tables: GrantedTables,
        state: Arc<PluginState>,
    ) -> Result<Self, Reason> {
        let component = &loaded.component;
        let function = |interface: &str, name: &str| {
            let interface = component.get_export_index(None, interface);
            interface
                .and_then(|interface| component.get_export_index(Some(&interface), name))
                .ok_or_else(|| Reason::Contract(format!("there is no function `{name}`")))
        };
        let tick = loaded.tick.as_deref();
        let tick = tick.map(|tick| Ok([function(tick, "period")?, function(tick, "tick")?]));
        let stop = loaded.stop.as_deref().map(|stop| function(stop, "stop"));
        Ok(Self {
            init: function(&loaded.filter, "init")?,
            process: function(&loaded.filter, "process")?,
            tick: tick.transpose()?,
            stop: stop.transpose()?,
            pre: imports::linker(engine.wasm(), component)?
                .instantiate_pre(component)
                .map_err(Reason::contract)?,
            engine,
            config,
            limits,
            tables,
            state,
        })
    }

    /// The state that all instances share.
    pub(crate) fn state(&self) -> &Arc<PluginState> {
        &self.state
    }

    /// Makes an instance and calls its `init`.
    pub(crate) fn start(&self) -> Result<(Instance, Setup), Reason> {
        let timeout = self.limits.init;
        let host = Host::new(self.state.clone(), self.tables.clone(), &self.limits);
        let mut store = self.engine.store(&self.limits, host);
        // A core module's start function runs here.
        let instance = self
            .engine
            .call(&mut store, timeout, |store| self.pre.instantiate(store))
            .map_err(Reason::Init)?;
        let init: TypedFunc<(&str,), (Result<Setup, String>,)> = instance
            .get_typed_func(&mut store, self.init)
            .map_err(Reason::contract)?;
        let process = instance
            .get_typed_func(&mut store, self.process)
            .map_err(Reason::contract)?;
        let (setup,) = self
            .engine
            .call(&mut store, timeout, |store| {
                init.call(store, (&self.config,))
            })
            .map_err(Reason::Init)?;
        let setup = setup.map_err(|text| Reason::Refused(printable(&text)))?;
        let (mut tick, mut period) = (None, None);
        if let Some([period_index, tick_index]) = &self.tick {
            let period_func: TypedFunc<(), (u32,)> = instance
                .get_typed_func(&mut store, period_index)
                .map_err(Reason::contract)?;
            let tick_func = instance.get_typed_func(&mut store, tick_index);
            tick = Some(tick_func.map_err(Reason::contract)?);
            let (period_ms,) = self
                .engine
                .call(&mut store, timeout, |store| period_func.call(store, ()))
                .map_err(Reason::Init)?;
            period = match Duration::from_millis(period_ms.into()) {
                Duration::ZERO => None,
                period if period < MIN_PERIOD => return Err(Reason::Period(period_ms)),
                period => Some(period),
            };
        }
        let stop = self.stop.as_ref();
        let stop = stop.map(|stop| instance.get_typed_func(&mut store, stop));
        let instance = Instance {
            engine: self.engine.clone(),
            initial_memory: store.data().memory(),
            max_memory: self.limits.memory,
            stop: stop.transpose().map_err(Reason::contract)?,
            store,
            process,
            tick,
            period,
        };
        Ok((instance, setup))
    }
}

/// The type of `tick` and `stop`.
type ReportFunc = TypedFunc<(u64,), (Vec<Report>,)>;

/// A plugin that has started. After a fault, it must not be called again.
pub(crate) struct Instance {
    engine: Arc<Engine>,
    store: Store<Data<Host>>,
    process: TypedFunc<(&'static Batch<'static>,), (Vec<Action>,)>,
    tick: Option<ReportFunc>,
    period: Option<Duration>,
    stop: Option<ReportFunc>,
    /// Bytes of memory after `init`.
    initial_memory: usize,
    /// The limit of bytes.
    max_memory: usize,
}

impl Instance {
    /// The fuel that was used since the last call of this function.
    pub(crate) fn take_fuel(&mut self) -> u64 {
        self.engine.take_fuel(&mut self.store)
    }

    /// Bytes of linear memory.
    pub(crate) fn memory(&self) -> usize {
        self.store.data().memory()
    }

    /// Whether the memory has grown so much that the limit is near. Memory of WebAssembly never shrinks.
    pub(crate) fn is_nearly_full(&self) -> bool {
        let has_grown = self.memory() > self.initial_memory + self.max_memory / 8;
        has_grown && self.memory() > self.max_memory / 4 * 3
    }

    /// The time between two ticks, if the plugin has ticks.
    pub(crate) fn period(&self) -> Option<Duration> {
        self.period
    }

    /// Calls `tick`, if the plugin has one. `now` is in nanoseconds.
    pub(crate) fn tick(&mut self, now: u64, timeout: Duration) -> Result<Vec<Report>, Fault> {
        self.report(self.tick, now, timeout)
    }

    /// Calls `stop`, if the plugin has one. `now` is in nanoseconds.
    pub(crate) fn stop(&mut self, now: u64, timeout: Duration) -> Result<Vec<Report>, Fault> {
        self.report(self.stop, now, timeout)
    }

    fn report(
        &mut self,
        func: Option<ReportFunc>,
        now: u64,
        timeout: Duration,
    ) -> Result<Vec<Report>, Fault> {
        let Some(func) = func else {
            return Ok(Vec::new());
        };
        let (reports,) = self
            .engine
            .call(&mut self.store, timeout, |store| func.call(store, (now,)))?;
        Ok(reports)
    }

    /// Calls `process`, and returns the actions of the plugin. The actions name events by their index.
    pub(crate) fn process<'a>(
        &mut self,
        events: impl ExactSizeIterator<Item = &'a Event>,
        needs: Fields,
        timeout: Duration,
    ) -> Result<Vec<Action>, Fault> {
        let tables = BatchTables::new(events, needs);
        let batch = tables.batch();
        // A function that takes `'static` data also takes shorter-lived data, since it keeps none.
        let process: TypedFunc<(&Batch<'_>,), _> = self.process;
        let (actions,) = self.engine.call(&mut self.store, timeout, |store| {
            process.call(store, (&batch,))
        })?;
        Ok(actions)
    }
}
