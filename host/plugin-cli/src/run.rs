//! `lightmon plugin run`: runs lightmon with the plugin of a project. When a source file changes, it builds the plugin again,
//! and lightmon reloads it.

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

use super::{Done, build, plugin::Plugin, project::Project};
use lightmon_plugin_host::Spec;
use lightmon_thread::stderr;

/// How often the source files are checked for changes.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// Folders that are not checked: what a build creates, and large folders of dependencies.
const NOT_SOURCES: [&str; 4] = ["build", "target", "node_modules", "__pycache__"];

/// Run lightmon with a plugin, and reload it on changes
///
/// The format is `table` unless an option says otherwise. When a file of the project changes, lightmon builds the plugin again
/// and reloads it. If the new plugin does not build or start, the old one keeps running.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Use this plugin: a .wasm file, or a project to build
    #[arg(value_name = "PLUGIN[:KEY=VALUE,…]", default_value = ".")]
    plugin: String,

    /// Pass these options to lightmon
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<OsString>,
}

pub(super) fn run(args: Args) -> anyhow::Result<Done> {
    let Plugin { spec, project } = Plugin::open(&args.plugin)?;
    // As the user gave it, with the file in place of the folder.
    let mut text = spec.path.into_os_string();
    if let Some(settings) = settings(&args.plugin) {
        text.push(":");
        text.push(settings);
    }
    let mut command =
        Command::new(std::env::current_exe().context("find the lightmon executable")?);
    command.arg("--watch").arg("--plugin").arg(text);
    if !has_format(&args.options) {
        command.args(["--format", "table"]);
    }
    command.args(args.options);
    let status = supervise(&mut command, project.as_ref())?;
    // lightmon has reported the error.
    Ok(if status.success() {
        Done::Success
    } else {
        Done::Defects
    })
}

/// Runs lightmon until it ends, and passes signals on to it.
fn supervise(command: &mut Command, project: Option<&Project>) -> anyhow::Result<ExitStatus> {
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
            // lightmon may have ended already.
            let _ = kill(pid, Signal::SIGTERM);
        }
    });
    let status = match project {
        Some(project) => rebuild_on_change(&mut child, project),
        None => child.wait(),
    };
    runtime.shutdown_background();
    status.context("wait for lightmon")
}

fn rebuild_on_change(child: &mut Child, project: &Project) -> io::Result<ExitStatus> {
    let mut built = newest(&project.folder);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(POLL_INTERVAL);
        let now = newest(&project.folder);
        // Wait while files are still changing.
        if now == built || now != newest(&project.folder) {
            continue;
        }
        built = now;
        let again = Project::open(&project.folder).and_then(|project| build::build(&project, None));
        match again {
            Ok(_) => stderr::log("lightmon: plugin rebuilt"),
            Err(error) => stderr::log(format_args!(
                "lightmon: plugin not rebuilt, the old one keeps running: {error:#}"
            )),
        }
    }
}

/// Returns the time of the latest change of a source file.
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

/// Returns the settings behind the file or folder.
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
    fn a_format_option_is_recognised() {
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
    fn build_output_is_not_a_source() {
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
