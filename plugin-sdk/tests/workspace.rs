//! Checks that the values in the SDK's Cargo.toml equal those of the workspace. The crate cannot inherit them, because
//! `lightmon plugin new` copies it out of the workspace.

use std::collections::BTreeMap;

/// The keys of a TOML section with their unparsed values.
fn section<'a>(toml: &'a str, name: &str) -> BTreeMap<&'a str, &'a str> {
    let lines = toml
        .lines()
        .skip_while(|line| *line != format!("[{name}]"))
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split_once(" = ")).collect()
}

/// Extracts the version from `"1"` or `{ version = "1", … }`.
fn version(dependency: &str) -> Option<&str> {
    let text = dependency
        .split_once("version = ")
        .map_or(dependency, |(_, rest)| rest);
    text.split('"').nth(1)
}

#[test]
fn package_keys_and_versions_equal_the_workspace() {
    let workspace = include_str!("../../Cargo.toml");
    let sdk = include_str!("../Cargo.toml");
    let (package, shared) = (
        section(sdk, "package"),
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
        let dependencies = section(sdk, name);
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

#[test]
fn the_minor_version_equals_that_of_the_contract() {
    let contract = include_str!("../../wit/v0.1/plugin.wit");
    let (_, rest) = contract.split_once("package lightmon:plugin@").unwrap();
    let contract: Vec<_> = rest.split(';').next().unwrap().split('.').collect();
    let sdk: Vec<_> = env!("CARGO_PKG_VERSION").split('.').collect();
    assert_eq!(sdk[..2], contract[..2]);
}
