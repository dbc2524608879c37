//! Runs compilers. Their own words go through, so what is added here is only how to get one that is missing.

use std::{
    env,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::bail;

/// The first of these that is in PATH.
pub(super) fn first<'a>(names: &[&'a str]) -> Option<&'a str> {
    let path = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let is_there = |name: &&str| folders.iter().any(|folder| folder.join(name).is_file());
    names.iter().copied().find(is_there)
}

/// Runs it, what it writes going to stderr: stdout is for the command's own answer. `get` says how to get the program.
pub(super) fn run(command: &mut Command, get: &str) -> anyhow::Result<()> {
    let name = name(command);
    let status = command
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .map_err(|error| missing(error, &name, get))?;
    if !status.success() {
        bail!("{name} has failed ({status}); what it says is above");
    }
    Ok(())
}

/// Runs it, and returns what it writes to stdout, whether it fails or not.
pub(super) fn output(command: &mut Command, get: &str) -> anyhow::Result<(Vec<u8>, bool)> {
    let name = name(command);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| missing(error, &name, get))?;
    Ok((output.stdout, output.status.success()))
}

fn missing(error: io::Error, name: &str, get: &str) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!("{name} is not there; {get}"),
        _ => anyhow::Error::new(error).context(format!("run {name}")),
    }
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(OsStr::new("the compiler"));
    name.to_string_lossy().into_owned()
}
