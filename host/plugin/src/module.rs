//! Encodes a core module as a component, with the types of its `component-type` section. Runs and compiles nothing.

use std::collections::BTreeSet;

use lightmon_event::escape::printable;
use wasmparser::{
    BinaryReaderError, ComponentType, ComponentTypeDeclaration, InstanceTypeDeclaration, Parser,
    Payload,
};
use wit_component::ComponentEncoder;

use crate::error::Reason;

/// The package of the plugin contract, without the name of an interface.
const PACKAGE: &str = "lightmon:plugin/";

/// Encodes a core module as a component, as it is done when the module is loaded.
///
/// # Errors
/// If the module is not valid, or uses other packages than the plugin contract.
pub fn encode(module: &[u8]) -> Result<Vec<u8>, Reason> {
    // The encoder expects a valid module without cycles: if packages use each other, it recurses until the stack overflows. A
    // single package can't contain such a cycle.
    let malformed = |error: BinaryReaderError| Reason::Malformed(printable(&error.to_string()));
    wasmparser::validate(module).map_err(malformed)?;
    let interfaces = interfaces(module).map_err(malformed)?;
    let packages: BTreeSet<_> = interfaces.iter().map(|name| package(name)).collect();
    if packages.len() > 1 {
        let is_foreign = |name: &&String| !name.starts_with(PACKAGE);
        let foreign: Vec<String> = interfaces
            .iter()
            .filter(is_foreign)
            .map(|name| printable(name))
            .collect();
        return Err(if foreign.is_empty() {
            Reason::Encode("it uses several versions of the contract".to_owned())
        } else {
            Reason::Imports(foreign)
        });
    }
    ComponentEncoder::default()
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| Reason::Encode(printable(&format!("{error:#}"))))
}

/// The package and the version in the name of an interface.
fn package(interface: &str) -> (&str, &str) {
    let (name, version) = interface.split_once('@').unwrap_or((interface, ""));
    (
        name.split_once('/').map_or(name, |(package, _)| package),
        version,
    )
}

/// The names of all interfaces in the `component-type` sections.
fn interfaces(module: &[u8]) -> Result<BTreeSet<String>, BinaryReaderError> {
    let mut names = BTreeSet::new();
    for payload in Parser::new(0).parse_all(module) {
        let Payload::CustomSection(section) = payload? else {
            continue;
        };
        if !section.name().starts_with("component-type") {
            continue;
        }
        for payload in Parser::new(0).parse_all(section.data()) {
            match payload? {
                Payload::ComponentTypeSection(types) => {
                    for ty in types {
                        add_names(&ty?, &mut names);
                    }
                }
                Payload::ComponentImportSection(imports) => {
                    for import in imports {
                        add(import?.name.name, &mut names);
                    }
                }
                Payload::ComponentExportSection(exports) => {
                    for export in exports {
                        add(export?.name.name, &mut names);
                    }
                }
                _ => {}
            }
        }
    }
    Ok(names)
}

/// The parser limits the depth of types.
fn add_names(ty: &ComponentType<'_>, names: &mut BTreeSet<String>) {
    match ty {
        ComponentType::Component(declarations) => {
            for declaration in declarations {
                match declaration {
                    ComponentTypeDeclaration::Type(ty) => add_names(ty, names),
                    ComponentTypeDeclaration::Export { name, .. } => add(name.name, names),
                    ComponentTypeDeclaration::Import(import) => add(import.name.name, names),
                    ComponentTypeDeclaration::CoreType(_) | ComponentTypeDeclaration::Alias(_) => {}
                }
            }
        }
        ComponentType::Instance(declarations) => {
            for declaration in declarations {
                match declaration {
                    InstanceTypeDeclaration::Type(ty) => add_names(ty, names),
                    InstanceTypeDeclaration::Export { name, .. } => add(name.name, names),
                    InstanceTypeDeclaration::CoreType(_) | InstanceTypeDeclaration::Alias(_) => {}
                }
            }
        }
        ComponentType::Defined(_) | ComponentType::Func(_) | ComponentType::Resource { .. } => {}
    }
}

fn add(name: &str, names: &mut BTreeSet<String>) {
    // The names of functions and types have no slash.
    if name.contains('/') {
        names.insert(name.to_owned());
    }
}
