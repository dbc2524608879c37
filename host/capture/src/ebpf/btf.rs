//! Finds the offset of a structure member in BTF, the type information of the kernel. Reads nothing else.
//!
//! Does not trust the bytes: whatever does not fit the format is `None`, never a panic. Format: Documentation/bpf/btf.rst.

use std::collections::HashMap;

const MAGIC: u16 = 0xeb9f;

// enum of include/uapi/linux/btf.h
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
/// TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG: modifiers, which refer to another type.
const MODIFIERS: [u32; 5] = [8, 9, 10, 11, 18];

/// Maximum number of modifiers in a row; a real kernel has a few.
const MAX_MODIFIERS: usize = 16;

/// Maximum number of structures searched for one member, including anonymous ones; a real kernel has some dozens. Bytes that are not
/// valid BTF can describe structures that contain each other, without an end.
const MAX_STRUCTURES: u32 = 1000;

/// An index of the types in BTF.
pub(crate) struct Btf<'a> {
    strings: &'a [u8],
    types: &'a [u8],
    /// Position of each type in `types`. The id of a type is its index here + 1.
    starts: Vec<u32>,
    /// The ids of the requested structures and unions, by name.
    structures: HashMap<&'a [u8], u32>,
}

/// The head that each type begins with, `struct btf_type`.
struct Head {
    kind: u32,
    members: usize,
    /// Whether member offsets have a bit-field size in their upper byte.
    has_bit_fields: bool,
    /// For a modifier: the id of the type that it refers to.
    refers_to: u32,
    /// Position of the body, which follows the head.
    body: usize,
}

impl<'a> Btf<'a> {
    /// Indexes all types, and finds the structures and unions of these names.
    pub(crate) fn parse(bytes: &'a [u8], names: &[&str]) -> Option<Self> {
        if u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?) != MAGIC {
            return None;
        }
        let header = u32_at(bytes, 4)? as usize;
        let section = |at: usize| -> Option<&'a [u8]> {
            let start = header.checked_add(u32_at(bytes, at)? as usize)?;
            bytes.get(start..start.checked_add(u32_at(bytes, at + 4)? as usize)?)
        };
        let mut btf = Self {
            types: section(8)?,
            strings: section(16)?,
            starts: Vec::new(),
            structures: HashMap::new(),
        };
        btf.index(names)?;
        Some(btf)
    }

    fn index(&mut self, names: &[&str]) -> Option<()> {
        let mut at = 0;
        while at < self.types.len() {
            self.starts.push(u32::try_from(at).ok()?);
            let id = u32::try_from(self.starts.len()).ok()?;
            let head = self.head(at)?;
            if matches!(head.kind, KIND_STRUCT | KIND_UNION) {
                let name = u32_at(self.types, at)?;
                if names.iter().any(|wanted| self.is_string(name, wanted)) {
                    // If a name is defined twice, the first definition is that of the core kernel.
                    let name = self.string(name)?;
                    self.structures.entry(name).or_insert(id);
                }
            }
            at = head.body.checked_add(body_len(head.kind, head.members)?)?;
        }
        // The body of the last type must not be cut.
        (at == self.types.len()).then_some(())
    }

    /// Offset in bytes of a member such as `f_path.dentry`. `None` if there is no such member, or if it is a bit field.
    pub(crate) fn offset_of(&self, structure: &str, path: &str) -> Option<u32> {
        let mut id = *self.structures.get(structure.as_bytes())?;
        let mut offset = 0u32;
        for name in path.split('.') {
            let mut budget = MAX_STRUCTURES;
            let (bits, member) = self.member(id, name.as_bytes(), &mut budget)?;
            offset = offset.checked_add(bits.is_multiple_of(8).then_some(bits / 8)?)?;
            id = member;
        }
        Some(offset)
    }

    /// Offset in bits and type id of a member. Searches anonymous structures and unions inside, at most `budget` of them.
    fn member(&self, id: u32, name: &[u8], budget: &mut u32) -> Option<(u32, u32)> {
        let structure = self.resolve(id)?;
        if !matches!(structure.kind, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        *budget = budget.checked_sub(1)?;
        (0..structure.members).find_map(|i| {
            let at = structure.body + i * 12;
            let (member, offset) = (u32_at(self.types, at + 4)?, u32_at(self.types, at + 8)?);
            let (bits, is_bit_field) = match structure.has_bit_fields {
                true => (offset & 0x00ff_ffff, offset >> 24 != 0),
                false => (offset, false),
            };
            match self.string(u32_at(self.types, at)?)? {
                found if found == name => (!is_bit_field).then_some((bits, member)),
                b"" => {
                    let (inner, id) = self.member(member, name, budget)?;
                    Some((bits.checked_add(inner)?, id))
                }
                _ => None,
            }
        })
    }

    /// The type behind modifiers.
    fn resolve(&self, mut id: u32) -> Option<Head> {
        for _ in 0..MAX_MODIFIERS {
            let head = self.head(*self.starts.get(id.checked_sub(1)? as usize)? as usize)?;
            if !MODIFIERS.contains(&head.kind) {
                return Some(head);
            }
            id = head.refers_to;
        }
        None
    }

    fn head(&self, at: usize) -> Option<Head> {
        let info = u32_at(self.types, at + 4)?;
        Some(Head {
            kind: info >> 24 & 0x1f,
            members: (info & 0xffff) as usize,
            has_bit_fields: info >> 31 == 1,
            refers_to: u32_at(self.types, at + 8)?,
            body: at + 12,
        })
    }

    fn is_string(&self, at: u32, text: &str) -> bool {
        let rest = self.strings.get(at as usize..).unwrap_or_default();
        rest.strip_prefix(text.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&0))
    }

    fn string(&self, at: u32) -> Option<&'a [u8]> {
        let rest = self.strings.get(at as usize..)?;
        Some(&rest[..rest.iter().position(|byte| *byte == 0)?])
    }
}

/// Length of the body of a type in bytes.
fn body_len(kind: u32, members: usize) -> Option<usize> {
    Some(match kind {
        2 | 7..=12 | 16 | 18 => 0, // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
        1 | 14 | 17 => 4,          // INT, VAR, DECL_TAG
        3 => 12,                   // ARRAY
        4 | 5 | 15 | 19 => members * 12, // STRUCT, UNION, DATASEC, ENUM64
        6 | 13 => members * 8,     // ENUM, FUNC_PROTO
        _ => return None,
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `struct outer { int a; const struct { union { int b; int c; }; }; struct named d; int e:3; }`,
    /// `struct named { int f; int g; }`.
    fn sample() -> Vec<u8> {
        let strings = b"\0int\0outer\0a\0b\0c\0named\0d\0f\0g\0e\0";
        let name = |text: &str| {
            let wanted = [b"\0", text.as_bytes(), b"\0"].concat();
            strings
                .windows(wanted.len())
                .position(|window| window == wanted)
                .unwrap() as u32
                + 1
        };
        let structure = |kind: u32, flag: u32, n: u32| flag << 31 | kind << 24 | n;
        let types = [
            vec![name("int"), 1 << 24, 4, 32], // 1
            vec![0, structure(5, 0, 2), 4, name("b"), 1, 0, name("c"), 1, 0], // 2
            vec![0, structure(4, 0, 1), 8, 0, 2, 32], // 3
            vec![0, 10 << 24, 3],              // 4: const
            vec![
                name("named"),
                structure(4, 0, 2),
                8,
                name("f"),
                1,
                0,
                name("g"),
                1,
                32,
            ], // 5
            vec![
                name("outer"),
                structure(4, 1, 4),
                24,
                name("a"),
                1,
                0,
                0,
                4,
                32,
                name("d"),
                5,
                96,
                name("e"),
                1,
                3 << 24 | 160,
            ], // 6
        ]
        .concat();
        let types: Vec<u8> = types.into_iter().flat_map(u32::to_ne_bytes).collect();
        btf_of(&types, strings)
    }

    fn btf_of(types: &[u8], strings: &[u8]) -> Vec<u8> {
        let header = [
            0,
            types.len() as u32,
            types.len() as u32,
            strings.len() as u32,
        ];
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        bytes.extend([24].into_iter().chain(header).flat_map(u32::to_ne_bytes));
        [&bytes, types, strings].concat()
    }

    #[test]
    fn members_are_found_in_anonymous_and_nested_structures() {
        let bytes = sample();
        let btf = Btf::parse(&bytes, &["named", "outer"]).unwrap();
        for (structure, path, offset) in [
            ("outer", "a", Some(0)),
            ("outer", "b", Some(8)),
            ("outer", "c", Some(8)),
            ("outer", "d", Some(12)),
            ("outer", "d.g", Some(16)),
            ("outer", "e", None), // a bit field
            ("outer", "g", None),
            ("outer", "a.f", None),
            ("nobody", "a", None),
            ("name", "f", None),
        ] {
            assert_eq!(btf.offset_of(structure, path), offset, "{structure}.{path}");
        }
    }

    /// Found by fuzzing: a structure that contains itself a hundred times.
    #[test]
    fn search_of_a_structure_that_contains_itself_ends() {
        let strings = b"\0s\0";
        let structure = [vec![1, KIND_STRUCT << 24 | 100, 8], [0, 1, 0].repeat(100)].concat();
        let types: Vec<u8> = structure.into_iter().flat_map(u32::to_ne_bytes).collect();
        let bytes = btf_of(&types, strings);
        let btf = Btf::parse(&bytes, &["s"]).unwrap();
        assert_eq!(btf.offset_of("s", "a"), None);
    }

    proptest! {
        #[test]
        fn damaged_bytes_never_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
            let mut bytes = sample();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
                if let Some(btf) = Btf::parse(bytes, &["outer"]) {
                    let _ = btf.offset_of("outer", "d.g");
                    let _ = btf.offset_of("outer", "c");
                }
            }
        }
    }
}
