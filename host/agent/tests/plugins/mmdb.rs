//! Makes small MaxMind DB files (format 2.0), for addresses of both versions.

/// A value of the format.
pub(crate) enum Value {
    Text(&'static str),
    Number(u32),
    /// The metadata has sizes of its own.
    Short(u16),
    Long(u64),
    Map(Vec<(&'static str, Value)>),
    List(Vec<Value>),
    /// To that place in the data.
    Pointer(u8),
}

use Value::{List, Long, Map, Number, Pointer, Short, Text};

impl Value {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Text(text) => {
                control(2, text.len(), out);
                out.extend(text.bytes());
            }
            Number(number) => {
                control(6, 4, out);
                out.extend(number.to_be_bytes());
            }
            Short(number) => {
                control(5, 2, out);
                out.extend(number.to_be_bytes());
            }
            Long(number) => {
                out.extend([8, 9 - 7]);
                out.extend(number.to_be_bytes());
            }
            Map(pairs) => {
                control(7, pairs.len(), out);
                for (key, value) in pairs {
                    Text(key).write(out);
                    value.write(out);
                }
            }
            List(values) => {
                out.extend([values.len() as u8, 11 - 7]);
                values.iter().for_each(|value| value.write(out));
            }
            Pointer(to) => out.extend([1 << 5, *to]),
        }
    }
}

/// Type and length.
fn control(kind: u8, length: usize, out: &mut Vec<u8>) {
    match length {
        0..29 => out.push(kind << 5 | length as u8),
        29..285 => out.extend([kind << 5 | 29, (length - 29) as u8]),
        _ => out.extend([
            kind << 5 | 30,
            ((length - 285) >> 8) as u8,
            (length - 285) as u8,
        ]),
    }
}

/// The file: networks, of which none lies in another, as the first bits of 128 (an IPv4 address is the last 32, after 0), and what
/// is known of them.
pub(crate) fn file(networks: &[(u128, u32, Value)]) -> Vec<u8> {
    // In a record: 0 nothing, else the number of a node, or of a network from LEAF on.
    const LEAF: usize = 1 << 20;
    let mut nodes = vec![[0_usize; 2]];
    for (i, (address, bits, _)) in networks.iter().enumerate() {
        let mut node = 0;
        for bit in 0..*bits {
            let side = (address >> (127 - bit) & 1) as usize;
            if bit + 1 == *bits {
                nodes[node][side] = LEAF + i;
            } else {
                if nodes[node][side] == 0 {
                    nodes.push([0; 2]);
                    nodes[node][side] = nodes.len() - 1;
                }
                node = nodes[node][side];
            }
        }
    }
    let (mut data, mut places) = (Vec::new(), Vec::new());
    for (.., value) in networks {
        places.push(data.len());
        value.write(&mut data);
    }
    let mut file = Vec::new();
    for record in nodes.iter().flatten() {
        let record = match *record {
            0 => nodes.len(),
            leaf if leaf >= LEAF => nodes.len() + 16 + places[leaf - LEAF],
            node => node,
        };
        file.extend(&(record as u32).to_be_bytes()[1..]);
    }
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    Map(vec![
        ("binary_format_major_version", Short(2)),
        ("binary_format_minor_version", Short(0)),
        ("build_epoch", Long(1)),
        ("database_type", Text("Test")),
        ("description", Map(vec![])),
        ("ip_version", Short(6)),
        ("languages", List(vec![])),
        ("node_count", Number(nodes.len() as u32)),
        ("record_size", Short(24)),
    ])
    .write(&mut file);
    file
}
