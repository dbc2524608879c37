//! Look-up files that the user has granted: `--plugin geoip.wasm:table.country=GeoLite2-Country.mmdb`. They are in lightmon's
//! memory, once, and the plugin has a handle. A table that the plugin opens belongs into its manifest, as a
//! [`Permission`](crate::Permission).

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::net::IpAddr;

use crate::{event, host};

/// A column of a granted file.
///
/// Ask for many addresses at once, best for those of a batch in [`on_batch`](crate::Plugin::on_batch): each call costs
/// more than a look-up.
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
///     permissions: &[Permission { table: "owners", why: "who each network belongs to", optional: false }],
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
    /// Opens a table that the user has granted by that name. `column` chooses what a look-up gives: the path in MaxMind's
    /// MMDB (`country/iso_code`), the column's name in CSV; empty is all of it, as JSON.
    ///
    /// # Errors
    /// Why not: no such table was granted, it has no such column.
    pub fn open(name: &str, column: &str) -> Result<Self, String> {
        host::tables::open(name, column).map(Self)
    }

    /// The entry of the longest network that each address is in, in the order of the addresses.
    pub fn lookup_ip(&self, addresses: &[IpAddr]) -> Vec<Option<String>> {
        let addresses: Vec<_> = addresses.iter().copied().map(event::ip).collect();
        host::tables::lookup_ip(self.0, &addresses)
    }

    /// The entry of each name, or else of the longest domain that it is in. Letters match in either case.
    pub fn lookup_name(&self, names: &[&str]) -> Vec<Option<String>> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        host::tables::lookup_name(self.0, &names)
    }
}
