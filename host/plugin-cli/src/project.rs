//! Reads the folder of a plugin's project: its language, name and manifest. Does not build it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::{Usage, manifest};

use lightmon_event::escape::printable;

/// Languages of `lightmon plugin new`.
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
    /// The name on the command line.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Go => "go",
            Self::Js => "js",
            Self::Python => "python",
        }
    }

    /// Detects the language by the files of its tools.
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

/// The folder of a plugin's project.
#[derive(Debug)]
pub(super) struct Project {
    /// Absolute.
    pub(super) folder: PathBuf,
    pub(super) language: Language,
    /// The content of plugin.json. A plugin in Rust has its manifest in the code.
    pub(super) manifest: Option<Map<String, Value>>,
}

impl Project {
    /// Opens the project in a folder.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let shown = printable(&folder.to_string_lossy());
        let folder = folder
            .canonicalize()
            .with_context(|| format!("open the project {shown}"))?;
        let language = Language::of(&folder).with_context(|| format!("read the folder {shown}"))?;
        let language = language.ok_or_else(|| {
            Usage(format!(
                "{shown} is not a plugin project: no Cargo.toml, go.mod, package.json, plugin.py or C file; create a project with `lightmon plugin new NAME`"
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

    /// The name in plugin.json, or else of the folder.
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
    let invalid = |what: String| anyhow::anyhow!("plugin.json: {}", printable(&what));
    let manifest = manifest::parse(&json).map_err(invalid)?;
    let problems = manifest::problems(&manifest);
    if problems.is_empty() {
        Ok(Some(manifest))
    } else {
        Err(invalid(problems.join("; ")))
    }
}

/// Whether a name is valid for crates, modules and packages of all languages.
pub(super) fn is_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase();
    name.len() <= 64
        && name.starts_with(is_letter)
        && !name.ends_with('-')
        && name
            .chars()
            .all(|c| is_letter(c) || c.is_ascii_digit() || c == '-')
}

/// Returns the files with this extension in a folder, sorted.
pub(super) fn sources(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_for_all_package_managers() {
        for name in ["a", "no-dns", "x2"] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(65);
        for name in ["", "A", "2x", "-a", "a-", "a_b", "a/b", "..", "é", &long] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn languages_are_detected_by_their_files() {
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
    fn a_defect_of_plugin_json_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("plugin.c"), "").unwrap();
        fs::write(folder.path().join("plugin.json"), r#"{"role": "king"}"#).unwrap();
        let error = Project::open(folder.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "plugin.json: `role` must be filter, redactor or formatter"
        );
    }
}
