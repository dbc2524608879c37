//! Lists in files that the user grants: `table.networks` and `table.names`. lightmon reads and searches the files. A column of
//! the file names the list of each entry.

use std::{iter, net::IpAddr};

use lightmon_plugin::{Batch, Event, Permission, carried_ipv4, table::Table};

const NETWORKS: &str = "networks";
const NAMES: &str = "names";

pub(crate) const PERMISSIONS: &[Permission] = &[
    Permission {
        table: NETWORKS,
        why: "lists of networks and addresses: CSV with the name of the list in column `list`",
        optional: true,
    },
    Permission {
        table: NAMES,
        why: "lists of host names, including their subdomains: CSV with the name of the list in column `list`",
        optional: true,
    },
];

/// The granted files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrantedLists {
    networks: Option<Table>,
    names: Option<Table>,
}

impl GrantedLists {
    /// Opens the files that the user granted.
    ///
    /// # Errors
    /// If one of them has no such column.
    pub(crate) fn open(column: &str) -> Result<Self, String> {
        Ok(Self {
            networks: open(NETWORKS, column)?,
            names: open(NAMES, column)?,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.networks.is_none() && self.names.is_none()
    }

    /// Whether a file with host names was granted.
    pub(crate) fn has_names(&self) -> bool {
        self.names.is_some()
    }

    /// For each event of the batch, the name of the list that contains the destination address, or else the resolved host name.
    pub(crate) fn lists(&self, batch: &Batch) -> Vec<Option<String>> {
        let mut lists = match self.networks {
            Some(table) => by_address(table, batch),
            None => vec![None; batch.events().len()],
        };
        if let Some(table) = self.names {
            let named: Vec<(usize, &str)> = batch
                .events()
                .enumerate()
                .filter_map(|(at, event)| Some((at, event.dname()?)))
                .collect();
            let names: Vec<&str> = named.iter().map(|(_, name)| *name).collect();
            if !names.is_empty() {
                for ((at, _), list) in iter::zip(named, table.lookup_name(&names)) {
                    lists[at] = lists[at].take().or(list);
                }
            }
        }
        lists
    }
}

/// Looks up all destination addresses. For an IPv6 address that carries an IPv4 address (NAT64, 6to4), looks up both.
fn by_address(table: Table, batch: &Batch) -> Vec<Option<String>> {
    let destinations = batch.events().map(|event| event.destination());
    let carried = |event: &Event<'_>| match event.destination() {
        IpAddr::V6(address) => carried_ipv4(address).map(IpAddr::from),
        IpAddr::V4(_) => None,
    };
    let inner: Vec<(usize, IpAddr)> = batch
        .events()
        .enumerate()
        .filter_map(|(at, event)| Some((at, carried(&event)?)))
        .collect();
    let addresses: Vec<IpAddr> = destinations
        .chain(inner.iter().map(|(_, address)| *address))
        .collect();
    let mut lists = table.lookup_ip(&addresses);
    let carried_lists = lists.split_off(batch.events().len().min(lists.len()));
    for ((at, _), list) in iter::zip(inner, carried_lists) {
        lists[at] = lists[at].take().or(list);
    }
    lists
}

/// Opens the column of a table; none if the table was not granted.
fn open(name: &str, column: &str) -> Result<Option<Table>, String> {
    match Table::open(name, "") {
        Err(_) => Ok(None),
        Ok(_) => Table::open(name, column).map(Some),
    }
}
