//! Runs one plugin of the chain: loads it, gives it events, applies its verdicts, and handles its faults.
//!
//! An instance that has failed is discarded. A new instance then processes the batch again in halves, to find the events that
//! make the plugin fail: all other events get their verdicts. A budget of time and calls limits how long one batch can delay
//! the next. If a plugin fails again soon, or does not restart, the runner backs off, each time twice as long. If a plugin
//! fails too often, the runner disables it.

mod bisection;
mod faults;
mod process;
mod tick;

use std::{
    collections::VecDeque,
    mem::Discriminant,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use lightmon_event::{escape::printable, stats};

use crate::{
    error::{Fault, Halt, Reason},
    grants::granted_tables,
    imports::PluginState,
    instance::{Instance, Template},
    limits::{Limits, MEMORY_WITH_RUNTIME},
    load,
    loader::Loader,
    manifest::{self, Role},
    settings,
    spec::{Digest, OnFault, Spec},
    v0_1::{Fields, batch::CONNECTION},
    when::When,
};

/// A plugin and what is known of its faults.
pub(crate) struct Runner {
    name: String,
    role: Role,
    template: Template,
    limits: Limits,
    on_fault: OnFault,
    /// The fields that the plugin asked for at its first start.
    needs: Fields,
    /// The plugin gets the events that match all of these.
    when: Vec<When>,
    /// The kinds of events that the plugin knows.
    kinds: Vec<u8>,
    /// The time between two ticks, if the plugin has ticks.
    period: Option<Duration>,
    /// The `elapsed` time of the next tick.
    next_tick: Option<Duration>,
    has_stop: bool,
    /// `None` after a fault, until the next call.
    instance: Option<Instance>,
    is_disabled: bool,
    /// The plugin is not called before this time.
    backoff_until: Option<Instant>,
    /// The fault for which lightmon must stop.
    halt: Option<Halt>,
    /// When the latest faults happened.
    faults: VecDeque<Instant>,
    /// The kinds of faults that were logged.
    logged_faults: Vec<Discriminant<Fault>>,
}

impl Runner {
    /// Compiles and starts a plugin.
    pub(crate) fn load(
        spec: &Spec,
        name: String,
        bytes: &[u8],
        digest: Digest,
        loader: &Loader,
        state: Arc<PluginState>,
    ) -> Result<Self, Reason> {
        let Loader {
            engine,
            limits,
            tables,
            compile,
        } = loader;
        if let Some(expected) = spec.sha256.filter(|expected| *expected != digest) {
            return Err(Reason::Digest {
                actual: digest,
                expected,
            });
        }
        let mut limits = spec.limits.over(limits);
        if !spec.limits.has("memory") && manifest::brings_a_runtime(bytes) {
            limits.memory = limits.memory.max(MEMORY_WITH_RUNTIME);
        }
        let loaded = load::load(engine, bytes, digest)?;
        if let Some(manifest) = &loaded.manifest {
            settings::check(&spec.config, &manifest.config).map_err(Reason::Settings)?;
        }
        let config = serde_json::Value::Object(spec.config.clone()).to_string();
        let tables = granted_tables(spec, &loaded, tables)?;
        let template = Template::new(
            engine.clone(),
            &loaded,
            config,
            limits.clone(),
            tables,
            state,
        )?;
        let (instance, setup) = template.start()?;
        let plugin_when = setup.when.iter().map(|expression| {
            compile(expression).map_err(|cause| Reason::When {
                expression: printable(expression),
                cause: printable(&cause),
            })
        });
        let user_when = spec.when.iter().map(|expression| {
            compile(expression).map_err(|cause| Reason::BadWhen {
                expression: printable(expression),
                cause: printable(&cause),
            })
        });
        let when = user_when.chain(plugin_when).collect::<Result<_, _>>()?;
        Ok(Self {
            name,
            role: loaded.role(),
            template,
            limits,
            on_fault: spec.on_fault.unwrap_or(match loaded.role() {
                Role::Redactor => OnFault::Drop,
                Role::Filter | Role::Formatter => OnFault::Pass,
            }),
            needs: setup.needs,
            when,
            kinds: match setup.kinds {
                kinds if kinds.is_empty() => vec![CONNECTION],
                kinds => kinds,
            },
            period: instance.period(),
            next_tick: None,
            has_stop: loaded.stop.is_some(),
            instance: Some(instance),
            is_disabled: false,
            backoff_until: None,
            halt: None,
            faults: VecDeque::new(),
            logged_faults: Vec::new(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn on_fault(&self) -> OnFault {
        self.on_fault
    }

    /// Whether the plugin hides secrets.
    pub(crate) fn is_redactor(&self) -> bool {
        self.role == Role::Redactor
    }

    /// The running instance, or a new one.
    fn instance(&mut self, stats: &stats::Plugin) -> Result<&mut Instance, Fault> {
        match &mut self.instance {
            Some(instance) => Ok(instance),
            none => {
                let (instance, _) = self
                    .template
                    .start()
                    .map_err(|reason| Fault::Restart(reason.to_string()))?;
                stats.restarts.fetch_add(1, Relaxed);
                Ok(none.insert(instance))
            }
        }
    }
}
