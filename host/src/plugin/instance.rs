//! A plugin in memory: made, started and called. What a fault means for events is decided elsewhere.

use std::{sync::Arc, time::Duration};

use wasmtime::{
    Store,
    component::{ComponentExportIndex, InstancePre, TypedFunc},
};

use super::{
    Fault, Limits, Reason,
    engine::{Data, Engine},
    imports::{self, Grants, Host, Kept},
    load::Loaded,
    text::printable,
    v0_1::{Action, Batch, Fields, Setup, tables::Tables},
};
use crate::event::Event;

/// What instances of a plugin are made from.
pub(super) struct Template {
    engine: Arc<Engine>,
    pre: InstancePre<Data<Host>>,
    init: ComponentExportIndex,
    process: ComponentExportIndex,
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
        let Loaded {
            component, filter, ..
        } = loaded;
        let interface = component.get_export_index(None, filter);
        let function = |name: &str| {
            interface
                .as_ref()
                .and_then(|interface| component.get_export_index(Some(interface), name))
                .ok_or_else(|| Reason::Contract(format!("there is no function `{name}`")))
        };
        Ok(Self {
            init: function("init")?,
            process: function("process")?,
            pre: imports::linker(engine.wasm())?
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
        let instance = Instance {
            engine: self.engine.clone(),
            started_with: store.data().memory(),
            limit: self.limits.memory,
            store,
            process,
        };
        Ok((instance, setup))
    }
}

/// A plugin that has started. After a fault it can't be entered again.
pub(super) struct Instance {
    engine: Arc<Engine>,
    store: Store<Data<Host>>,
    process: TypedFunc<(&'static Batch<'static>,), (Vec<Action>,)>,
    /// Bytes of memory after `init`.
    started_with: usize,
    /// Bytes that it may have.
    limit: usize,
}

impl Instance {
    /// Bytes of linear memory.
    pub(super) fn memory(&self) -> usize {
        self.store.data().memory()
    }

    /// Whether it has grown to where it would soon be refused more: memory of WebAssembly never shrinks.
    pub(super) fn is_nearly_full(&self) -> bool {
        let has_grown = self.memory() > self.started_with + self.limit / 8;
        has_grown && self.memory() > self.limit / 4 * 3
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
