//! Collects the files that `lightmon plugin new` writes: the templates, the SDK of each language, and the contract. Writes only
//! to cargo's output folder.

use std::{
    env,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

/// The languages besides Rust, whose SDK is a crate.
const LANGUAGES: [&str; 4] = ["c", "go", "js", "python"];

/// Files and folders that a build in plugin-sdk leaves behind.
const NOT_SOURCES: [&str; 5] = [
    "build",
    "node_modules",
    "target",
    "__pycache__",
    "Cargo.lock",
];

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()?;
    let sdk = root.join("plugin-sdk");
    let mut table = String::from("&[\n");
    let mut add = |language: &str, from: PathBuf, to: &str, is_template: bool| -> io::Result<()> {
        println!("cargo::rerun-if-changed={}", from.display());
        let mut files = Vec::new();
        if from.exists() {
            collect(&from, to.to_owned(), &mut files)?;
        }
        files.sort();
        for (to, from) in files {
            let from = from.display().to_string();
            writeln!(
                table,
                "    File {{ language: {language:?}, path: {to:?}, bytes: include_bytes!({from:?}), is_template: {is_template} }},"
            )
            .expect("invariant: into memory");
        }
        Ok(())
    };
    add("rust", sdk.join("rust/template"), "", true)?;
    add(
        "rust",
        sdk.join("Cargo.toml"),
        "lightmon-plugin/Cargo.toml",
        false,
    )?;
    add("rust", sdk.join("src"), "lightmon-plugin/src", false)?;
    add("rust", root.join("wit/v0.1"), "wit/v0.1", false)?;
    for language in LANGUAGES {
        let folder = sdk.join(language);
        add(language, folder.join("template"), "", true)?;
        for helper in names(&folder)? {
            let from = folder.join(&helper);
            // The SDK for C is several files; the SDK for Go is a folder.
            let is_c = language == "c" && [".c", ".h"].iter().any(|end| helper.ends_with(end));
            if is_c {
                add(language, from, &format!("lightmon/{helper}"), false)?;
            } else if helper.starts_with("lightmon") {
                add(language, from, &helper, false)?;
            }
        }
        // Rerun if a file is added.
        println!("cargo::rerun-if-changed={}", folder.display());
        add(language, root.join("wit/v0.1"), "wit", false)?;
    }
    table.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("invariant: cargo sets it"));
    fs::write(out.join("templates.rs"), table)
}

/// Collects a file, or all files of a folder, with their paths in a project.
fn collect(from: &Path, to: String, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    if from.is_file() {
        files.push((to, from.to_owned()));
        return Ok(());
    }
    for name in names(from)? {
        if !NOT_SOURCES.contains(&&*name) {
            let to = match &*to {
                "" => name.clone(),
                to => format!("{to}/{name}"),
            };
            collect(&from.join(name), to, files)?;
        }
    }
    Ok(())
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder)?;
    entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}
