//! The rules of the manual's page `architecture`: which crate may depend on which, and no import cycles between files.
//! Runs cargo without the network.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Module path of a file below the crate's root, such as `["json", "value"]`; the root itself is empty.
type Module = Vec<String>;

const PAGE: &str = "host/docs/architecture.md";
/// The SDK: its `host` calls the stand-in for the host in `test` when a plugin is tested natively.
const EXCEPTIONS: &[&str] = &["lightmon-plugin"];

const GRAPH_BEGIN: &str = "<!-- crates:begin -->\n";
const GRAPH_END: &str = "<!-- crates:end -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn metadata() -> Value {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Each crate of the workspace with the crates of the workspace that it is built from. Dependencies of tests do not count.
fn dependencies(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let members: BTreeSet<_> = packages.iter().map(name).collect();
    let dependencies = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap();
        let built_from = all.iter().filter(|dependency| dependency["kind"] != "dev");
        let names = built_from.map(name);
        names.filter(|name| members.contains(name)).collect()
    };
    packages
        .iter()
        .map(|package| (name(package), dependencies(package)))
        .collect()
}

/// The page's table of crates: `| folder | package | may depend on | … |`.
fn allowed(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut lines = page.lines();
    lines
        .find(|line| line.starts_with("| folder | package | may depend on |"))
        .expect("the page has a table that begins with: folder, package, may depend on");
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    let mut allowed = BTreeMap::new();
    for row in rows {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let crates = cells[3].split(',').map(str::trim);
        let crates = crates.filter(|name| !matches!(*name, "" | "–"));
        allowed.insert(cells[2].to_owned(), crates.map(str::to_owned).collect());
    }
    allowed
}

#[test]
fn crates_depend_only_on_what_the_manual_allows() {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let allowed = allowed(&page);
    let dependencies = dependencies(&metadata());
    let mut wrong = Vec::new();
    for (package, dependencies) in &dependencies {
        let forbidden: Vec<_> = match allowed.get(package) {
            Some(allowed) => dependencies.difference(allowed).collect(),
            // Plugins and the plugins of tests and benchmarks, which have no line in the table.
            None => dependencies
                .iter()
                .filter(|name| *name != "lightmon-plugin")
                .collect(),
        };
        wrong.extend(forbidden.iter().map(|name| format!("{package} → {name}")));
    }
    assert!(wrong.is_empty(), "{PAGE} does not allow {wrong:?}");
    let unknown: Vec<_> = allowed
        .iter()
        .flat_map(|(package, allowed)| allowed.iter().chain([package]))
        .filter(|name| !dependencies.contains_key(*name))
        .collect();
    assert!(
        unknown.is_empty(),
        "{PAGE} names crates that do not exist: {unknown:?}"
    );
}

/// `UPDATE_CRATES=1 cargo test -p lightmon --test architecture` writes the graph into the page.
#[test]
fn the_manual_shows_the_graph_of_crates() {
    let path = root().join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let allowed = allowed(&page);
    let mut graph = "```mermaid\ngraph TD\n".to_owned();
    for (package, dependencies) in dependencies(&metadata()) {
        if allowed.contains_key(&package) {
            if dependencies.is_empty() {
                writeln!(graph, "    {package}").unwrap();
            }
            for dependency in dependencies {
                writeln!(graph, "    {package} --> {dependency}").unwrap();
            }
        }
    }
    graph.push_str("```\n");
    let (before, rest) = page.split_once(GRAPH_BEGIN).expect(GRAPH_BEGIN);
    let (shown, after) = rest.split_once(GRAPH_END).expect(GRAPH_END);
    let is_update = env::var_os("UPDATE_CRATES").is_some();
    if is_update {
        let page = [before, GRAPH_BEGIN, &graph, GRAPH_END, after].concat();
        fs::write(&path, page).unwrap();
    } else {
        assert_eq!(shown, graph, "update it with UPDATE_CRATES=1");
    }
}

/// For each folder of modules, imports between the modules in it must have no cycle. A module counts with everything below it:
/// `a/x.rs` that imports `b`, and `b` that imports `a`, is a cycle of `a` and `b`. A file and the files below it may import
/// each other.
///
/// What this reads: `use`, and paths that begin with `crate`, `super` or `self`, in files that `mod NAME;` leads to. A name
/// that a file imports or exports again leads to where it comes from. It does not see: what macros produce, methods of types
/// that were not named, glob imports of more than a module, `#[path]`, inline modules other than tests. Tests are left out.
#[test]
fn files_do_not_import_each_other_in_cycles() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        for target in package["targets"].as_array().unwrap() {
            let source = Path::new(target["src_path"].as_str().unwrap());
            let files = files(source);
            for cycle in cycles(&imports(&files)) {
                let name = package["name"].as_str().unwrap();
                if !EXCEPTIONS.contains(&name) {
                    wrong.push(format!("{name} ({}): {cycle}", source.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "import cycles:\n{}", wrong.join("\n"));
}

/// Names that a file declares or imports.
#[derive(Default)]
struct File {
    children: Vec<String>,
    /// Paths as they are written, with the name under which the file knows the last part.
    uses: Vec<(Vec<String>, String)>,
}

/// The files of a target, found by `mod NAME;`.
fn files(root: &Path) -> BTreeMap<Module, File> {
    let mut files = BTreeMap::new();
    let mut todo = vec![(Module::new(), root.to_owned())];
    while let Some((module, path)) = todo.pop() {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let file = File::parse(&text);
        let folder = match module.is_empty() {
            true => path.parent().unwrap().to_owned(),
            false => path.with_extension(""),
        };
        for child in &file.children {
            let module = [&module[..], std::slice::from_ref(child)].concat();
            todo.push((module, folder.join(format!("{child}.rs"))));
        }
        files.insert(module, file);
    }
    files
}

impl File {
    fn parse(text: &str) -> Self {
        let words = words(&without_tests(text));
        let mut file = Self::default();
        let mut i = 0;
        while let Some(word) = words.get(i) {
            let next = words.get(i + 1).map(String::as_str);
            match (&**word, next) {
                ("mod", Some(name)) if words.get(i + 2).is_some_and(|word| word == ";") => {
                    file.children.push(name.to_owned());
                }
                ("use", Some(_)) => {
                    i += 1;
                    while words.get(i).is_some_and(|word| word == "::") {
                        i += 1;
                    }
                    i = tree(&words, i, &[], &mut file.uses);
                    continue;
                }
                ("crate" | "super" | "self", Some("::")) => {
                    i = tree(&words, i, &[], &mut file.uses);
                    // Only `use` gives a name to it.
                    if let Some((_, name)) = file.uses.last_mut() {
                        name.clear();
                    }
                    continue;
                }
                _ => {}
            }
            i += 1;
        }
        file
    }
}

/// Reads `a::b`, `a as b`, `a::{b, c::d}` or `a::*` from the i-th word on; returns where it ends.
fn tree(
    words: &[String],
    mut i: usize,
    prefix: &[String],
    uses: &mut Vec<(Vec<String>, String)>,
) -> usize {
    let mut path = prefix.to_vec();
    while let Some(word) = words.get(i) {
        match &**word {
            "{" if i > 0 && words[i - 1] == "::" => {
                i += 1;
                while words.get(i).is_some_and(|word| word != "}") {
                    let before = i;
                    i = tree(words, i, &path, uses);
                    i += usize::from(words.get(i).is_some_and(|word| word == "," || i == before));
                }
                return i + 1;
            }
            // `a::{self}` is `a`.
            "self" if !path.is_empty() => i += 1,
            "*" => {
                i += 1;
                uses.push((path, String::new()));
                return i;
            }
            word if is_name(word) => {
                path.push(word.to_owned());
                i += 1;
            }
            _ => break,
        }
        if words.get(i).is_some_and(|word| word == "::") {
            i += 1;
        } else {
            break;
        }
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if words.get(i).is_some_and(|word| word == "as") {
        name = words.get(i + 1).cloned().unwrap_or_default();
        i += 2;
    }
    if !path.is_empty() {
        uses.push((path, name));
    }
    i
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_') && word != "as"
}

/// Without `#[cfg(test)] mod … { … }`, which ends the file wherever there is one.
fn without_tests(text: &str) -> String {
    let inline = text.find("#[cfg(test)]\nmod tests {");
    let text = &text[..inline.unwrap_or(text.len())];
    text.replace("#[cfg(test)]\nmod tests;", "")
}

/// Names, `::` and single characters, without comments and literals.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if let Some(length) = literal(rest) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let end = end.unwrap_or(rest.len());
            words.push(rest[..end].to_owned());
            end
        } else if rest.starts_with("::") {
            words.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                words.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    words
}

/// The length of the string or character that the text begins with.
fn literal(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let raw = text.strip_prefix('b').unwrap_or(text);
    if let Some(raw) = raw.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = text.len() - raw.len() + hashes + 1;
            return text[begin..].find(&end).map(|at| begin + at + end.len());
        }
    }
    match bytes[0] {
        b'"' => {
            let mut i = 1;
            while i < bytes.len() && bytes[i] != b'"' {
                i += 1 + usize::from(bytes[i] == b'\\');
            }
            Some(i + 1)
        }
        // A character, and no lifetime.
        b'\'' if bytes.get(1) == Some(&b'\\') => text[3..].find('\'').map(|at| at + 4),
        b'\'' => {
            let length = text[1..].chars().next()?.len_utf8();
            text[1 + length..].starts_with('\'').then_some(length + 2)
        }
        _ => None,
    }
}

/// Which file imports which.
fn imports(files: &BTreeMap<Module, File>) -> BTreeSet<(Module, Module)> {
    let mut edges = BTreeSet::new();
    for (module, file) in files {
        for (path, _) in &file.uses {
            if let Some(target) = resolve(files, module, path, 8)
                && target != *module
            {
                edges.insert((module.clone(), target));
            }
        }
    }
    edges
}

/// The file that has the thing at this path, as it is named in a module; none if it is of another crate.
fn resolve(
    files: &BTreeMap<Module, File>,
    from: &Module,
    path: &[String],
    depth: usize,
) -> Option<Module> {
    let mut module = from.clone();
    let mut rest = path;
    let mut is_first = true;
    while let Some((word, after)) = rest.split_first() {
        let file = files.get(&module)?;
        match &**word {
            "crate" => module.clear(),
            "self" => {}
            "super" => {
                module.pop();
            }
            name if file.children.iter().any(|child| child == name) => {
                module.push(name.to_owned());
            }
            name => {
                let import = file.uses.iter().find(|(path, known)| {
                    known == name && (path != rest || module != *from) && path[..] != [name]
                });
                return match import {
                    Some((path, _)) if depth > 0 => {
                        let path = [path, after].concat();
                        let target = resolve(files, &module, &path, depth - 1);
                        target.or_else(|| (!is_first).then_some(module))
                    }
                    _ => (!is_first).then_some(module),
                };
            }
        }
        is_first = false;
        rest = after;
    }
    Some(module)
}

/// The imports that are part of a cycle among the modules of a folder.
fn cycles(edges: &BTreeSet<(Module, Module)>) -> Vec<String> {
    // By folder: an import, and the two modules of the folder that it connects.
    let mut folders: BTreeMap<&[String], Vec<(&str, &str, String)>> = BTreeMap::new();
    for (from, to) in edges {
        let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        // None if one is the other's ancestor.
        if let (Some(a), Some(b)) = (from.get(shared), to.get(shared)) {
            let import = format!("{} → {}", from.join("::"), to.join("::"));
            folders
                .entry(&from[..shared])
                .or_default()
                .push((a, b, import));
        }
    }
    let mut found = Vec::new();
    for mut imports in folders.into_values() {
        // What nobody imports, and what imports nothing, is in no cycle.
        loop {
            let before = imports.len();
            let from: BTreeSet<_> = imports.iter().map(|(from, ..)| *from).collect();
            imports.retain(|(_, to, _)| from.contains(to));
            let to: BTreeSet<_> = imports.iter().map(|(_, to, _)| *to).collect();
            imports.retain(|(from, ..)| to.contains(from));
            if imports.len() == before {
                break;
            }
        }
        if !imports.is_empty() {
            let imports: Vec<_> = imports.into_iter().map(|(.., import)| import).collect();
            found.push(imports.join(", "));
        }
    }
    found
}

#[test]
fn cycles_are_found_through_folders_and_names_that_are_exported_again() {
    let check = |files: &[(&str, &str)]| {
        let parse = |(path, text): &(&str, &str)| {
            let parts = path.split("::").filter(|part| !part.is_empty());
            let module: Module = parts.map(str::to_owned).collect();
            (module, File::parse(text))
        };
        cycles(&imports(&files.iter().map(parse).collect()))
    };
    let root = (
        "",
        "mod a;\npub mod b;\nuse self::a::x::Ex;\npub use b::Be as Other;",
    );
    let a = (
        "a",
        "pub mod x; mod y; use x::Ex; fn f() -> std::fmt::Result {}",
    );
    let x = ("a::x", "// use crate::b::Be;\nuse super::A; pub struct Ex;");
    let b = (
        "b",
        "use std::io; const S: &str = \"crate::a::A\"; pub struct Be;",
    );
    let b_imports_a = ("b", "use crate::{a::{self as c, x::Ex}, Other};");
    let none: [&str; 0] = [];
    // Parents, children, comments and texts are none.
    assert_eq!(check(&[root, a, x, b]), none);
    assert_eq!(check(&[root, a, x, b_imports_a]), none);
    for y in [
        "use crate::Other;",
        "fn f() { super::super::b::f() }",
        "#[cfg(test)]\nmod tests;\nuse crate::b::*;",
    ] {
        let cycle = check(&[root, a, x, b_imports_a, ("a::y", y)]);
        assert_eq!(cycle, ["a::y → b, b → a, b → a::x"], "{y}");
    }
    let tests = "#[cfg(test)]\nmod tests { use crate::b::Be; }";
    assert_eq!(check(&[root, a, x, b_imports_a, ("a::y", tests)]), none);
}
