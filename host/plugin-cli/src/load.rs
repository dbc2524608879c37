//! Loads a plugin as a run of lightmon does.

use std::path::Path;

use lightmon_plugin_host::{Chain, Error, Limits, Spec, default_paths, when};

/// Loads a plugin with the user's cache of compiled plugins.
pub(super) fn load(spec: &Spec, limits: &Limits) -> Result<Chain, Error> {
    Chain::load(
        std::slice::from_ref(spec),
        limits,
        default_paths::default_cache_dir().as_deref(),
        when,
    )
}

/// Loads a plugin with another cache folder.
pub(super) fn load_with(spec: &Spec, limits: &Limits, cache: &Path) -> Result<Chain, Error> {
    Chain::load(std::slice::from_ref(spec), limits, Some(cache), when)
}
