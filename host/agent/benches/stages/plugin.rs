//! One plugin with all its limits: drop by port, tag by address, build a JSON line (`host/plugin/benches/guest`).

use std::path::{Path, PathBuf};

use lightmon_event::{Event, Stats};
use lightmon_plugin_host::{Chain, Limits, Spec};

use crate::{
    bench::{BATCH, Bench},
    events::event,
};

pub(crate) fn stages(bench: &mut Bench<'_>) {
    for (name, mode) in [
        ("plugin-drop", "drop"),
        ("plugin-tag", "tag"),
        ("plugin-line", "line"),
    ] {
        let cache = bench.cache.map(Path::to_owned);
        bench.stage(name, BATCH, || {
            let events: Vec<_> = (0..BATCH).map(event).collect();
            let mut chain = chain(
                &[&format!("bench-guest.wasm:mode={mode}")],
                cache.as_deref(),
            );
            let stats = Stats::new(chain.names());
            let run = move |mut batch: Vec<Event>| {
                chain
                    .run(&mut batch, &stats)
                    .expect("a plugin that does not fail");
                batch
            };
            (move || events.clone(), run)
        });
    }
}

/// Loads these plugins of `make plugins`, each with its settings.
pub(crate) fn chain(specs: &[&str], cache: Option<&Path>) -> Chain {
    let specs: Vec<Spec> = specs
        .iter()
        .map(|spec| {
            let folder = std::env::var_os("LIGHTMON_BENCH_PLUGINS").map(PathBuf::from);
            let folder = folder
                .expect("LIGHTMON_BENCH_PLUGINS: call `make bench-stages` or `make bench-check`");
            let spec = folder.join(spec).display().to_string();
            spec.parse().unwrap_or_else(|error| panic!("{error}"))
        })
        .collect();
    Chain::load(&specs, &Limits::default(), cache, |_| {
        Err("no expressions here".to_owned())
    })
    .unwrap_or_else(|error| panic!("{error}"))
}
