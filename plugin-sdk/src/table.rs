//! Lookup tables that the user grants: `--plugin geoip.wasm:table.country=GeoLite2-Country.mmdb`. lightmon keeps one copy of
//! the file in its memory; the plugin has a handle. Name each table in the manifest, as a [`Permission`](crate::Permission).

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::net::IpAddr;

use crate::{event, host};

/// A column of a granted table.
///
/// Look up many addresses in one call, best all addresses of a batch in [`on_batch`](crate::Plugin::on_batch): the call costs
/// more than the lookup of an address.
///
/// ```
/// use lightmon_plugin::{Actions, Batch, Config, Event, Permission, Plugin, Verdict, table::Table};
///
/// struct Owner(Table);
///
/// impl Plugin for Owner {
///     fn new(config: &Config) -> Result<Self, String> {
///         config.none()?;
///         Table::open("owners", "owner").map(Self)
///     }
///
///     fn on_event(&mut self, event: &Event) -> Verdict {
///         match self.0.lookup_ip(&[event.destination()]).pop().flatten() {
///             Some(owner) => Verdict::keep().tag("owner", owner),
///             None => Verdict::keep(),
///         }
///     }
/// }
///
/// lightmon_plugin::register!(
///     Owner,
///     permissions: &[Permission { table: "owners", why: "owners of networks: CSV with the column `owner`", optional: false }],
/// );
///
/// // In its tests, tables are CSV:
/// use lightmon_plugin::test::{Harness, event};
/// let owners = "network,owner\n10.0.0.0/8,us\n10.1.0.0/16,them\n";
/// let mut plugin = Harness::<Owner>::with_tables("{}", &[("owners", owners)]).unwrap();
/// let verdict = plugin.event(event().destination("10.1.0.1:443"));
/// assert_eq!(verdict, Verdict::keep().tag("owner", "them"));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Table(u32);

impl Table {
    /// Opens a granted table. `column` selects the value of a lookup: a path such as `country/iso_code` in MaxMind's MMDB,
    /// a column name in CSV. If `column` is empty, a lookup returns the whole entry as JSON.
    ///
    /// # Errors
    /// If the user did not grant the table, or if the table has no such column.
    pub fn open(name: &str, column: &str) -> Result<Self, String> {
        host::tables::open(name, column).map(Self)
    }

    /// Returns the entry of the longest matching network for each address, in the order of `addresses`.
    pub fn lookup_ip(&self, addresses: &[IpAddr]) -> Vec<Option<String>> {
        let addresses: Vec<_> = addresses.iter().copied().map(event::ip).collect();
        host::tables::lookup_ip(self.0, &addresses)
    }

    /// Returns the entry of each name, or else the entry of its longest parent domain. Case is ignored.
    pub fn lookup_name(&self, names: &[&str]) -> Vec<Option<String>> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        host::tables::lookup_name(self.0, &names)
    }
}
