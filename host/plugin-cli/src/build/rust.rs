//! Builds a plugin in Rust with `cargo build --release --target wasm32-unknown-unknown`.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::tool;
use crate::project::Project;

const TARGET: &str = "wasm32-unknown-unknown";
const GET_CARGO: &str = "get Rust from https://rustup.rs";

/// One of cargo's JSON messages.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
}

/// Builds the plugin. Returns the name of the package.
pub(super) fn build(project: &Project, out: &Path) -> anyhow::Result<String> {
    let manifest = project.folder.join("Cargo.toml");
    let name = package(project, &manifest)?;
    let mut command = cargo(project);
    command.args(["build", "--release", "--lib", "--target", TARGET]);
    command.arg("--message-format=json-render-diagnostics");
    let (messages, has_built) = tool::output(&mut command, GET_CARGO)?;
    if !has_built {
        if !has_target(project) {
            bail!(
                "this Rust has no standard library for {TARGET}; run `rustup target add {TARGET}`, or set RUSTC and RUSTFLAGS to another compiler"
            );
        }
        bail!("cargo failed; see its messages above");
    }
    let artifact = messages
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Message>(line).ok())
        .filter(|message| {
            message.reason == "compiler-artifact" && message.manifest_path == manifest
        })
        .flat_map(|message| message.filenames)
        .find(|file| file.extension().is_some_and(|ending| ending == "wasm"));
    let artifact = artifact.with_context(|| {
        "cargo built no .wasm file; add [lib] with crate-type = [\"cdylib\", \"rlib\"] to Cargo.toml"
    })?;
    fs::copy(&artifact, out).with_context(|| format!("copy {}", artifact.display()))?;
    Ok(name)
}

fn package(project: &Project, manifest: &Path) -> anyhow::Result<String> {
    let mut command = cargo(project);
    command.args(["metadata", "--no-deps", "--format-version=1"]);
    let (json, is_fine) = tool::output(&mut command, GET_CARGO)?;
    if !is_fine {
        bail!("cargo cannot read Cargo.toml; see its messages above");
    }
    let metadata: Metadata = serde_json::from_slice(&json).context("read cargo's metadata")?;
    let mut packages = metadata.packages.into_iter();
    let package = packages.find(|package| package.manifest_path == manifest);
    Ok(package.context("Cargo.toml has no [package]")?.name)
}

fn cargo(project: &Project) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    command.current_dir(&project.folder);
    command
}

/// Whether the compiler has a standard library for WebAssembly.
fn has_target(project: &Project) -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or("rustc".into());
    let flags: OsString = env::var_os("RUSTFLAGS").unwrap_or_default();
    let output = Command::new(rustc)
        .current_dir(&project.folder)
        .args(flags.to_string_lossy().split_whitespace())
        .args(["--print", "target-libdir", "--target", TARGET])
        .stderr(Stdio::null())
        .output();
    let Ok(output) = output else { return false };
    let libraries = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let is_core = |name: &str| name.starts_with("libcore-");
    fs::read_dir(libraries).is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|entry| is_core(&entry.file_name().to_string_lossy())))
    })
}
