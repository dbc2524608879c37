//! `lightmon plugin build`: builds a project to build/NAME.wasm with the compiler of its language. lightmon makes the
//! component itself, so an author needs no other tool of the component model.

mod c;
mod finish;
mod go;
mod js;
mod python;
mod rust;
mod tool;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::ValueHint;

use super::{
    Done, manifest, print,
    project::{Language, Project},
};

/// Build a plugin's project to build/NAME.wasm
///
/// Runs the compiler of the language (cargo, clang, go, npm or componentize-py), makes a component of the result, and adds
/// plugin.json as the manifest.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Build the project in DIR
    #[arg(value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    folder: PathBuf,

    /// Write the plugin to FILE
    ///
    /// Default: build/NAME.wasm in the project's folder.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> anyhow::Result<Done> {
    let project = Project::open(&args.folder)?;
    let built = build(&project, args.out.as_deref())?;
    let size = fs::metadata(&built).map_or(0, |file| file.len());
    print(&format!("{}  {}\n", built.display(), super::size(size)))?;
    Ok(Done::Success)
}

/// Builds a project. Returns the path of the plugin.
pub(super) fn build(project: &Project, out: Option<&Path>) -> anyhow::Result<PathBuf> {
    let folder = project.folder.join("build");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let raw = RawOutput(folder.join("raw.wasm"));
    let name = match project.language {
        Language::Rust => rust::build(project, &raw.0)?,
        Language::C => c::build(project, &raw.0)?,
        Language::Go => go::build(project, &raw.0)?,
        Language::Js => js::build(project, &raw.0)?,
        Language::Python => python::build(project, &raw.0)?,
    };
    let module = fs::read(&raw.0).with_context(|| format!("read {}", raw.0.display()))?;
    let manifest = project.manifest.clone().map(manifest::section);
    let plugin = match finish::finish(module, manifest.as_deref()) {
        Ok(plugin) => plugin,
        Err(error) => bail!("the compiler's output is not a plugin: {error:#}"),
    };
    let out = out.map_or_else(|| folder.join(format!("{name}.wasm")), Path::to_owned);
    // Atomically: a running lightmon may read the file.
    let new = out.with_extension("wasm.new");
    fs::write(&new, plugin)
        .and_then(|()| fs::rename(&new, &out))
        .with_context(|| format!("write {}", out.display()))?;
    Ok(out)
}

/// The compiler's output. Dropping deletes the file.
struct RawOutput(PathBuf);

impl Drop for RawOutput {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
