//! Lists in files that the user has granted: `table.networks` and `table.names`. lightmon keeps and searches them; the file says to
//! which list each entry belongs.

use std::{iter, net::IpAddr};

use lightmon_plugin::{Batch, Event, Permission, carried_ipv4, table::Table};

const NETWORKS: &str = "networks";
const NAMES: &str = "names";

pub(crate) const PERMISSIONS: &[Permission] = &[
    Permission {
        table: NETWORKS,
        why: "networks and addresses on lists: CSV, the second column (`list`) names the list",
        optional: true,
    },
    Permission {
        table: NAMES,
        why: "names on lists, with what is below them: CSV, the second column (`list`) names the list",
        optional: true,
    },
];

/// The files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted {
    networks: Option<Table>,
    names: Option<Table>,
}

impl Granted {
    /// Those that the user has granted.
    ///
    /// # Errors
    /// When one of them has no such column.
    pub(crate) fn open(column: &str) -> Result<Self, String> {
        Ok(Self {
            networks: open(NETWORKS, column)?,
            names: open(NAMES, column)?,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.networks.is_none() && self.names.is_none()
    }

    /// Whether it looks at the name that a destination was looked up by.
    pub(crate) fn has_names(&self) -> bool {
        self.names.is_some()
    }

    /// For each event of the batch the list that its destination is on, if it is: by the address, or else by the name.
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

/// Where IPv6 carries an IPv4 address (NAT64, 6to4), that one counts too.
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
    let of_carried = lists.split_off(batch.events().len().min(lists.len()));
    for ((at, _), list) in iter::zip(inner, of_carried) {
        lists[at] = lists[at].take().or(list);
    }
    lists
}

/// The column of the table; none where it was not granted.
fn open(name: &str, column: &str) -> Result<Option<Table>, String> {
    match Table::open(name, "") {
        Err(_) => Ok(None),
        Ok(_) => Table::open(name, column).map(Some),
    }
}
