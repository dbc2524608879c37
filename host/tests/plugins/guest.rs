//! Turns the text in `tests/guests/` into modules and components that keep to the contract, or nearly so.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The contract as it is.
pub(crate) fn wit() -> String {
    std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../wit/v0.1/plugin.wit"
    ))
    .expect("the contract")
}

/// A module with the section that says what it is: the named texts after the prelude, with `init.wat` unless one of
/// them begins with `init` or has an `init` of its own.
pub(crate) fn module(parts: &[&str]) -> Vec<u8> {
    typed(
        &wat::parse_str(text(parts)).expect("WebAssembly text"),
        &wit(),
    )
}

/// The component that the module becomes.
pub(crate) fn component(parts: &[&str]) -> Vec<u8> {
    encode(&module(parts))
}

/// The text of a whole module.
pub(crate) fn text(parts: &[&str]) -> String {
    let mut body = read("prelude");
    for part in parts {
        body.push_str(&read(part));
    }
    if !body.contains("#init\"") {
        body.push_str(&read("init"));
    }
    format!("(module {body})")
}

fn read(part: &str) -> String {
    let path = format!("{}/tests/guests/{part}.wat", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("a guest")
}

/// Adds the section that says which world of `wit` the module is made for.
pub(crate) fn typed(module: &[u8], wit: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("plugin.wit", wit).expect("WIT");
    let world = resolve
        .select_world(&[package], Some("plugin"))
        .expect("a world");
    let mut module = module.to_vec();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
        .expect("a section");
    module
}

pub(crate) fn encode(module: &[u8]) -> Vec<u8> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .expect("a module with its section")
        .encode()
        .expect("a component")
}
