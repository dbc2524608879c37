//! What Cargo.toml can't inherit, since the crate is copied out of the workspace, is the same as the workspace's.

use std::collections::BTreeMap;

/// The keys of a section, with their values as they are written.
fn section<'a>(toml: &'a str, name: &str) -> BTreeMap<&'a str, &'a str> {
    let lines = toml
        .lines()
        .skip_while(|line| *line != format!("[{name}]"))
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split_once(" = ")).collect()
}

/// The version in `"1"` or `{ version = "1", … }`.
fn version(dependency: &str) -> Option<&str> {
    let text = dependency
        .split_once("version = ")
        .map_or(dependency, |(_, rest)| rest);
    text.split('"').nth(1)
}

#[test]
fn versions_are_the_workspaces() {
    let workspace = include_str!("../../Cargo.toml");
    let own = include_str!("../Cargo.toml");
    let (package, shared) = (
        section(own, "package"),
        section(workspace, "workspace.package"),
    );
    for key in [
        "edition",
        "rust-version",
        "license",
        "repository",
        "publish",
    ] {
        assert!(shared.contains_key(key), "{key}");
        assert_eq!(package.get(key), shared.get(key), "{key}");
    }
    let shared = section(workspace, "workspace.dependencies");
    for name in ["dependencies", "dev-dependencies"] {
        let dependencies = section(own, name);
        assert!(!dependencies.is_empty(), "{name}");
        for (key, value) in dependencies {
            assert_eq!(
                version(value),
                shared.get(key).and_then(|it| version(it)),
                "{key}"
            );
        }
    }
}

/// The crate's minor version is the contract's.
#[test]
fn the_version_is_the_contracts() {
    let contract = include_str!("../../wit/v0.1/plugin.wit");
    let (_, rest) = contract.split_once("package lightmon:plugin@").unwrap();
    let contract: Vec<_> = rest.split(';').next().unwrap().split('.').collect();
    let own: Vec<_> = env!("CARGO_PKG_VERSION").split('.').collect();
    assert_eq!(own[..2], contract[..2]);
}
