//! Builds a plugin in JavaScript with the project's script `build`, which runs componentize-js.

use std::{path::Path, process::Command};

use super::tool;
use crate::project::Project;

const GET: &str = "get node 20 or later, with npm, from https://nodejs.org";

pub(super) fn build(project: &Project, out: &Path) -> anyhow::Result<String> {
    let npm = || {
        let mut command = Command::new("npm");
        command.current_dir(&project.folder);
        command
    };
    if !project.folder.join("node_modules").is_dir() {
        tool::run(npm().args(["install", "--no-audit", "--no-fund"]), GET)?;
    }
    tool::run(npm().args(["run", "build", "--"]).arg(out), GET)?;
    Ok(project.name())
}
