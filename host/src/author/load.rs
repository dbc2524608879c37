//! Loads a plugin as a run of lightmon does. The one place in which the author's commands meet the host.

use std::path::Path;

use crate::{
    config,
    exclude::{self, Expr},
    plugin::{Chain, Error, Limits, Spec, When},
};

/// With the user's cache of compiled plugins.
pub(super) fn load(spec: &Spec, limits: &Limits) -> Result<Chain, Error> {
    Chain::load(
        std::slice::from_ref(spec),
        limits,
        config::cache_dir().as_deref(),
        when,
    )
}

/// With a cache of one's own.
pub(super) fn load_with(spec: &Spec, limits: &Limits, cache: &Path) -> Result<Chain, Error> {
    Chain::load(std::slice::from_ref(spec), limits, Some(cache), when)
}

/// For plugins that ask for the events that they want to see.
fn when(expression: &str) -> Result<When, String> {
    let expression: Expr = expression
        .parse()
        .map_err(|error: exclude::Error| error.to_string())?;
    Ok(Box::new(move |event| expression.matches(event)))
}
