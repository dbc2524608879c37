//! Reads a table from a MaxMind DB file. The library limits the cost of a damaged or hostile file; this module limits the entries.

use std::{
    fmt,
    net::Ipv6Addr,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use lightmon_event::escape::printable;
use maxminddb::{PathElement, Reader};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

use super::{Column, MAX_ENTRY_BYTES};

/// The limit of nested maps and lists.
const MAX_DEPTH: u32 = 32;

/// The start of the metadata, near the end of the file.
const METADATA_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

pub(super) fn is_mmdb(bytes: &[u8]) -> bool {
    let end = &bytes[bytes.len().saturating_sub(128 << 10)..];
    end.windows(METADATA_MARKER.len())
        .any(|window| window == METADATA_MARKER)
}

/// The content of an MMDB file.
pub(crate) struct Mmdb {
    reader: Reader<Vec<u8>>,
    name: String,
    /// Whether an invalid entry has been logged.
    has_logged: AtomicBool,
}

impl Mmdb {
    pub(super) fn new(path: &Path, bytes: Vec<u8>) -> Result<Self, String> {
        let reader = Reader::from_source(bytes).map_err(|error| {
            format!(
                "is not an MMDB file, or damaged: {}",
                printable(&error.to_string())
            )
        })?;
        Ok(Self {
            reader,
            name: printable(&path.to_string_lossy()),
            has_logged: AtomicBool::new(false),
        })
    }

    pub(super) fn find_address(&self, address: u128, column: &Column) -> Option<String> {
        let address = Ipv6Addr::from_bits(address).to_canonical();
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return None;
        }
        let Column::Path(path) = column else {
            return self.entry(self.reader.lookup(address).and_then(|found| found.decode()));
        };
        let path: Vec<PathElement<'_>> = path.iter().map(|key| element(key)).collect();
        self.entry(
            self.reader
                .lookup(address)
                .and_then(|found| found.decode_path(&path)),
        )
    }

    /// The text of an entry. Logs the first error.
    fn entry(&self, entry: Result<Option<Entry>, maxminddb::MaxMindDbError>) -> Option<String> {
        match entry {
            Ok(entry) => entry.map(|Entry(text)| text),
            Err(error) => {
                if !self.has_logged.swap(true, Relaxed) {
                    let error = printable(&error.to_string());
                    tracing::warn!(table = %self.name, "an entry can't be given to plugins: {error} (logged once)");
                }
                None
            }
        }
    }
}

/// A number is the index in a list.
fn element(key: &str) -> PathElement<'_> {
    match key.parse() {
        Ok(place) => PathElement::Index(place),
        Err(_) => PathElement::Key(key),
    }
}

/// The text of a string, or JSON of any other value.
struct Entry(String);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::new();
        let writer = Writer {
            text: &mut text,
            depth: 0,
        };
        writer.deserialize(deserializer)?;
        Ok(Self(text))
    }
}

struct Writer<'a> {
    text: &'a mut String,
    /// The number of maps and lists around the value.
    depth: u32,
}

impl Writer<'_> {
    fn put<E: Error>(&mut self, text: &str) -> Result<(), E> {
        if self.text.len() + text.len() > MAX_ENTRY_BYTES {
            return Err(E::custom(format_args!(
                "it is larger than {MAX_ENTRY_BYTES} bytes: choose a column"
            )));
        }
        self.text.push_str(text);
        Ok(())
    }

    fn quoted<E: Error>(&mut self, text: &str) -> Result<(), E> {
        if text.len() > MAX_ENTRY_BYTES {
            return self.put(text);
        }
        self.put(&serde_json::Value::from(text).to_string())
    }

    fn inner<E: Error>(&mut self) -> Result<Writer<'_>, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom("it is nested too deeply"));
        }
        Ok(Writer {
            text: self.text,
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Writer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Writer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry")
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        match self.depth {
            0 => self.put(text),
            _ => self.quoted(text),
        }
    }

    fn visit_bool<E: Error>(mut self, it: bool) -> Result<(), E> {
        self.put(if it { "true" } else { "false" })
    }

    fn visit_i64<E: Error>(mut self, number: i64) -> Result<(), E> {
        self.put(&number.to_string())
    }

    fn visit_u64<E: Error>(mut self, number: u64) -> Result<(), E> {
        self.put(&number.to_string())
    }

    fn visit_u128<E: Error>(mut self, number: u128) -> Result<(), E> {
        self.put(&number.to_string())
    }

    fn visit_f64<E: Error>(mut self, number: f64) -> Result<(), E> {
        self.put(&serde_json::Value::from(number).to_string())
    }

    fn visit_bytes<E: Error>(mut self, bytes: &[u8]) -> Result<(), E> {
        let shown = &bytes[..bytes.len().min(MAX_ENTRY_BYTES)];
        let hex: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
        self.quoted(&hex)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        self.put("[")?;
        let mut comma = "";
        loop {
            let before = self.text.len();
            self.put(comma)?;
            if list.next_element_seed(self.inner()?)?.is_none() {
                self.text.truncate(before);
                return self.put("]");
            }
            comma = ",";
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.put("{")?;
        let mut comma = "";
        while let Some(key) = map.next_key::<&str>()? {
            self.put(comma)?;
            self.quoted(key)?;
            self.put(":")?;
            map.next_value_seed(self.inner()?)?;
            comma = ",";
        }
        self.put("}")
    }
}
