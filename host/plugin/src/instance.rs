//! A plugin in memory: made, started and called. What a fault means for events is decided elsewhere.

use std::{sync::Arc, time::Duration};

use wasmtime::{
    Store,
    component::{ComponentExportIndex, InstancePre, TypedFunc},
};

use super::{
    Fault, Limits, Reason,
    engine::{Data, Engine},
    error::PERIOD,
    imports::{self, Grants, Host, Kept},
    load::Loaded,
    v0_1::{Action, Batch, Fields, Report, Setup, tables::Tables},
};
use lightmon_event::Event;
use lightmon_event::escape::printable;

/// What instances of a plugin are made from.
pub(super) struct Template {
    engine: Arc<Engine>,
    pre: InstancePre<Data<Host>>,
    init: ComponentExportIndex,
    process: ComponentExportIndex,
    /// `period` and `tick`.
    tick: Option<[ComponentExportIndex; 2]>,
    stop: Option<ComponentExportIndex>,
    config: String,
    limits: Limits,
    grants: Grants,
    kept: Arc<Kept>,
}

impl Template {
    pub(super) fn new(
        engine: Arc<Engine>,
        loaded: &Loaded,
        config: String,
        limits: Limits,
        grants: Grants,
        kept: Arc<Kept>,
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
            grants,
            kept,
        })
    }

    /// What instances leave to the next one.
    pub(super) fn kept(&self) -> &Arc<Kept> {
        &self.kept
    }

    /// Makes an instance and calls its `init`.
    pub(super) fn start(&self) -> Result<(Instance, Setup), Reason> {
        let limit = self.limits.init;
        let host = Host::new(self.kept.clone(), self.grants.clone(), &self.limits);
        let mut store = self.engine.store(&self.limits, host);
        // A core module's start function runs here.
        let instance = self
            .engine
            .call(&mut store, limit, |store| self.pre.instantiate(store))
            .map_err(Reason::Init)?;
        let init: TypedFunc<(&str,), (Result<Setup, String>,)> = instance
            .get_typed_func(&mut store, self.init)
            .map_err(Reason::contract)?;
        let process = instance
            .get_typed_func(&mut store, self.process)
            .map_err(Reason::contract)?;
        let (setup,) = self
            .engine
            .call(&mut store, limit, |store| init.call(store, (&self.config,)))
            .map_err(Reason::Init)?;
        let setup = setup.map_err(|text| Reason::Refused(printable(&text)))?;
        let (mut tick, mut period) = (None, None);
        if let Some([asks, calls]) = &self.tick {
            let asks: TypedFunc<(), (u32,)> = instance
                .get_typed_func(&mut store, asks)
                .map_err(Reason::contract)?;
            let calls = instance.get_typed_func(&mut store, calls);
            tick = Some(calls.map_err(Reason::contract)?);
            let (asked,) = self
                .engine
                .call(&mut store, limit, |store| asks.call(store, ()))
                .map_err(Reason::Init)?;
            period = match Duration::from_millis(asked.into()) {
                Duration::ZERO => None,
                period if period < PERIOD => return Err(Reason::Period(asked)),
                period => Some(period),
            };
        }
        let stop = self.stop.as_ref();
        let stop = stop.map(|stop| instance.get_typed_func(&mut store, stop));
        let instance = Instance {
            engine: self.engine.clone(),
            started_with: store.data().memory(),
            limit: self.limits.memory,
            stop: stop.transpose().map_err(Reason::contract)?,
            store,
            process,
            tick,
            period,
        };
        Ok((instance, setup))
    }
}

/// `tick` or `stop`.
type Says = TypedFunc<(u64,), (Vec<Report>,)>;

/// A plugin that has started. After a fault it can't be entered again.
pub(super) struct Instance {
    engine: Arc<Engine>,
    store: Store<Data<Host>>,
    process: TypedFunc<(&'static Batch<'static>,), (Vec<Action>,)>,
    tick: Option<Says>,
    period: Option<Duration>,
    stop: Option<Says>,
    /// Bytes of memory after `init`.
    started_with: usize,
    /// Bytes that it may have.
    limit: usize,
}

impl Instance {
    /// What it has executed since it was asked last.
    pub(super) fn fuel(&mut self) -> u64 {
        self.engine.refuel(&mut self.store)
    }

    /// Bytes of linear memory.
    pub(super) fn memory(&self) -> usize {
        self.store.data().memory()
    }

    /// Whether it has grown to where it would soon be refused more: memory of WebAssembly never shrinks.
    pub(super) fn is_nearly_full(&self) -> bool {
        let has_grown = self.memory() > self.started_with + self.limit / 8;
        has_grown && self.memory() > self.limit / 4 * 3
    }

    /// How often it wants to be called, if it does.
    pub(super) fn period(&self) -> Option<Duration> {
        self.period
    }

    /// What it has to say at that time; nothing without a `tick`.
    pub(super) fn tick(&mut self, now: u64, limit: Duration) -> Result<Vec<Report>, Fault> {
        self.say(self.tick, now, limit)
    }

    /// Its last words; none without a `stop`.
    pub(super) fn stop(&mut self, now: u64, limit: Duration) -> Result<Vec<Report>, Fault> {
        self.say(self.stop, now, limit)
    }

    fn say(&mut self, says: Option<Says>, now: u64, limit: Duration) -> Result<Vec<Report>, Fault> {
        let Some(says) = says else {
            return Ok(Vec::new());
        };
        let (reports,) = self
            .engine
            .call(&mut self.store, limit, |store| says.call(store, (now,)))?;
        Ok(reports)
    }

    /// What the plugin wants done with the events, which it names by their place among them.
    pub(super) fn process<'a>(
        &mut self,
        events: impl ExactSizeIterator<Item = &'a Event>,
        needs: Fields,
        limit: Duration,
    ) -> Result<Vec<Action>, Fault> {
        let tables = Tables::new(events, needs);
        let batch = tables.batch();
        // A function that takes what lives for ever takes what lives shorter too: it keeps neither.
        let process: TypedFunc<(&Batch<'_>,), _> = self.process;
        let (actions,) = self.engine.call(&mut self.store, limit, |store| {
            process.call(store, (&batch,))
        })?;
        Ok(actions)
    }
}
