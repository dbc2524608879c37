//! `lightmon plugin build`: from a project to build/NAME.wasm, with the language's own compiler. What comes out of that is
//! finished here, so that no other tool of the component model is needed.

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
    Done, manifest,
    project::{Language, Project},
    say,
};

/// Build a plugin's project to build/NAME.wasm
///
/// Runs the compiler of its language (cargo, clang, go, npm, componentize-py), makes a component of what it has made, and puts
/// plugin.json into it as the manifest.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    folder: PathBuf,

    /// Write the plugin to FILE [default: build/NAME.wasm in the folder]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> anyhow::Result<Done> {
    let project = Project::open(&args.folder)?;
    let built = build(&project, args.out.as_deref())?;
    let size = fs::metadata(&built).map_or(0, |file| file.len());
    say(&format!("{}  {}\n", built.display(), super::size(size)))?;
    Ok(Done::Fine)
}

/// Builds it. Returns the file.
pub(super) fn build(project: &Project, out: Option<&Path>) -> anyhow::Result<PathBuf> {
    let folder = project.folder.join("build");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let raw = Raw(folder.join("raw.wasm"));
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
        Err(error) => bail!("what the compiler has made is no plugin: {error:#}"),
    };
    let out = out.map_or_else(|| folder.join(format!("{name}.wasm")), Path::to_owned);
    // In one step: a running lightmon may look at it.
    let new = out.with_extension("wasm.new");
    fs::write(&new, plugin)
        .and_then(|()| fs::rename(&new, &out))
        .with_context(|| format!("write {}", out.display()))?;
    Ok(out)
}

/// What the compiler makes; of no use afterwards.
struct Raw(PathBuf);

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
