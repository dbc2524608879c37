//! `tables`: look-up files that the user grants. The files are read when the plugins are loaded and again when they change. All
//! plugins and instances with the same file share one table.
//!
//! Tables are read into memory and not mapped: if somebody truncates a mapped file, its readers are killed (SIGBUS).

mod csv;
mod files;
mod mmdb;
mod networks;

use std::{path::Path, sync::Arc};

use lightmon_event::escape::printable;
use wasmtime::{StoreContextMut, component::LinkerInstance};

pub(crate) use self::files::Files;
use self::{csv::Csv, mmdb::Mmdb};
use super::{GrantedTables, Host};
use crate::{engine::Data, error::Fault, v0_1::Ip};

/// Bytes of an entry; a larger entry is not returned.
const MAX_ENTRY_BYTES: usize = 4 << 10;

/// Pairs of table and column that an instance can open.
const MAX_OPEN_TABLES: usize = 64;

/// Bytes that a result counts in addition to its text, so that empty results are limited too.
const RESULT_BYTES: usize = 64;

pub(super) fn link(interface: &mut LinkerInstance<'_, Data<Host>>) -> wasmtime::Result<()> {
    interface.func_wrap("open", |mut store, (name, column): (String, String)| {
        Ok((store.data_mut().host.tables.open(name, column),))
    })?;
    interface.func_wrap("lookup-ip", |store, (table, addresses): (u32, Vec<Ip>)| {
        let addresses = addresses
            .into_iter()
            .map(|Ip { hi, lo }| u128::from(hi) << 64 | u128::from(lo));
        look_up(&store, table, addresses, |table, column, address| {
            table.find_address(address, column)
        })
    })?;
    interface.func_wrap(
        "lookup-name",
        |store, (table, names): (u32, Vec<String>)| {
            look_up(&store, table, names.into_iter(), |table, column, name| {
                table.find_name(&name, column)
            })
        },
    )
}

/// Looks up each key, within the limits of time and size.
fn look_up<K>(
    store: &StoreContextMut<'_, Data<Host>>,
    table: u32,
    keys: impl ExactSizeIterator<Item = K>,
    find: impl Fn(&Table, &Column, K) -> Option<String>,
) -> wasmtime::Result<(Vec<Option<String>>,)> {
    let tables = &store.data().host.tables;
    let (_, table, column) = tables.open.get(table as usize).ok_or(Fault::Table(table))?;
    let mut room = tables.max_bytes;
    let mut entries = Vec::new();
    for key in keys {
        store.data().check_deadline()?;
        let entry = find(table, column, key);
        room = room
            .checked_sub(RESULT_BYTES + entry.as_ref().map_or(0, String::len))
            .ok_or(Fault::LookUps(tables.max_bytes))?;
        entries.push(entry);
    }
    Ok((entries,))
}

/// The tables that an instance has opened; it uses their indexes as handles.
pub(super) struct OpenTables {
    granted: GrantedTables,
    open: Vec<((String, String), Arc<Table>, Column)>,
    /// The limit of bytes of one call.
    max_bytes: usize,
}

impl OpenTables {
    pub(super) fn new(granted: GrantedTables, max_bytes: usize) -> Self {
        Self {
            granted,
            open: Vec::new(),
            max_bytes,
        }
    }

    fn open(&mut self, name: String, column: String) -> Result<u32, String> {
        let requested = (name, column);
        if let Some(at) = self.open.iter().position(|(open, ..)| *open == requested) {
            return Ok(at as u32);
        }
        if self.open.len() == MAX_OPEN_TABLES {
            return Err(format!("more than {MAX_OPEN_TABLES} tables are open"));
        }
        let (name, column) = &requested;
        let table = self.granted.get(name).ok_or_else(|| {
            let name = printable(name);
            format!("no table `{name}` is granted: give the plugin one with table.{name}=FILE")
        })?;
        let column = table
            .column(column)
            .map_err(|error| format!("table `{}`: {error}", printable(name)))?;
        self.open.push((requested, table.clone(), column));
        Ok(self.open.len() as u32 - 1)
    }
}

/// The part of an entry that a plugin asks for.
enum Column {
    /// The whole entry, as JSON.
    All,
    /// The column of a CSV file with this index.
    Index(usize),
    /// The path of keys in an MMDB entry.
    Path(Vec<String>),
}

/// A look-up table.
pub(crate) enum Table {
    /// Finds addresses.
    Mmdb(Mmdb),
    /// Finds addresses, networks and names.
    Csv(Csv),
}

impl Table {
    fn new(path: &Path, bytes: Vec<u8>) -> Result<Self, String> {
        if path.extension().is_some_and(|it| it == "mmdb") || mmdb::is_mmdb(&bytes) {
            Mmdb::new(path, bytes).map(Self::Mmdb)
        } else {
            Csv::new(&bytes).map(Self::Csv)
        }
    }

    fn column(&self, column: &str) -> Result<Column, String> {
        match self {
            _ if column.is_empty() => Ok(Column::All),
            Self::Mmdb(_) => Ok(Column::Path(column.split('/').map(str::to_owned).collect())),
            Self::Csv(csv) => csv.column(column).map(Column::Index),
        }
    }

    fn find_address(&self, address: u128, column: &Column) -> Option<String> {
        match self {
            Self::Mmdb(mmdb) => mmdb.find_address(address, column),
            Self::Csv(csv) => csv.find_address(address, column),
        }
    }

    fn find_name(&self, name: &str, column: &Column) -> Option<String> {
        match self {
            Self::Mmdb(_) => None,
            Self::Csv(csv) => csv.find_name(name, column),
        }
    }
}
