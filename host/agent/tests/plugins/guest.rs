//! Turns the text in `tests/guests/` into modules and components that keep to the contract, or nearly so.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The contract as it is.
pub(crate) fn wit() -> String {
    std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../wit/v0.1/plugin.wit"
    ))
    .expect("the contract")
}

/// Builds a module with type information from the prelude and the named texts. Adds `init.wat` unless one of the texts begins
/// with `init` or contains an `init`.
pub(crate) fn module(parts: &[&str]) -> Vec<u8> {
    of_text(&text(parts))
}

/// The same of a whole module's text.
pub(crate) fn of_text(text: &str) -> Vec<u8> {
    let optional: String = ["tick", "stop"]
        .into_iter()
        .filter(|name| text.contains(&format!("plugin/{name}@")))
        .map(|name| format!("export {name};"))
        .collect();
    let world = "world plugin {";
    typed(
        &wat::parse_str(text).expect("WebAssembly text"),
        &wit().replace(world, &format!("{world} {optional}")),
    )
}

/// Adds a manifest.
pub(crate) fn with_manifest(mut wasm: Vec<u8>, manifest: &str) -> Vec<u8> {
    // A custom section: id 0, then its length and that of its name (WebAssembly 5.5.3); three bytes hold any length here.
    let name = b"lightmon:manifest";
    let length = 1 + name.len() + manifest.len();
    let number = [
        length as u8 & 0x7f | 0x80,
        (length >> 7) as u8 & 0x7f | 0x80,
        (length >> 14) as u8,
    ];
    wasm.extend(
        [
            &[0],
            &number[..],
            &[name.len() as u8],
            name,
            manifest.as_bytes(),
        ]
        .concat(),
    );
    wasm
}

/// The component that the module becomes.
pub(crate) fn component(parts: &[&str]) -> Vec<u8> {
    encode(&module(parts))
}

/// The text of a whole module: what the parts import comes first.
pub(crate) fn text(parts: &[&str]) -> String {
    let (imports, parts): (Vec<&str>, Vec<&str>) =
        parts.iter().partition(|part| part.starts_with("import_"));
    let mut body = String::new();
    for part in imports.into_iter().chain(["prelude"]).chain(parts) {
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
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
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

/// A plugin that keeps all events, made for that version of the contract.
pub(crate) fn of_version(version: &str) -> Vec<u8> {
    let text = text(&["keep"]).replace("@0.1.0#", &format!("@{version}#"));
    let module = wat::parse_str(text).expect("a module");
    encode(&typed(
        &module,
        &wit().replace("@0.1.0", &format!("@{version}")),
    ))
}
