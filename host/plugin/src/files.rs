//! Reads the files of all plugins first, and compiles and starts the plugins later, when fewer rights are left.

use std::{path::Path, sync::Arc};

use lightmon_event::escape::printable;

use crate::{
    cache::Cache,
    chain::Chain,
    engine::Engine,
    error::{Error, Reason},
    file,
    imports::{PluginState, tables},
    limits::Limits,
    loader::Loader,
    reload::{ChainEntry, Reload, Replacements},
    runner::Runner,
    spec::{Digest, Spec},
    when::Compile,
};

/// The files of the plugins, as bytes. Nothing in them has been parsed yet.
pub struct Files {
    plugins: Vec<(Spec, Result<Vec<u8>, Reason>)>,
    tables: tables::Files,
    cache: Cache,
}

impl Files {
    /// Reads all files that [`load`](Self::load) may not be allowed to read. `cache` is the directory for compiled plugins; it
    /// is ignored if other users can write to it.
    pub fn read(specs: &[Spec], limits: &Limits, cache: Option<&Path>) -> Self {
        let read = |spec: &Spec| {
            let limit = spec.limits.over(limits).file;
            (spec.clone(), file::read(&spec.path, limit))
        };
        Self {
            plugins: specs.iter().map(read).collect(),
            tables: tables::Files::read(specs, limits),
            cache: Cache::open(cache.filter(|_| !specs.is_empty())),
        }
    }

    /// Compiles and starts the plugins. `compile` compiles their `when` expressions.
    ///
    /// # Errors
    /// If a plugin that is not optional can't be used: which one, and why.
    pub fn load(self, limits: &Limits, compile: Compile) -> Result<Chain, Error> {
        let replacements = Arc::<Replacements>::default();
        let Some((first, _)) = self.plugins.first() else {
            return Ok(Chain::new(Vec::new(), replacements, None));
        };
        let engine = Engine::new(limits, self.cache).map_err(|error| Error {
            file: first.path.clone(),
            reason: Reason::Engine(printable(&format!("{error:#}"))),
        })?;
        let loader = Loader {
            engine: Arc::new(engine),
            limits: limits.clone(),
            tables: Arc::new(self.tables),
            compile,
        };
        let mut entries = Vec::with_capacity(self.plugins.len());
        let mut runners: Vec<Runner> = Vec::with_capacity(self.plugins.len());
        for (spec, bytes) in self.plugins {
            let name = distinct_name(&spec.name(), |name| {
                runners.iter().any(|runner| runner.name() == name)
            });
            let (file, is_optional) = (spec.path.clone(), spec.optional);
            let load = || {
                let bytes = bytes?;
                let state = Arc::new(PluginState::new(&name, &spec.limits.over(limits)));
                let digest = Digest::of(&bytes);
                let runner = Runner::load(&spec, name, &bytes, digest, &loader, state.clone())?;
                let entry = ChainEntry::new(spec, runner.name().to_owned(), digest, state);
                Ok((entry, runner))
            };
            match load().map_err(|reason| Error { file, reason }) {
                Ok((entry, runner)) => {
                    entries.push(entry);
                    runners.push(runner);
                }
                Err(error) if is_optional => {
                    tracing::warn!("{error}; lightmon goes on without it, since it is optional");
                }
                Err(error) => return Err(error),
            }
        }
        let reload = Reload::new(entries, loader, replacements.clone());
        Ok(Chain::new(runners, replacements, Some(reload)))
    }
}

impl Chain {
    /// [Reads](Files::read) and [loads](Files::load) plugins on this thread.
    ///
    /// # Errors
    /// If a plugin that is not optional can't be used: which one, and why.
    pub fn load(
        specs: &[Spec],
        limits: &Limits,
        cache: Option<&Path>,
        compile: Compile,
    ) -> Result<Self, Error> {
        Files::read(specs, limits, cache).load(limits, compile)
    }
}

/// Returns `name`, or the first of `name#2`, `name#3`… that is not taken.
fn distinct_name(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut distinct = name.to_owned();
    let mut n = 1;
    while is_taken(&distinct) {
        n += 1;
        distinct = format!("{name}#{n}");
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_distinct() {
        let mut names: Vec<String> = Vec::new();
        for name in ["geoip", "geoip", "geoip#2", "geoip"] {
            let name = distinct_name(name, |name| names.iter().any(|n| n == name));
            names.push(name);
        }
        assert_eq!(names, ["geoip", "geoip#2", "geoip#2#2", "geoip#3"]);
    }
}
