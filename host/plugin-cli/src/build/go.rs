//! Builds a plugin in Go with `go build` for wasip1, as a library.

use std::{path::Path, process::Command};

use super::tool;
use crate::project::Project;

const GET: &str = "get Go 1.24 or later from https://go.dev/dl";

pub(super) fn build(project: &Project, out: &Path) -> anyhow::Result<String> {
    let mut command = Command::new("go");
    command
        .current_dir(&project.folder)
        .envs([("GOOS", "wasip1"), ("GOARCH", "wasm")])
        .args(["build", "-buildmode=c-shared", "-ldflags=-s -w", "-o"])
        .arg(out)
        .arg(".");
    tool::run(&mut command, GET)?;
    Ok(project.name())
}
