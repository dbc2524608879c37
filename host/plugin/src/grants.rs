//! Decides which look-up tables a plugin can use: the tables that the user grants and the plugin asks for.

use std::{collections::BTreeMap, sync::Arc};

use lightmon_event::escape::printable;

use crate::{
    error::{Reason, Wanted},
    imports::{GrantedTables, tables::Files},
    load::Loaded,
    spec::Spec,
};

/// Opens the granted tables. It is an error if a required table is not granted, or if the plugin does not ask for a granted table.
pub(crate) fn granted_tables(
    spec: &Spec,
    loaded: &Loaded,
    files: &Files,
) -> Result<GrantedTables, Reason> {
    let is_granted = |table: &str| spec.tables.contains_key(table);
    let wanted = match &loaded.manifest {
        _ if !loaded.uses_tables => Some(&[][..]),
        Some(manifest) => Some(&manifest.permissions[..]),
        None => None,
    };
    let missing: Vec<Wanted> = wanted
        .unwrap_or_default()
        .iter()
        .filter(|it| !it.optional && !is_granted(&it.table))
        .map(|it| Wanted {
            table: printable(&it.table),
            why: it.why.as_deref().map(printable),
        })
        .collect();
    // If there is no manifest, the plugin needs at least one table.
    if !missing.is_empty() || (wanted.is_none() && spec.tables.is_empty()) {
        return Err(Reason::Ungranted(missing));
    }
    let mut tables = BTreeMap::new();
    for (name, path) in &spec.tables {
        if let Some(wanted) = wanted
            && wanted.iter().all(|it| it.table != *name)
            && (!wanted.is_empty() || !loaded.uses_tables)
        {
            return Err(Reason::Unasked {
                name: printable(name),
                asks: wanted
                    .iter()
                    .map(|it| format!("`{}`", printable(&it.table)))
                    .collect(),
            });
        }
        let table = files.table(path).map_err(|cause| Reason::Table {
            name: printable(name),
            file: printable(&path.to_string_lossy()),
            cause,
        })?;
        tables.insert(name.clone(), table);
    }
    Ok(Arc::new(tables))
}
