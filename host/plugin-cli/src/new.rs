//! `lightmon plugin new`: creates a self-contained project from the templates in the binary.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::ValueHint;

use super::{
    Done, Usage, print,
    project::{Language, is_name},
};
use lightmon_event::escape::printable;

/// Placeholder of the plugin's name in templates, in text and in file names.
const NAME: &str = "{{name}}";

/// Names that Cargo, Go or Python reserve, or that collide with files of a project.
const RESERVED: [&str; 10] = [
    "test",
    "core",
    "std",
    "alloc",
    "build",
    "deps",
    "main",
    "lightmon",
    "lightmon-plugin",
    "node-modules",
];

/// Create a plugin project that builds, with a test
///
/// The project's folder has everything that the build needs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name the plugin: lower-case letters, digits and hyphens
    name: String,

    /// Select the language
    #[arg(long, short, default_value = "rust")]
    lang: Language,

    /// Create the project in DIR
    ///
    /// Default: NAME in the working directory.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

/// A file of a new project.
struct File {
    language: &'static str,
    path: &'static str,
    bytes: &'static [u8],
    is_template: bool,
}

/// Files from `plugin-sdk/` and `wit/`, which build.rs collects.
static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/templates.rs"));

pub(super) fn run(Args { name, lang, dir }: Args) -> anyhow::Result<Done> {
    check(&name)?;
    let folder = dir.unwrap_or_else(|| name.clone().into());
    write(&name, lang, &folder)?;
    let shown = printable(&folder.to_string_lossy());
    print(&format!(
        "{shown}: created a plugin in {}. Next:\n\n    cd {shown}\n    lightmon plugin build\n    lightmon plugin test\n    sudo lightmon plugin run\n",
        lang.as_str()
    ))?;
    Ok(Done::Success)
}

fn check(name: &str) -> Result<(), Usage> {
    let shown = printable(name);
    if !is_name(name) {
        return Err(Usage(format!(
            "`{shown}` is not a valid plugin name; use lower-case letters, digits and hyphens, and start with a letter"
        )));
    }
    if RESERVED.contains(&name) {
        return Err(Usage(format!(
            "`{shown}` is not a valid plugin name: it is reserved; choose another"
        )));
    }
    Ok(())
}

fn write(name: &str, language: Language, folder: &Path) -> anyhow::Result<()> {
    let shown = printable(&folder.to_string_lossy());
    if folder.exists() && (!folder.is_dir() || fs::read_dir(folder)?.next().is_some()) {
        return Err(Usage(format!(
            "{shown} exists and is not empty; choose another folder"
        ))
        .into());
    }
    for file in FILES
        .iter()
        .filter(|file| file.language == language.as_str())
    {
        let path = match file.is_template {
            true => file.path.replace(NAME, name),
            false => file.path.to_owned(),
        };
        let path = folder.join(path);
        let text = str::from_utf8(file.bytes).ok().filter(|_| file.is_template);
        let bytes = text.map_or(file.bytes.to_owned(), |text| {
            text.replace(NAME, name).into()
        });
        let make = || {
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
            fs::write(&path, bytes)
        };
        make().with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_its_files() {
        for language in [Language::Rust] {
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path().join("x");
            write("no-dns", language, &folder).unwrap();
            for file in [
                "README.md",
                ".gitignore",
                "tests/no-dns.jsonl",
                "tests/no-dns.expected.jsonl",
            ] {
                assert!(folder.join(file).is_file(), "{language:?}: {file}");
            }
            let again = write("no-dns", language, &folder).unwrap_err();
            assert!(
                again
                    .to_string()
                    .ends_with("exists and is not empty; choose another folder"),
                "{again}"
            );
        }
    }

    #[test]
    fn no_placeholder_is_left() {
        for file in FILES.iter().filter(|file| file.is_template) {
            let text = String::from_utf8(file.bytes.to_owned()).unwrap();
            assert!(
                !text.replace(NAME, "x").contains("{{n"),
                "{} {}",
                file.language,
                file.path
            );
        }
    }

    #[test]
    fn reserved_and_invalid_names_are_rejected() {
        assert!(check("no-dns").is_ok());
        for name in ["std", "No", "a/b", ""] {
            assert!(check(name).is_err(), "{name}");
        }
    }
}
