//! The host functions of the test harness: tables, store, counters and log. Applies the limits of lightmon that a plugin can
//! observe.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use crate::log::Level;

/// Maximum size of all keys and values together.
const MAX_KV_BYTES: usize = 1 << 20;

/// Maximum number of counters.
const MAX_COUNTERS: usize = 64;

/// The state of the host for one plugin.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) tables: BTreeMap<String, Csv>,
    /// Table and column of each handle, which is an index.
    opened: Vec<(String, Option<usize>)>,
    pub(crate) kv: BTreeMap<String, String>,
    pub(crate) counters: BTreeMap<String, u64>,
    pub(crate) logged: Vec<(Level, String)>,
}

std::thread_local! {
    /// The host of the running plugin. Outside of a harness, the thread has a host of its own.
    static CURRENT: RefCell<Host> = RefCell::default();
}

impl Host {
    /// Runs a plugin's code with this host.
    pub(crate) fn serve<T>(&mut self, run: impl FnOnce() -> T) -> T {
        /// Restores the previous host, also if the plugin panics: the thread may run another test afterwards.
        struct RestoreOnDrop<'a>(&'a mut Host);
        impl Drop for RestoreOnDrop<'_> {
            fn drop(&mut self) {
                CURRENT.with_borrow_mut(|current| std::mem::swap(current, self.0));
            }
        }
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, self));
        let _restore = RestoreOnDrop(self);
        run()
    }

    /// Closes the tables that a replaced instance had opened.
    pub(crate) fn close_tables(&mut self) {
        self.opened.clear();
    }

    fn lookup<'a, T>(
        &self,
        table: u32,
        keys: &'a [T],
        row: impl Fn(&Csv, &'a T) -> Option<usize>,
    ) -> Vec<Option<String>> {
        let (name, column) = &self.opened[table as usize];
        let csv = &self.tables[name];
        keys.iter()
            .map(|key| row(csv, key).and_then(|row| csv.entry(row, *column)))
            .collect()
    }
}

/// A table as CSV without quotes. The first line names the columns. The first cell of each further line is an address, a
/// network or a host name.
#[derive(Debug)]
pub(crate) struct Csv {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Csv {
    pub(crate) fn parse(text: &str) -> Self {
        let cells = |line: &str| line.split(',').map(|cell| cell.trim().to_owned()).collect();
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        Self {
            columns: lines.next().map(cells).unwrap_or_default(),
            rows: lines.map(cells).collect(),
        }
    }

    /// The row of the longest network that contains the address.
    fn by_address(&self, address: Ipv6Addr) -> Option<usize> {
        let prefixes = self.rows.iter().map(|row| {
            let (network, bits) = network(row.first()?)?;
            let host = u128::MAX.checked_shr(bits).unwrap_or(0);
            (network.to_bits() | host == address.to_bits() | host).then_some(bits)
        });
        longest(prefixes)
    }

    /// The row of the name, or else of its longest parent domain.
    fn by_name(&self, name: &str) -> Option<usize> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let lengths = self.rows.iter().map(|row| {
            let entry = row.first()?.trim_end_matches('.').to_ascii_lowercase();
            let rest = name.strip_suffix(&*entry)?;
            (rest.is_empty() || rest.ends_with('.')).then_some(entry.len())
        });
        longest(lengths)
    }

    /// A cell, or all cells of the row except the first, as JSON.
    fn entry(&self, row: usize, column: Option<usize>) -> Option<String> {
        let row = &self.rows[row];
        match column {
            Some(column) => row.get(column).filter(|cell| !cell.is_empty()).cloned(),
            None => {
                let cells = self.columns.iter().zip(row).skip(1);
                let all: serde_json::Map<_, _> = cells
                    .map(|(column, cell)| (column.clone(), cell.as_str().into()))
                    .collect();
                Some(serde_json::Value::Object(all).to_string())
            }
        }
    }
}

fn longest<T: Ord>(lengths: impl Iterator<Item = Option<T>>) -> Option<usize> {
    let found = lengths
        .enumerate()
        .filter_map(|(row, length)| Some((length?, row)));
    found.max().map(|(_, row)| row)
}

/// Parses a network or a single address. Returns the address and the prefix length, out of 128 bits.
fn network(text: &str) -> Option<(Ipv6Addr, u32)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse().ok()?)),
        None => (text, None),
    };
    match address.parse().ok()? {
        IpAddr::V4(address) => Some((address.to_ipv6_mapped(), 96 + prefix.unwrap_or(32))),
        IpAddr::V6(address) => Some((address, prefix.unwrap_or(128))),
    }
}

pub(crate) mod log {
    use super::*;

    pub(crate) fn log(level: u8, text: &str) {
        let level = match level {
            1 => Level::Error,
            2 => Level::Warn,
            3 => Level::Info,
            _ => Level::Debug,
        };
        CURRENT.with_borrow_mut(|host| host.logged.push((level, text.to_owned())));
    }
}

pub(crate) mod counter {
    use super::*;

    pub(crate) fn add(name: &str, delta: u64) {
        CURRENT.with_borrow_mut(|host| {
            let counters = &mut host.counters;
            if counters.len() < MAX_COUNTERS || counters.contains_key(name) {
                let count = counters.entry(name.to_owned()).or_default();
                *count = count.saturating_add(delta);
            }
        });
    }
}

pub(crate) mod kv {
    use super::*;

    pub(crate) fn get(key: &str) -> Option<String> {
        CURRENT.with_borrow(|host| host.kv.get(key).cloned())
    }

    pub(crate) fn set(key: &str, value: &str) -> bool {
        CURRENT.with_borrow_mut(|host| {
            let others = host.kv.iter().filter(|(name, _)| *name != key);
            let others: usize = others.map(|(name, value)| name.len() + value.len()).sum();
            let fits = others + key.len() + value.len() <= MAX_KV_BYTES;
            if fits {
                host.kv.insert(key.to_owned(), value.to_owned());
            }
            fits
        })
    }

    pub(crate) fn delete(key: &str) {
        CURRENT.with_borrow_mut(|host| host.kv.remove(key));
    }
}

pub(crate) mod tables {
    use super::*;
    use crate::bindings::Ip;

    pub(crate) fn open(name: &str, column: &str) -> Result<u32, String> {
        CURRENT.with_borrow_mut(|host| {
            let csv = host
                .tables
                .get(name)
                .ok_or_else(|| format!("table `{name}` was not granted"))?;
            let column = match column {
                "" => None,
                column => match csv.columns.iter().position(|it| it == column) {
                    Some(at) => Some(at),
                    None => return Err(format!("table `{name}` has no column `{column}`")),
                },
            };
            host.opened.push((name.to_owned(), column));
            Ok(u32::try_from(host.opened.len() - 1).expect("invariant: a test opens few tables"))
        })
    }

    pub(crate) fn lookup_ip(table: u32, addresses: &[Ip]) -> Vec<Option<String>> {
        CURRENT.with_borrow(|host| {
            host.lookup(table, addresses, |csv, ip| {
                csv.by_address(Ipv6Addr::from_bits(
                    u128::from(ip.hi) << 64 | u128::from(ip.lo),
                ))
            })
        })
    }

    pub(crate) fn lookup_name(table: u32, names: &[String]) -> Vec<Option<String>> {
        CURRENT.with_borrow(|host| host.lookup(table, names, |csv, name| csv.by_name(name)))
    }
}

#[cfg(test)]
mod tests {
    use crate::{kv, table::Table};

    use super::*;

    fn with_table<T>(csv: &str, run: impl FnOnce() -> T) -> T {
        let mut host = Host::default();
        host.tables.insert("t".into(), Csv::parse(csv));
        host.serve(run)
    }

    #[test]
    fn lookups_prefer_the_longest_entry() {
        let csv = "key,owner,place\n10.0.0.0/8,us,here\n10.1.0.0/16,them,\n2001:db8::/32,six,x\n0.0.0.0/0,all,x\n\
                   example.org,site,x\nwww.Example.org.,page,x\n";
        with_table(csv, || {
            let owner = Table::open("t", "owner").unwrap();
            let addresses = ["10.1.2.3", "10.2.0.1", "2001:db8::1", "1.1.1.1", "::1"]
                .map(|it| it.parse().unwrap());
            let expect = [Some("them"), Some("us"), Some("six"), Some("all"), None];
            assert_eq!(
                owner.lookup_ip(&addresses),
                expect.map(|it| it.map(String::from))
            );
            let names = [
                "www.example.org",
                "a.WWW.example.org.",
                "x.example.org",
                "myexample.org",
            ];
            let expect = [Some("page"), Some("page"), Some("site"), None];
            assert_eq!(
                owner.lookup_name(&names),
                expect.map(|it| it.map(String::from))
            );
            let all = Table::open("t", "").unwrap();
            assert_eq!(
                all.lookup_ip(&addresses[1..2]),
                [Some(r#"{"owner":"us","place":"here"}"#.to_owned())]
            );
            assert_eq!(
                Table::open("t", "x").unwrap_err(),
                "table `t` has no column `x`"
            );
            assert_eq!(
                Table::open("u", "").unwrap_err(),
                "table `u` was not granted"
            );
        });
    }

    #[test]
    fn kv_is_bounded() {
        let mut host = Host::default();
        host.serve(|| {
            assert!(kv::set("a", &"x".repeat(MAX_KV_BYTES - 1)));
            assert!(!kv::set("b", ""));
            assert!(!kv::set("a", &"y".repeat(MAX_KV_BYTES)));
            assert!(
                kv::get("a").unwrap().starts_with('x'),
                "keeps the old value"
            );
            kv::delete("a");
            assert!(kv::set("b", ""));
        });
        assert_eq!(kv::get("b"), None, "another host has another store");
    }
}
