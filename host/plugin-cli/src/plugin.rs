//! The plugin that a command is given: a .wasm file, or a project, which this module builds.

use super::{Usage, build, project::Project};
use lightmon_plugin_host::{BadSpec, Spec};

/// A plugin, built.
pub(super) struct Plugin {
    pub(super) spec: Spec,
    /// None if a .wasm file was given.
    pub(super) project: Option<Project>,
}

impl Plugin {
    /// Opens `FILE[:KEY=VALUE,…]` or `FOLDER[:KEY=VALUE,…]`.
    pub(super) fn open(text: &str) -> anyhow::Result<Self> {
        let mut spec: Spec = text
            .parse()
            .map_err(|error: BadSpec| Usage(error.to_string()))?;
        if !spec.path.is_dir() {
            return Ok(Self {
                spec,
                project: None,
            });
        }
        let project = Project::open(&spec.path)?;
        spec.path = build::build(&project, None)?;
        Ok(Self {
            spec,
            project: Some(project),
        })
    }
}
