//! `lightmon plugin new`: a project that has all it needs in its own folder, from the templates in the binary.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::ValueHint;

use super::{
    Done, Usage,
    project::{Language, is_name},
    say,
};
use lightmon_event::escape::printable;

/// Stands for the plugin's name in templates: in text, and in names of files.
const NAME: &str = "{{name}}";

/// Names that Cargo, Go or Python keep for themselves, or that are in the way of one's own files.
const TAKEN: [&str; 10] = [
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

/// Begin a plugin: a project that builds, with a test, and with all that it needs in its own folder
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plugin's name: small letters, digits and hyphens
    name: String,

    /// The language it is written in
    #[arg(long, short, default_value = "rust")]
    lang: Language,

    /// Write it to DIR, which is made [default: a folder NAME in this one]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

/// A file of a project.
struct File {
    language: &'static str,
    path: &'static str,
    bytes: &'static [u8],
    is_template: bool,
}

/// From `plugin-sdk/` and `wit/`.
static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/templates.rs"));

pub(super) fn run(Args { name, lang, dir }: Args) -> anyhow::Result<Done> {
    check(&name)?;
    let folder = dir.unwrap_or_else(|| name.clone().into());
    write(&name, lang, &folder)?;
    let shown = printable(&folder.to_string_lossy());
    say(&format!(
        "{shown} is a plugin in {}. Next:\n\n    cd {shown}\n    lightmon plugin build\n    lightmon plugin test\n    sudo lightmon plugin run\n",
        lang.as_str()
    ))?;
    Ok(Done::Fine)
}

fn check(name: &str) -> Result<(), Usage> {
    let shown = printable(name);
    if !is_name(name) {
        return Err(Usage(format!(
            "`{shown}` can't be a plugin's name: use small letters, digits and hyphens, a letter first"
        )));
    }
    if TAKEN.contains(&name) {
        return Err(Usage(format!(
            "`{shown}` can't be a plugin's name: it has a meaning already"
        )));
    }
    Ok(())
}

fn write(name: &str, language: Language, folder: &Path) -> anyhow::Result<()> {
    let shown = printable(&folder.to_string_lossy());
    if folder.exists() && (!folder.is_dir() || fs::read_dir(folder)?.next().is_some()) {
        return Err(Usage(format!(
            "{shown} is there already, and not empty: choose another folder"
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
    fn a_project_has_all_it_needs() {
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
                    .ends_with("is there already, and not empty: choose another folder"),
                "{again}"
            );
        }
    }

    #[test]
    fn nothing_is_left_of_the_template() {
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
    fn names_that_have_a_meaning_are_refused() {
        assert!(check("no-dns").is_ok());
        for name in ["std", "No", "a/b", ""] {
            assert!(check(name).is_err(), "{name}");
        }
    }
}
