//! Builds a plugin in Python with componentize-py, with stubs for WASI.

use std::{path::Path, process::Command};

use super::tool;
use crate::{manifest, project::Project};

const GET: &str = "run `pip install componentize-py`";

pub(super) fn build(project: &Project, out: &Path) -> anyhow::Result<String> {
    let world = project.manifest.as_ref().map_or("plugin", manifest::world);
    let mut command = Command::new("componentize-py");
    command
        .current_dir(&project.folder)
        .args([
            "-d",
            "wit",
            "-w",
            world,
            "componentize",
            "plugin",
            "--stub-wasi",
            "-o",
        ])
        .arg(out);
    tool::run(&mut command, GET)?;
    Ok(project.name())
}
