//! Which tables a plugin may look into: those that the user has granted it, and that it asks for.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Reason, Spec, Wanted,
    imports::{Grants, tables::Files},
    load::Loaded,
};
use lightmon_event::escape::printable;

/// Reads the granted tables. A plugin that can't do without a table that was not granted is refused, and so is a grant that
/// is of no use, which is a slip of the pen.
pub(super) fn grants(spec: &Spec, loaded: &Loaded, files: &Files) -> Result<Grants, Reason> {
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
    // Without a manifest nobody knows whether it can do without.
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
