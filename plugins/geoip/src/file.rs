//! A file of the user's own, MaxMind's MMDB or CSV, that lightmon looks addresses up in. Opens it; what is in it is the user's.

use std::{borrow::Cow, net::IpAddr};

use lightmon_plugin::table::Table;

/// The name that it is granted by.
pub(crate) const TABLE: &str = "country";

/// Columns in MMDB, and in CSV.
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

/// What is known of an address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) code: Option<Cow<'static, str>>,
    pub(crate) name: Option<Cow<'static, str>>,
    pub(crate) city: Option<Cow<'static, str>>,
}

impl File {
    /// The file, if the user has granted one.
    ///
    /// # Errors
    /// When it is none of countries, or none of cities though these are wanted: another answer than the user's own file gives
    /// is not what they asked for.
    pub(crate) fn open(city: bool) -> Result<Option<Self>, String> {
        if Table::open(TABLE, "").is_err() {
            return if city {
                Err(format!(
                    "setting `city`: grant a file that knows cities: table.{TABLE}=FILE"
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

    /// What it says of each address.
    pub(crate) fn places(&self, addresses: &[IpAddr]) -> Vec<Place> {
        let lookup = |table: Option<Table>| {
            let found = table
                .map(|table| table.lookup_ip(addresses))
                .unwrap_or_default();
            found.into_iter().chain(std::iter::repeat(None))
        };
        let (names, cities) = (lookup(self.name), lookup(self.city));
        let codes = self.code.lookup_ip(addresses).into_iter();
        let rows = codes.zip(names).zip(cities);
        rows.map(|((code, name), city)| Place {
            code: code.map(Cow::from),
            name: name.map(Cow::from),
            city: city.map(Cow::from),
        })
        .collect()
    }
}

/// The first of the columns that is there.
fn column([first, second]: [&str; 2]) -> Result<Table, String> {
    Table::open(TABLE, first).or_else(|problem| {
        Table::open(TABLE, second)
            .map_err(|_| format!("{problem}; nor `{second}`, which would do in CSV"))
    })
}
