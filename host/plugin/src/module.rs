//! From a core module to a component, by what its `component-type` section says. Runs and compiles nothing.

use std::collections::BTreeSet;

use wasmparser::{
    BinaryReaderError, ComponentType, ComponentTypeDeclaration, InstanceTypeDeclaration, Parser,
    Payload,
};
use wit_component::ComponentEncoder;

use super::Reason;
use lightmon_event::escape::printable;

/// Package of the plugin contract, before the name of an interface.
const PACKAGE: &str = "lightmon:plugin/";

/// Makes the component.
pub(super) fn encode(module: &[u8]) -> Result<Vec<u8>, Reason> {
    // The encoder takes what it is given for valid, and for free of circles: on packages that use each other it
    // recurses until the stack is full. One package can't.
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
            Reason::Encode("it is made for several versions of the contract".to_owned())
        } else {
            Reason::Imports(foreign)
        });
    }
    ComponentEncoder::default()
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| Reason::Encode(printable(&format!("{error:#}"))))
}

/// Package and version of an interface's name.
fn package(interface: &str) -> (&str, &str) {
    let (name, version) = interface.split_once('@').unwrap_or((interface, ""));
    (
        name.split_once('/').map_or(name, |(package, _)| package),
        version,
    )
}

/// All names of interfaces in the sections that say what the module is.
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
                        named_in(&ty?, &mut names);
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

/// The reader limits how deep types can be.
fn named_in(ty: &ComponentType<'_>, names: &mut BTreeSet<String>) {
    match ty {
        ComponentType::Component(declarations) => {
            for declaration in declarations {
                match declaration {
                    ComponentTypeDeclaration::Type(ty) => named_in(ty, names),
                    ComponentTypeDeclaration::Export { name, .. } => add(name.name, names),
                    ComponentTypeDeclaration::Import(import) => add(import.name.name, names),
                    ComponentTypeDeclaration::CoreType(_) | ComponentTypeDeclaration::Alias(_) => {}
                }
            }
        }
        ComponentType::Instance(declarations) => {
            for declaration in declarations {
                match declaration {
                    InstanceTypeDeclaration::Type(ty) => named_in(ty, names),
                    InstanceTypeDeclaration::Export { name, .. } => add(name.name, names),
                    InstanceTypeDeclaration::CoreType(_) | InstanceTypeDeclaration::Alias(_) => {}
                }
            }
        }
        ComponentType::Defined(_) | ComponentType::Func(_) | ComponentType::Resource { .. } => {}
    }
}

fn add(name: &str, names: &mut BTreeSet<String>) {
    // Functions and types have plain names.
    if name.contains('/') {
        names.insert(name.to_owned());
    }
}
