//! A file that the user grants, in MaxMind's MMDB format or CSV. lightmon reads the file and looks up addresses in it.

use std::{borrow::Cow, net::IpAddr};

use lightmon_plugin::table::Table;

/// The name of the table, as in `table.country=FILE`.
pub(crate) const TABLE: &str = "country";

/// Columns: the path in MMDB, and the name in CSV.
const CODE: [&str; 2] = ["country/iso_code", "country"];
const NAME: [&str; 2] = ["country/names/en", "country_name"];
const CITY: [&str; 2] = ["city/names/en", "city"];

/// The columns of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct File {
    code: Table,
    name: Option<Table>,
    city: Option<Table>,
}

/// The location of an address, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Location {
    pub(crate) code: Option<Cow<'static, str>>,
    pub(crate) name: Option<Cow<'static, str>>,
    pub(crate) city: Option<Cow<'static, str>>,
}

impl File {
    /// Opens the file, if the user granted one.
    ///
    /// # Errors
    /// If the file has no column of country codes, or no column of cities although the setting `city` requires one. The plugin
    /// does not fall back to the built-in table, because the user chose the file.
    pub(crate) fn open(city: bool) -> Result<Option<Self>, String> {
        if Table::open(TABLE, "").is_err() {
            return if city {
                Err(format!(
                    "setting `city`: needs a file that contains cities: table.{TABLE}=FILE"
                ))
            } else {
                Ok(None)
            };
        }
        Ok(Some(Self {
            code: column(CODE)?,
            name: column(NAME).ok(),
            city: if city { Some(column(CITY)?) } else { None },
        }))
    }

    /// The location of each address.
    pub(crate) fn locations(&self, addresses: &[IpAddr]) -> Vec<Location> {
        let lookup = |table: Option<Table>| {
            let found = table
                .map(|table| table.lookup_ip(addresses))
                .unwrap_or_default();
            found.into_iter().chain(std::iter::repeat(None))
        };
        let (names, cities) = (lookup(self.name), lookup(self.city));
        let codes = self.code.lookup_ip(addresses).into_iter();
        let rows = codes.zip(names).zip(cities);
        rows.map(|((code, name), city)| Location {
            code: code.map(Cow::from),
            name: name.map(Cow::from),
            city: city.map(Cow::from),
        })
        .collect()
    }
}

/// Opens the first of the two columns that exists.
fn column([first, second]: [&str; 2]) -> Result<Table, String> {
    Table::open(TABLE, first).or_else(|problem| {
        Table::open(TABLE, second)
            .map_err(|_| format!("{problem}, and no column `{second}` as in CSV"))
    })
}
