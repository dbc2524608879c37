//! Builds a plugin in C with clang, from all `*.c` files of the folder and of `lightmon/`, without a C library.

use std::{env, path::Path, process::Command};

use anyhow::Context as _;

use super::tool;
use crate::project::{Project, sources};

const CLANGS: [&str; 10] = [
    "clang", "clang-22", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17", "clang-16",
    "clang-15", "clang-14",
];
const GET: &str = "run `apt-get install clang lld`, or get it from https://releases.llvm.org, or set CLANG to its path";

pub(super) fn build(project: &Project, out: &Path) -> anyhow::Result<String> {
    let folder = &project.folder;
    let helper = folder.join("lightmon");
    let mut files = sources(folder, "c").context("read the folder")?;
    if helper.is_dir() {
        files.extend(sources(&helper, "c").context("read the folder lightmon")?);
    }
    let clang = env::var_os("CLANG").filter(|clang| !clang.is_empty());
    let clang = clang.unwrap_or_else(|| tool::first(&CLANGS).unwrap_or(CLANGS[0]).into());
    let mut command = Command::new(clang);
    command
        .current_dir(folder)
        .args([
            "--target=wasm32-unknown-unknown",
            "-O2",
            "-nostdlib",
            "-ffreestanding",
            "-Wall",
            "-I.",
            "-Ilightmon",
        ])
        .args(["-Wl,--no-entry", "-Wl,--strip-debug", "-o"])
        .arg(out)
        .args(
            files
                .iter()
                .map(|file| file.strip_prefix(folder).unwrap_or(file)),
        );
    tool::run(&mut command, GET).map_err(|error| match tool::first(&["wasm-ld"]) {
        Some(_) => error,
        None => {
            error.context("if wasm-ld is missing, install the package `lld` of the same version")
        }
    })?;
    Ok(project.name())
}
