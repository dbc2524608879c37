//! `tables`: look-up files that the user has granted. They are read when the plugins are loaded, again when they have changed,
//! and shared by all plugins and instances that were granted the same file.
//!
//! They are in memory, and not mapped: who truncates a mapped file kills those who read it (SIGBUS).

use std::{path::Path, sync::Arc};

use wasmtime::{StoreContextMut, component::LinkerInstance};

pub(crate) use self::files::Files;
use self::{csv::Csv, mmdb::Mmdb};
use super::{
    super::{Fault, engine::Data, v0_1::Ip},
    Grants, Host,
};
use lightmon_event::escape::printable;

mod csv;
mod files;
mod mmdb;
mod networks;

/// Most bytes of an entry; a larger one is none.
const LONGEST: usize = 4 << 10;

/// Most tables that an instance can open, each with any column.
const MOST: usize = 64;

/// What an answer costs the host beside its text, so that empty ones are not free.
const ENTRY: usize = 64;

pub(super) fn link(interface: &mut LinkerInstance<'_, Data<Host>>) -> wasmtime::Result<()> {
    interface.func_wrap("open", |mut store, (name, column): (String, String)| {
        Ok((store.data_mut().host.tables.open(name, column),))
    })?;
    interface.func_wrap("lookup-ip", |store, (table, addresses): (u32, Vec<Ip>)| {
        let addresses = addresses
            .into_iter()
            .map(|Ip { hi, lo }| u128::from(hi) << 64 | u128::from(lo));
        answer(&store, table, addresses, |table, column, address| {
            table.of_address(address, column)
        })
    })?;
    interface.func_wrap(
        "lookup-name",
        |store, (table, names): (u32, Vec<String>)| {
            answer(&store, table, names.into_iter(), |table, column, name| {
                table.of_name(&name, column)
            })
        },
    )
}

/// Looks each up, as long as there are time and room.
fn answer<K>(
    store: &StoreContextMut<'_, Data<Host>>,
    table: u32,
    keys: impl ExactSizeIterator<Item = K>,
    find: impl Fn(&Table, &Column, K) -> Option<String>,
) -> wasmtime::Result<(Vec<Option<String>>,)> {
    let tables = &store.data().host.tables;
    let (_, table, column) = tables.open.get(table as usize).ok_or(Fault::Table(table))?;
    let mut room = tables.answer;
    let mut answers = Vec::new();
    for key in keys {
        store.data().on_time()?;
        let entry = find(table, column, key);
        room = room
            .checked_sub(ENTRY + entry.as_ref().map_or(0, String::len))
            .ok_or(Fault::LookUps(tables.answer))?;
        answers.push(entry);
    }
    Ok((answers,))
}

/// The tables that an instance has opened; their places are what it knows them by.
pub(super) struct Opened {
    grants: Grants,
    open: Vec<((String, String), Arc<Table>, Column)>,
    /// Most bytes of an answer.
    answer: usize,
}

impl Opened {
    pub(super) fn new(grants: Grants, answer: usize) -> Self {
        Self {
            grants,
            open: Vec::new(),
            answer,
        }
    }

    fn open(&mut self, name: String, column: String) -> Result<u32, String> {
        let asked = (name, column);
        if let Some(at) = self.open.iter().position(|(known, ..)| *known == asked) {
            return Ok(at as u32);
        }
        if self.open.len() == MOST {
            return Err(format!("more than {MOST} tables are open"));
        }
        let (name, column) = &asked;
        let table = self.grants.get(name).ok_or_else(|| {
            let name = printable(name);
            format!("no table `{name}` is granted: give the plugin one with table.{name}=FILE")
        })?;
        let column = table
            .column(column)
            .map_err(|error| format!("table `{}`: {error}", printable(name)))?;
        self.open.push((asked, table.clone(), column));
        Ok(self.open.len() as u32 - 1)
    }
}

/// What of an entry is wanted.
enum Column {
    /// All of it, as JSON.
    All,
    /// Of CSV: the column at that place.
    At(usize),
    /// Of MMDB: the keys on the way to it.
    Path(Vec<String>),
}

/// A look-up file.
pub(crate) enum Table {
    /// Addresses only.
    Mmdb(Mmdb),
    /// Addresses, networks and names.
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
            Self::Csv(csv) => csv.column(column).map(Column::At),
        }
    }

    fn of_address(&self, address: u128, column: &Column) -> Option<String> {
        match self {
            Self::Mmdb(mmdb) => mmdb.of_address(address, column),
            Self::Csv(csv) => csv.of_address(address, column),
        }
    }

    fn of_name(&self, name: &str, column: &Column) -> Option<String> {
        match self {
            Self::Mmdb(_) => None,
            Self::Csv(csv) => csv.of_name(name, column),
        }
    }
}
