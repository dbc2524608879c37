//! What every plugin of a chain is loaded with, at the start and at each reload.

use std::sync::Arc;

use crate::{engine::Engine, imports::tables, limits::Limits, when::Compile};

/// Shared by all plugins of a chain.
#[derive(Clone)]
pub(crate) struct Loader {
    pub(crate) engine: Arc<Engine>,
    /// The defaults, before a plugin's own overrides.
    pub(crate) limits: Limits,
    pub(crate) tables: Arc<tables::Files>,
    /// Compiles `when` expressions.
    pub(crate) compile: Compile,
}
