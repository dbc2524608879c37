//! From a file to a compiled component that keeps to the contract by name. Runs nothing of it.

use std::{borrow::Cow, fs::File, io::Read, path::Path};

use wasmparser::Parser;
use wasmtime::component::{Component, types::ComponentItem};

use super::{
    Digest, Reason,
    engine::Engine,
    extent, imports,
    manifest::{Manifest, Role},
    module,
};
use lightmon_event::escape::printable;

/// The exported interface, before `@` and its version.
const FILTER: &str = "lightmon:plugin/filter";
/// Others that it may export.
const TICK: &str = "lightmon:plugin/tick";
const STOP: &str = "lightmon:plugin/stop";
/// What this host speaks; a later patch version only adds what a host may ignore.
const HOST: &str = "0.1";

/// A component that has the right export and no wrong imports.
pub(super) struct Loaded {
    pub(super) component: Component,
    /// The full name of the exported interface.
    pub(super) filter: String,
    /// Those of the optional interfaces, where it has them.
    pub(super) tick: Option<String>,
    pub(super) stop: Option<String>,
    /// None when it brings none.
    pub(super) manifest: Option<Manifest>,
    /// Whether it wants look-up files.
    pub(super) uses_tables: bool,
}

impl Loaded {
    pub(super) fn role(&self) -> Role {
        self.manifest
            .as_ref()
            .map_or_else(Role::default, |manifest| manifest.role)
    }
}

/// Compiles a plugin, unless it was compiled before.
pub(super) fn load(engine: &Engine, bytes: &[u8], digest: Digest) -> Result<Loaded, Reason> {
    let is_core = is_core(bytes)?;
    let manifest = Manifest::of(bytes);
    let wasm = engine.wasm();
    let component = engine.cache().component(wasm, digest, || {
        extent::check(bytes)?;
        let component = match is_core {
            true => Cow::Owned(module::encode(bytes)?),
            false => Cow::Borrowed(bytes),
        };
        Component::from_binary(wasm, &component)
            .map_err(|error| Reason::Malformed(printable(&format!("{error:#}"))))
    })?;
    let filter = filter(wasm, &component, is_core)?;
    let imports = imports(wasm, &component);
    let (known, unknown): (Vec<&str>, _) = imports
        .iter()
        .map(|it| &**it)
        .partition(|name| is_provided(name));
    if unknown.is_empty() {
        Ok(Loaded {
            uses_tables: known.iter().any(|name| name.starts_with(imports::TABLES)),
            tick: export(wasm, &component, TICK),
            stop: export(wasm, &component, STOP),
            component,
            filter,
            manifest,
        })
    } else {
        Err(Reason::Imports(
            unknown.into_iter().map(printable).collect(),
        ))
    }
}

/// All of a plugin's file, which has at most `limit` bytes.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Reason> {
    // Asked before it is opened: opening a pipe would wait for its writer.
    if !path.metadata().map_err(Reason::Read)?.is_file() {
        return Err(Reason::NotAFile);
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(Reason::Read)?;
    match bytes.len() as u64 {
        0 => Err(Reason::Empty),
        n if n > limit => Err(Reason::TooLarge { limit }),
        _ => Ok(bytes),
    }
}

/// Whether it is a core module, from which a component is to be made; anything else that is no component is refused.
fn is_core(bytes: &[u8]) -> Result<bool, Reason> {
    if wasmtime::Engine::detect_precompiled(bytes).is_some() {
        return Err(Reason::Precompiled);
    }
    if !bytes.starts_with(b"\0asm") {
        let is_text = bytes.trim_ascii_start().starts_with(b"(");
        return Err(if is_text {
            Reason::Text
        } else {
            Reason::NotWasm
        });
    }
    Ok(Parser::is_core_wasm(bytes))
}

/// The export of the contract in the host's version.
fn filter(
    engine: &wasmtime::Engine,
    component: &Component,
    is_core: bool,
) -> Result<String, Reason> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(engine).map(|(name, _)| name).collect();
    let versions = exports.iter().filter_map(|name| {
        let version = name.strip_prefix(FILTER)?.strip_prefix('@')?;
        Some((*name, version))
    });
    let mut other = None;
    for (name, version) in versions {
        if is_spoken(version) {
            return Ok(name.to_owned());
        }
        other = Some(version);
    }
    Err(match other {
        Some(version) => Reason::Version {
            plugin: printable(version),
            host: HOST,
            upgrade: if is_newer(version) {
                "lightmon"
            } else {
                "the plugin"
            },
        },
        // Encoding a module without the section succeeds, with nothing in it.
        None if is_core && exports.is_empty() => Reason::Untyped,
        None => Reason::NoFilter(exports.into_iter().map(printable).collect()),
    })
}

/// The full name of an interface that it may export, in the host's version.
fn export(engine: &wasmtime::Engine, component: &Component, name: &str) -> Option<String> {
    let ty = component.component_type();
    let is_it = |export: &str| {
        let version = export
            .strip_prefix(name)
            .and_then(|it| it.strip_prefix('@'));
        version.is_some_and(is_spoken)
    };
    let mut exports = ty.exports(engine).map(|(export, _)| export);
    exports.find(|export| is_it(export)).map(str::to_owned)
}

fn is_spoken(version: &str) -> bool {
    let patch = version.strip_prefix(HOST).and_then(|v| v.strip_prefix('.'));
    patch.is_some_and(|patch| patch.parse::<u32>().is_ok())
}

fn is_newer(version: &str) -> bool {
    let numbers = |text: &str| -> Vec<u64> {
        text.split('.')
            .map_while(|number| number.parse().ok())
            .collect()
    };
    numbers(version) > numbers(HOST)
}

/// Whether there is something for that import.
pub(super) fn is_provided(import: &str) -> bool {
    let parts = import.split_once('@');
    imports::wasi::is_wasi(import)
        || parts.is_some_and(|(name, version)| imports::NAMES.contains(&name) && is_spoken(version))
}

/// Imports that are more than types, which need nobody to provide them.
fn imports(engine: &wasmtime::Engine, component: &Component) -> Vec<String> {
    let is_type = |item: &ComponentItem| matches!(item, ComponentItem::Type(_));
    component
        .component_type()
        .imports(engine)
        .filter(|(_, import)| match &import.ty {
            ComponentItem::ComponentInstance(instance) => !instance
                .exports(engine)
                .all(|(_, export)| is_type(&export.ty)),
            item => !is_type(item),
        })
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (version, spoken, newer) in [
            ("0.1.0", true, true),
            ("0.1.17", true, true),
            ("0.1.0-rc1", false, false),
            ("0.0.9", false, false),
            ("0.2.0", false, true),
            ("0.10.0", false, true),
            ("9.9.9", false, true),
            ("0.1", false, false),
            ("", false, false),
        ] {
            assert_eq!(is_spoken(version), spoken, "{version}");
            assert_eq!(is_newer(version), newer, "{version}");
        }
    }
}
