//! Runs compilers. Their messages go to stderr. If a compiler is missing, the error says how to get it.

use std::{
    env,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::bail;

/// Returns the first of these programs that is in PATH.
pub(super) fn first<'a>(names: &[&'a str]) -> Option<&'a str> {
    let path = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let is_there = |name: &&str| folders.iter().any(|folder| folder.join(name).is_file());
    names.iter().copied().find(is_there)
}

/// Runs the command. Its stdout goes to stderr, since stdout is for lightmon's own result. `get` says how to get the program.
pub(super) fn run(command: &mut Command, get: &str) -> anyhow::Result<()> {
    let name = name(command);
    let status = command
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .map_err(|error| missing(error, &name, get))?;
    if !status.success() {
        bail!("{name} failed ({status}); see its messages above");
    }
    Ok(())
}

/// Runs the command. Returns its stdout and whether it succeeded.
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
        io::ErrorKind::NotFound => anyhow::anyhow!("{name} is not installed; {get}"),
        _ => anyhow::Error::new(error).context(format!("run {name}")),
    }
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(OsStr::new("the compiler"));
    name.to_string_lossy().into_owned()
}
