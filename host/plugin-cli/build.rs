//! Gathers what `lightmon plugin new` writes: the templates, the helpers of each language and the contract, as they are in
//! this tree. Changes nothing outside Cargo's own folder.

use std::{
    env,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

/// Besides Rust, whose helper is a crate.
const LANGUAGES: [&str; 4] = ["c", "go", "js", "python"];

/// What building in place leaves behind.
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
            gather(&from, to.to_owned(), &mut files)?;
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
            // C's are many files, Go's are a folder already.
            let is_c = language == "c" && [".c", ".h"].iter().any(|end| helper.ends_with(end));
            if is_c {
                add(language, from, &format!("lightmon/{helper}"), false)?;
            } else if helper.starts_with("lightmon") {
                add(language, from, &helper, false)?;
            }
        }
        // A helper that is new here.
        println!("cargo::rerun-if-changed={}", folder.display());
        add(language, root.join("wit/v0.1"), "wit", false)?;
    }
    table.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("invariant: cargo sets it"));
    fs::write(out.join("templates.rs"), table)
}

/// All files in it, or itself, with the path that they get in a project.
fn gather(from: &Path, to: String, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
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
            gather(&from.join(name), to, files)?;
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
