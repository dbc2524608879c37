//! `lightmon plugin run`: lightmon as ever, with the plugin that is being written.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::Context as _;

use super::{Done, project::Plugin};

/// Build a plugin, and run lightmon with it, as a table
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
    let plugin = Plugin::open(&args.plugin)?;
    // As it was given, with the file in the folder's place.
    let mut spec = plugin.spec.path.into_os_string();
    if let Some(settings) = settings(&args.plugin) {
        spec.push(":");
        spec.push(settings);
    }
    let mut command = Command::new(std::env::current_exe().context("find lightmon itself")?);
    command.arg("--plugin").arg(spec);
    if !has_format(&args.options) {
        command.args(["--format", "table"]);
    }
    // Signals and the exit code are lightmon's own then.
    Err(command.args(args.options).exec()).context("run lightmon")
}

/// What stands behind the file or folder.
fn settings(plugin: &str) -> Option<&str> {
    let path = plugin.parse::<crate::plugin::Spec>().ok()?.path;
    plugin.strip_prefix(path.to_str()?)?.strip_prefix(':')
}

fn has_format(options: &[OsString]) -> bool {
    options.iter().any(|option| {
        let option = option.to_string_lossy();
        ["-f", "--format", "--output", "-format", "-output"]
            .iter()
            .any(|name| {
                option
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('=') || *name == "-f")
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
}
