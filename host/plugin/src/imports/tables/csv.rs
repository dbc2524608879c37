//! Reads a table from a CSV file: the first line names the columns, the first column holds addresses, networks or names.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
};

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};
use ipnet::IpNet;
use lightmon_event::escape::printable;

use super::{
    Column, MAX_ENTRY_BYTES,
    networks::{Network, Networks},
};

/// The limit of columns.
const MAX_COLUMNS: usize = 256;

/// The prefix of IPv4-mapped addresses.
const IPV4_MAPPED: u128 = 0xffff << 32;

/// The content of a CSV file.
pub(crate) struct Csv {
    columns: Vec<String>,
    /// The text of all cells, row by row.
    text: String,
    /// The end of each cell in `text`.
    cell_ends: Vec<usize>,
    /// Separate from IPv6, since `::/0` does not include IPv4.
    v4: Networks,
    v6: Networks,
    /// The row of each name, in lower case.
    names: HashMap<Box<str>, u32>,
}

enum Key {
    Network(Network),
    Name(Box<str>),
}

impl Csv {
    pub(super) fn new(bytes: &[u8]) -> Result<Self, String> {
        let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(bytes);
        let columns = columns(reader.headers().map_err(|error| with_line(&error, bytes))?)?;
        let mut csv = Self {
            columns,
            text: String::with_capacity(bytes.len()),
            cell_ends: Vec::new(),
            v4: Networks::default(),
            v6: Networks::default(),
            names: HashMap::new(),
        };
        let (mut v4, mut v6, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        let mut record = StringRecord::new();
        while reader
            .read_record(&mut record)
            .map_err(|error| with_line(&error, bytes))?
        {
            let line = record.position().map_or(0, |at| line(at, bytes));
            let row = u32::try_from(lines.len()).map_err(|_| "has too many lines".to_owned())?;
            lines.push(line);
            match key(&record[0], row).map_err(|error| format!("line {line}: {error}"))? {
                Key::Network(network) if is_v4(network.first) && is_v4(network.last) => {
                    v4.push(network)
                }
                Key::Network(network) => v6.push(network),
                Key::Name(name) => match csv.names.entry(name) {
                    Entry::Vacant(entry) => drop(entry.insert(row)),
                    Entry::Occupied(entry) => {
                        return Err(duplicate(&record[0], &lines, [*entry.get(), row]));
                    }
                },
            }
            for cell in &record {
                csv.text.push_str(cell);
                csv.cell_ends.push(csv.text.len());
            }
        }
        let networks = |networks| {
            Networks::new(networks).map_err(|rows| duplicate(csv.cell(rows[1], 0), &lines, rows))
        };
        (csv.v4, csv.v6) = (networks(v4)?, networks(v6)?);
        Ok(csv)
    }

    /// The index of a column.
    pub(super) fn column(&self, name: &str) -> Result<usize, String> {
        let at = self.columns.iter().position(|column| column == name);
        at.ok_or_else(|| {
            let (name, columns) = (printable(name), printable(&self.columns.join(", ")));
            format!("no column `{name}`; there are {columns}")
        })
    }

    pub(super) fn find_address(&self, address: u128, column: &Column) -> Option<String> {
        let networks = if is_v4(address) { &self.v4 } else { &self.v6 };
        self.entry(networks.find(address)?, column)
    }

    pub(super) fn find_name(&self, name: &str, column: &Column) -> Option<String> {
        let name = canonical(name)?;
        let mut domain = &*name;
        loop {
            if let Some(&row) = self.names.get(domain) {
                return self.entry(row, column);
            }
            (_, domain) = domain.split_once('.')?;
        }
    }

    fn cell(&self, row: u32, column: usize) -> &str {
        let at = row as usize * self.columns.len() + column;
        let start = at.checked_sub(1).map_or(0, |before| self.cell_ends[before]);
        &self.text[start..self.cell_ends[at]]
    }

    /// `None` for an empty cell or an entry that is too large.
    fn entry(&self, row: u32, column: &Column) -> Option<String> {
        let text = match column {
            Column::Index(column) => self.cell(row, *column).to_owned(),
            Column::All => {
                let mut json = String::from("{");
                for (i, name) in self.columns.iter().enumerate() {
                    let [name, cell] = [name, self.cell(row, i)]
                        .map(|text| serde_json::Value::from(text).to_string());
                    let comma = if i > 0 { "," } else { "" };
                    json.push_str(&format!("{comma}{name}:{cell}"));
                }
                json + "}"
            }
            Column::Path(_) => return None,
        };
        (1..=MAX_ENTRY_BYTES).contains(&text.len()).then_some(text)
    }
}

fn columns(header: &StringRecord) -> Result<Vec<String>, String> {
    if header.is_empty() {
        return Err("is empty: its first line must name the columns".to_owned());
    }
    if header.len() > MAX_COLUMNS {
        return Err(format!("line 1: more than {MAX_COLUMNS} columns"));
    }
    let mut columns: Vec<String> = Vec::new();
    for name in header {
        if name.is_empty() {
            return Err(format!("line 1: column {} has no name", columns.len() + 1));
        }
        if columns.iter().any(|column| column == name) {
            return Err(format!(
                "line 1: two columns are called `{}`",
                printable(name)
            ));
        }
        columns.push(name.to_owned());
    }
    Ok(columns)
}

fn key(text: &str, row: u32) -> Result<Key, String> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => match text.parse::<IpNet>() {
            Ok(network) if network.trunc() == network => network,
            Ok(network) => {
                return Err(format!(
                    "`{}` is not a network: did you mean {}?",
                    printable(text),
                    network.trunc()
                ));
            }
            Err(_) => {
                let is_number = |c: char| c.is_ascii_digit() || c == '.';
                let name = canonical(text)
                    .filter(|name| !name.contains(['/', ':']) && !name.chars().all(is_number));
                return name.map(|name| Key::Name(name.into())).ok_or_else(|| {
                    format!("`{}` is not an address, network or name", printable(text))
                });
            }
        },
    };
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => IPV4_MAPPED | u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    Ok(Key::Network(Network {
        first: bits(network.network()),
        last: bits(network.broadcast()),
        row,
    }))
}

fn is_v4(address: u128) -> bool {
    Ipv6Addr::from_bits(address).to_ipv4_mapped().is_some()
}

/// The name in lower case and without the dot at the end. `None` if it can't be a name.
fn canonical(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    (1..=253).contains(&name.len()).then(|| name.to_lowercase())
}

fn duplicate(key: &str, lines: &[u64], rows: [u32; 2]) -> String {
    let [first, second] = rows.map(|row| lines[row as usize]);
    format!(
        "line {second}: `{}` is already on line {first}",
        printable(key)
    )
}

/// The line of a record, counted from 1. The reader's position is before the empty lines that it skips.
fn line(at: &csv::Position, bytes: &[u8]) -> u64 {
    let from = usize::try_from(at.byte()).unwrap_or(usize::MAX);
    let rest = bytes.get(from..).unwrap_or_default();
    let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    at.line() + empty.filter(|byte| **byte == b'\n').count() as u64
}

/// The text of an error, with its line.
fn with_line(error: &csv::Error, bytes: &[u8]) -> String {
    let text = match error.kind() {
        ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            format!("{len} fields, but {expected_len} columns")
        }
        ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
        _ => printable(&error.to_string()),
    };
    match error.position() {
        Some(at) => format!("line {}: {text}", line(at, bytes)),
        None => text,
    }
}

#[cfg(test)]
mod tests;
