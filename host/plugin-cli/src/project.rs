//! A plugin's folder: in which language it is, and what it is called. Builds nothing, reads no more than it must.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::{Usage, build, manifest};

use lightmon_event::escape::printable;

/// What a plugin can be written in with `lightmon plugin new`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Language {
    /// Cargo, for wasm32-unknown-unknown
    Rust,
    /// clang, without a C library
    C,
    /// Go 1.24 or later
    Go,
    /// JavaScript: node and componentize-js
    Js,
    /// componentize-py
    Python,
}

impl Language {
    /// The word for it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Go => "go",
            Self::Js => "js",
            Self::Python => "python",
        }
    }

    /// By the file that each language's tools look for.
    fn of(folder: &Path) -> io::Result<Option<Self>> {
        for (file, language) in [
            ("Cargo.toml", Self::Rust),
            ("go.mod", Self::Go),
            ("package.json", Self::Js),
            ("plugin.py", Self::Python),
        ] {
            if folder.join(file).is_file() {
                return Ok(Some(language));
            }
        }
        let has_c = !sources(folder, "c")?.is_empty();
        Ok(has_c.then_some(Self::C))
    }
}

/// A plugin's folder.
#[derive(Debug)]
pub(super) struct Project {
    /// Absolute.
    pub(super) folder: PathBuf,
    pub(super) language: Language,
    /// What plugin.json says; Rust says it in the code.
    pub(super) manifest: Option<Map<String, Value>>,
}

impl Project {
    /// Finds out what is in the folder.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let shown = printable(&folder.to_string_lossy());
        let folder = folder
            .canonicalize()
            .with_context(|| format!("open the project {shown}"))?;
        let language = Language::of(&folder).with_context(|| format!("read the folder {shown}"))?;
        let language = language.ok_or_else(|| {
            Usage(format!(
                "{shown} is no plugin's project: it has no Cargo.toml, go.mod, package.json, plugin.py or C file; begin one with `lightmon plugin new NAME`"
            ))
        })?;
        let manifest = match language {
            Language::Rust => None,
            _ => read_manifest(&folder.join("plugin.json"))?,
        };
        Ok(Self {
            folder,
            language,
            manifest,
        })
    }

    /// By plugin.json, or else by the folder.
    pub(super) fn name(&self) -> String {
        let said = self
            .manifest
            .as_ref()
            .and_then(|manifest| manifest.get("name"));
        let name = said.and_then(Value::as_str).map(str::to_owned);
        name.filter(|name| is_name(name)).unwrap_or_else(|| {
            let folder = self.folder.file_name().unwrap_or_default();
            folder.to_string_lossy().into_owned()
        })
    }
}

fn read_manifest(path: &Path) -> anyhow::Result<Option<Map<String, Value>>> {
    let json = match fs::read(path) {
        Ok(json) => json,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let wrong = |what: String| anyhow::anyhow!("plugin.json: {}", printable(&what));
    let manifest = manifest::parse(&json).map_err(wrong)?;
    let problems = manifest::problems(&manifest);
    if problems.is_empty() {
        Ok(Some(manifest))
    } else {
        Err(wrong(problems.join("; ")))
    }
}

/// Whether crates, modules and packages may be called so.
pub(super) fn is_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase();
    name.len() <= 64
        && name.starts_with(is_letter)
        && !name.ends_with('-')
        && name
            .chars()
            .all(|c| is_letter(c) || c.is_ascii_digit() || c == '-')
}

/// The files with this ending in a folder, sorted.
pub(super) fn sources(folder: &Path, ending: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|have| have == ending) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A plugin that a command is given: a .wasm file, or a project, which is built.
pub(super) struct Plugin {
    pub(super) spec: lightmon_plugin_host::Spec,
    pub(super) project: Option<Project>,
}

impl Plugin {
    /// `FILE[:KEY=VALUE,…]` or `FOLDER[:KEY=VALUE,…]`.
    pub(super) fn open(text: &str) -> anyhow::Result<Self> {
        let mut spec: lightmon_plugin_host::Spec = text
            .parse()
            .map_err(|error: lightmon_plugin_host::BadSpec| Usage(error.to_string()))?;
        if !spec.path.is_dir() {
            return Ok(Self {
                spec,
                project: None,
            });
        }
        let project = Project::open(&spec.path)?;
        spec.path = build::build(&project, None)?;
        Ok(Self {
            spec,
            project: Some(project),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_all_package_managers_take() {
        for name in ["a", "no-dns", "x2"] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(65);
        for name in ["", "A", "2x", "-a", "a-", "a_b", "a/b", "..", "é", &long] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn languages_are_known_by_their_files() {
        for (file, language) in [
            ("Cargo.toml", Some(Language::Rust)),
            ("plugin.c", Some(Language::C)),
            ("go.mod", Some(Language::Go)),
            ("package.json", Some(Language::Js)),
            ("plugin.py", Some(Language::Python)),
            ("README.md", None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(file), "").unwrap();
            assert_eq!(Language::of(folder.path()).unwrap(), language, "{file}");
        }
    }

    #[test]
    fn a_wrong_plugin_json_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("plugin.c"), "").unwrap();
        fs::write(folder.path().join("plugin.json"), r#"{"role": "king"}"#).unwrap();
        let error = Project::open(folder.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "plugin.json: `role` should be filter, redactor or formatter"
        );
    }
}
