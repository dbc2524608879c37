//! `lightmon plugin run`: lightmon as ever, with the plugin that is being written: when a source changes, the plugin is built
//! again, and lightmon puts the new one in the old one's place.

use std::{
    ffi::OsString,
    fs, io,
    path::Path,
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};

use super::{
    Done, build,
    project::{Plugin, Project},
};
use lightmon_plugin_host::Spec;
use lightmon_thread::stderr;

/// How often sources are looked at.
const TURN: Duration = Duration::from_millis(300);

/// What building makes, and what is large and seldom one's own.
const NOT_SOURCES: [&str; 4] = ["build", "target", "node_modules", "__pycache__"];

/// Build a plugin, and run lightmon with it, as a table
///
/// A project is built again when one of its files changes, and the running plugin replaced; one that doesn't build or start
/// leaves the old one in its place.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plugin: a .wasm file or a project's folder, which is built; with settings if it needs some
    #[arg(value_name = "PLUGIN[:KEY=VALUE,…]", default_value = ".")]
    plugin: String,

    /// More options of lightmon's, behind `--`
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<OsString>,
}

pub(super) fn run(args: Args) -> anyhow::Result<Done> {
    let Plugin { spec, project } = Plugin::open(&args.plugin)?;
    // As it was given, with the file in the folder's place.
    let mut text = spec.path.into_os_string();
    if let Some(settings) = settings(&args.plugin) {
        text.push(":");
        text.push(settings);
    }
    let mut command = Command::new(std::env::current_exe().context("find lightmon itself")?);
    command.arg("--watch").arg("--plugin").arg(text);
    if !has_format(&args.options) {
        command.args(["--format", "table"]);
    }
    command.args(args.options);
    let status = attend(&mut command, project.as_ref())?;
    // What was wrong was said already.
    Ok(if status.success() {
        Done::Fine
    } else {
        Done::Wrong
    })
}

/// Until it ends; signals are for it.
fn attend(command: &mut Command, project: Option<&Project>) -> anyhow::Result<ExitStatus> {
    let runtime = Runtime::new().context("start the runtime")?;
    let (mut interrupt, mut terminate) = {
        let _in_runtime = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    let mut child = command.spawn().context("run lightmon")?;
    let pid = Pid::from_raw(child.id().cast_signed());
    runtime.spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // It may have ended by itself.
            let _ = kill(pid, Signal::SIGTERM);
        }
    });
    let status = match project {
        Some(project) => build_again(&mut child, project),
        None => child.wait(),
    };
    runtime.shutdown_background();
    status.context("wait for lightmon")
}

fn build_again(child: &mut Child, project: &Project) -> io::Result<ExitStatus> {
    let mut built = newest(&project.folder);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(TURN);
        let now = newest(&project.folder);
        // Still changing: the next time.
        if now == built || now != newest(&project.folder) {
            continue;
        }
        built = now;
        let again = Project::open(&project.folder).and_then(|project| build::build(&project, None));
        match again {
            Ok(_) => stderr::log("lightmon: the plugin was built again"),
            Err(error) => stderr::log(format_args!("lightmon: the old plugin stays: {error:#}")),
        }
    }
}

/// When the latest of the sources was changed.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).ok()?;
    entries
        .map_while(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let kind = entry.file_type().ok()?;
            if name.starts_with('.') || name == "Cargo.lock" || NOT_SOURCES.contains(&&*name) {
                None
            } else if kind.is_dir() {
                newest(&entry.path())
            } else {
                entry.metadata().ok()?.modified().ok()
            }
        })
        .max()
}

/// What stands behind the file or folder.
fn settings(plugin: &str) -> Option<&str> {
    let path = plugin.parse::<Spec>().ok()?.path;
    plugin.strip_prefix(path.to_str()?)?.strip_prefix(':')
}

fn has_format(options: &[OsString]) -> bool {
    options.iter().any(|option| {
        let option = option.to_string_lossy();
        ["-f", "--format", "--output", "-format", "-output"]
            .iter()
            .any(|name| {
                let rest = option.strip_prefix(name);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('=') || *name == "-f")
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_of_the_users_is_kept() {
        for (option, has) in [
            ("-f", true),
            ("-fjson", true),
            ("--format=json", true),
            ("-output", true),
            ("--count", false),
            ("-x", false),
        ] {
            assert_eq!(has_format(&[option.into()]), has, "{option}");
        }
    }

    #[test]
    fn settings_follow_the_file() {
        assert_eq!(settings("./x.wasm:a=b:c"), Some("a=b:c"));
        assert_eq!(settings("./x.wasm"), None);
    }

    #[test]
    fn what_building_makes_is_no_source() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        write("build/x.wasm");
        write(".git/x");
        assert_eq!(newest(folder.path()), None);
        write("src/lib.rs");
        assert!(newest(folder.path()).is_some());
    }
}
