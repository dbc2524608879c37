//! Compiles a plugin and checks its imports and exports by name. Runs none of its code.

use std::borrow::Cow;

use lightmon_event::escape::printable;
use wasmparser::Parser;
use wasmtime::component::{Component, types::ComponentItem};

use crate::{
    engine::Engine,
    error::Reason,
    imports,
    manifest::{Manifest, Role},
    module, size_check,
    spec::Digest,
};

/// The required export, without `@` and the version.
const FILTER: &str = "lightmon:plugin/filter";
/// The optional exports.
const TICK: &str = "lightmon:plugin/tick";
const STOP: &str = "lightmon:plugin/stop";
/// The version of the contract that this host supports, with any patch version: a later one only adds what a host can ignore.
const VERSION: &str = "0.1";

/// A compiled plugin with the required export and only known imports.
pub(crate) struct Loaded {
    pub(crate) component: Component,
    /// The full name of the required export.
    pub(crate) filter: String,
    /// The full names of the optional exports.
    pub(crate) tick: Option<String>,
    pub(crate) stop: Option<String>,
    /// `None` if the plugin has no manifest.
    pub(crate) manifest: Option<Manifest>,
    /// Whether the plugin imports `tables`.
    pub(crate) uses_tables: bool,
}

impl Loaded {
    pub(crate) fn role(&self) -> Role {
        self.manifest
            .as_ref()
            .map_or_else(Role::default, |manifest| manifest.role)
    }
}

/// Compiles a plugin, or reads it from the cache.
pub(crate) fn load(engine: &Engine, bytes: &[u8], digest: Digest) -> Result<Loaded, Reason> {
    let is_core = is_core(bytes)?;
    let manifest = Manifest::of(bytes);
    let wasm = engine.wasm();
    let component = engine.cache().component(wasm, digest, || {
        size_check::check(bytes)?;
        let component = match is_core {
            true => Cow::Owned(module::encode(bytes)?),
            false => Cow::Borrowed(bytes),
        };
        Component::from_binary(wasm, &component)
            .map_err(|error| Reason::Malformed(printable(&format!("{error:#}"))))
    })?;
    let filter = filter(wasm, &component, is_core)?;
    let imports = imports(wasm, &component);
    let (provided, unknown): (Vec<&str>, _) = imports
        .iter()
        .map(|it| &**it)
        .partition(|name| is_provided(name));
    if unknown.is_empty() {
        Ok(Loaded {
            uses_tables: provided
                .iter()
                .any(|name| name.starts_with(imports::TABLES)),
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

/// Whether the file is a core module, which must be encoded as a component. Anything else that is not a component is an error.
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

/// The full name of the required export, in a version that the host supports.
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
        if is_supported(version) {
            return Ok(name.to_owned());
        }
        other = Some(version);
    }
    Err(match other {
        Some(version) => Reason::Version {
            plugin: printable(version),
            host: VERSION,
            upgrade: if is_newer(version) {
                "lightmon"
            } else {
                "the plugin"
            },
        },
        // A module without the section can be encoded, but has no exports.
        None if is_core && exports.is_empty() => Reason::Untyped,
        None => Reason::NoFilter(exports.into_iter().map(printable).collect()),
    })
}

/// The full name of an optional export, in a version that the host supports.
fn export(engine: &wasmtime::Engine, component: &Component, name: &str) -> Option<String> {
    let ty = component.component_type();
    let is_match = |export: &str| {
        let version = export
            .strip_prefix(name)
            .and_then(|it| it.strip_prefix('@'));
        version.is_some_and(is_supported)
    };
    let mut exports = ty.exports(engine).map(|(export, _)| export);
    exports.find(|export| is_match(export)).map(str::to_owned)
}

fn is_supported(version: &str) -> bool {
    let patch = version
        .strip_prefix(VERSION)
        .and_then(|v| v.strip_prefix('.'));
    patch.is_some_and(|patch| patch.parse::<u32>().is_ok())
}

fn is_newer(version: &str) -> bool {
    let numbers = |text: &str| -> Vec<u64> {
        text.split('.')
            .map_while(|number| number.parse().ok())
            .collect()
    };
    numbers(version) > numbers(VERSION)
}

/// Whether the host provides an import.
pub fn is_provided(import: &str) -> bool {
    let parts = import.split_once('@');
    imports::wasi::is_wasi(import)
        || parts
            .is_some_and(|(name, version)| imports::NAMES.contains(&name) && is_supported(version))
}

/// The imports that the host must provide: all but those of types alone.
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
        for (version, is_supported_version, newer) in [
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
            assert_eq!(is_supported(version), is_supported_version, "{version}");
            assert_eq!(is_newer(version), newer, "{version}");
        }
    }
}
