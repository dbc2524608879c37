//! Turns a compiler's output into a plugin: a component with a manifest. Does not run the plugin.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as WASI, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldItem, WorldKey};

use crate::manifest;

/// The plugin contract.
pub(crate) const WIT: &str = include_str!("../../../../wit/v0.1/plugin.wit");

/// The properties of a core module that decide how to encode it.
#[derive(Default)]
struct Module {
    exports: BTreeSet<String>,
    imports_wasi: bool,
    is_typed: bool,
}

/// Makes a component of a core module, and adds the manifest. Keeps a component as it is.
pub(super) fn finish(mut wasm: Vec<u8>, manifest: Option<&[u8]>) -> anyhow::Result<Vec<u8>> {
    if Parser::is_core_wasm(&wasm) {
        wasmparser::validate(&wasm).context("the WebAssembly is not valid")?;
        let module = read(&wasm)?;
        if !module.is_typed {
            embed(&mut wasm, &module.exports)?;
        }
        wasm = encode(&wasm, module.imports_wasi)?;
    } else if !Parser::is_component(&wasm) {
        bail!("it is not WebAssembly");
    }
    if let Some(json) = manifest {
        if manifest::of(&wasm).is_some() {
            bail!("it has a manifest already; delete plugin.json");
        }
        append_section(&mut wasm, manifest::SECTION, json);
    }
    Ok(wasm)
}

fn read(wasm: &[u8]) -> anyhow::Result<Module> {
    let mut module = Module::default();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ExportSection(exports) => {
                for export in exports {
                    module.exports.insert(export?.name.to_owned());
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    module.imports_wasi |= import?.module == WASI;
                }
            }
            Payload::CustomSection(section) => {
                module.is_typed |= section.name().starts_with("component-type");
            }
            _ => {}
        }
    }
    Ok(module)
}

/// Adds type information: the world `complete-plugin` without the interfaces that the module does not export.
fn embed(wasm: &mut Vec<u8>, exports: &BTreeSet<String>) -> anyhow::Result<()> {
    let mut resolve = Resolve::default();
    let package = resolve
        .push_str("plugin.wit", WIT)
        .expect("invariant: the contract is WIT");
    let world = resolve
        .select_world(&[package], Some("complete-plugin"))
        .expect("invariant: the contract has this world");
    let mut has_filter = false;
    let interfaces: Vec<(WorldKey, String)> = resolve.worlds[world]
        .exports
        .iter()
        .filter(|(_, item)| matches!(item, WorldItem::Interface { .. }))
        .map(|(key, _)| (key.clone(), resolve.name_world_key(key)))
        .collect();
    for (key, name) in interfaces {
        let function = format!("{name}#");
        let is_there = exports.iter().any(|export| export.starts_with(&function));
        has_filter |= is_there && name.starts_with("lightmon:plugin/filter@");
        if !is_there {
            resolve.worlds[world].exports.shift_remove(&key);
        }
    }
    if !has_filter {
        bail!(
            "it exports no function of lightmon:plugin/filter@0.1.0; add the SDK's files of the language to the sources"
        );
    }
    embed_component_metadata(wasm, &resolve, world, StringEncoding::UTF8)
}

fn encode(wasm: &[u8], imports_wasi: bool) -> anyhow::Result<Vec<u8>> {
    let mut encoder = ComponentEncoder::default().validate(true).module(wasm)?;
    if imports_wasi {
        // Before Go has started, its allocator cannot allocate the adapter's memory.
        encoder = encoder
            .adapter(WASI, ADAPTER)?
            .realloc_via_memory_grow(true);
    }
    encoder.encode()
}

/// Appends a custom section. Its size and the length of its name are in LEB128.
fn append_section(wasm: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut content = Vec::with_capacity(data.len() + name.len() + 2);
    leb128(name.len(), &mut content);
    content.extend_from_slice(name.as_bytes());
    content.extend_from_slice(data);
    wasm.push(0);
    leb128(content.len(), wasm);
    wasm.extend(content);
}

fn leb128(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_encoded_as_leb128() {
        for (number, expected) in [
            (0, &[0][..]),
            (127, &[127]),
            (128, &[128, 1]),
            (624_485, &[0xe5, 0x8e, 0x26]),
        ] {
            let mut out = Vec::new();
            leb128(number, &mut out);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_module_without_exports_is_rejected() {
        let error = finish(wat::parse_str("(module)").unwrap(), None).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("it exports no function of lightmon:plugin/filter"),
            "{error}"
        );
        assert_eq!(
            finish(b"nonsense".to_vec(), None).unwrap_err().to_string(),
            "it is not WebAssembly"
        );
    }

    #[test]
    fn a_module_without_types_gets_the_types_of_its_exports() {
        let guests = concat!(env!("CARGO_MANIFEST_DIR"), "/../agent/tests/guests");
        let read = |name: &str| std::fs::read_to_string(format!("{guests}/{name}.wat")).unwrap();
        let text = ["prelude", "init", "keep"].map(read).concat();
        let module = wat::parse_str(format!("(module {text})")).unwrap();
        let plugin = finish(module, Some(br#"{"name":"mine"}"#)).unwrap();
        wasmparser::validate(&plugin).unwrap();
        assert_eq!(manifest::of(&plugin), Some(&br#"{"name":"mine"}"#[..]));
        let wit_component::DecodedWasm::Component(resolve, world) =
            wit_component::decode(&plugin).unwrap()
        else {
            panic!("a component");
        };
        let exports = resolve.worlds[world].exports.keys();
        let exports: Vec<String> = exports.map(|key| resolve.name_world_key(key)).collect();
        assert_eq!(exports, ["lightmon:plugin/filter@0.1.0"]);
        let again = finish(plugin, Some(b"{}")).unwrap_err();
        assert!(
            again.to_string().starts_with("it has a manifest already"),
            "{again}"
        );
    }
}
