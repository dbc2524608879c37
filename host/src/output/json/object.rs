//! Writes a JSON object key by key, straight into the buffer: making an event's line is most of what an event costs.
//! Knows no line: which key holds what is the formats' business.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use serde::Serialize;

use crate::escape;

/// What can stand behind a key.
pub(in crate::output) trait Value {
    /// Appends it.
    fn write(&self, out: &mut Vec<u8>);
}

/// An object that is being written.
pub(in crate::output) struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    /// Appends an object. It is whole once it has [ended](Self::end).
    pub(in crate::output) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self {
            out,
            is_empty: true,
        }
    }

    /// Adds a key, which needs no escapes, and its value.
    pub(in crate::output) fn put(&mut self, key: &str, value: impl Value) {
        let before: &[u8] = if self.is_empty { b"\"" } else { b",\"" };
        self.is_empty = false;
        self.out.extend_from_slice(before);
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        value.write(self.out);
    }

    /// Adds the key, if there is a value for it.
    pub(in crate::output) fn put_some(&mut self, key: &str, value: Option<impl Value>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    pub(in crate::output) fn end(self) {
        self.out.push(b'}');
    }
}

impl<T: Value + ?Sized> Value for &T {
    fn write(&self, out: &mut Vec<u8>) {
        (*self).write(out);
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Value for $number {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(itoa::Buffer::new().format(*self).as_bytes());
            }
        }
    )*};
}

numbers!(u8 u16 u32 u64);

impl Value for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

impl Value for str {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        escape::json_text(self, out);
        out.push(b'"');
    }
}

impl Value for Arc<str> {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
}

impl Value for IpAddr {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        match self {
            Self::V4(address) => ipv4(*address, out),
            Self::V6(address) => {
                write!(out, "{address}").expect("invariant: a Vec takes every write");
            }
        }
        out.push(b'"');
    }
}

fn ipv4(address: Ipv4Addr, out: &mut Vec<u8>) {
    for (i, octet) in address.octets().iter().enumerate() {
        if i > 0 {
            out.push(b'.');
        }
        octet.write(out);
    }
}

/// An array.
impl<T: Value> Value for [T] {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (i, value) in self.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            value.write(out);
        }
        out.push(b']');
    }
}

/// What is seldom there, and as serde has it.
pub(in crate::output) struct Seldom<T>(pub(in crate::output) T);

impl<T: Serialize> Value for Seldom<T> {
    fn write(&self, out: &mut Vec<u8>) {
        super::serialize(&self.0, out);
    }
}
