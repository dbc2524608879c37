//! Searches the table of address ranges, which gives an index for each address. IPv4 addresses are at ::ffff:0:0/96.
//!
//! `data/make.py` writes the table, `data/ranges.bin`. A search needs no unpacking: first a binary search over the heads of blocks,
//! then a linear search in one block. All numbers are little-endian.
//!
//! ```text
//! blocks    u32: the number of blocks
//! heads     u128 for each block: the first address of its first range
//! offsets   u32 for each block: its position in `entries`
//! entries   for each block: the country's index of the first range (1 byte; 0 means none),
//!           then a step and an index for each further range. A block has 32 ranges, the
//!           last block may have fewer
//! step      the distance between the starts of two ranges, odd << zeros:
//!           1 byte: zeros, and 0x80 if odd is greater than 1; then odd >> 1 as LEB128
//! ```
//!
//! The length of most ranges is a power of two, so most steps take one byte. A range takes 2.7 bytes; in the text file it takes 38.

/// Number of ranges in a block.
const RANGES_PER_BLOCK: usize = 32;

static RANGES: &[u8] = include_bytes!("../../data/ranges.bin");

/// The index of the country of an address; 0 means none.
pub(crate) fn find(address: u128) -> Option<u8> {
    let (heads, offsets, entries) = parts()?;
    let block = heads
        .partition_point(|head| u128::from_le_bytes(*head) <= address)
        .checked_sub(1)?;
    let mut rest = address - u128::from_le_bytes(heads[block]);
    let mut entries = entries.get(u32::from_le_bytes(offsets[block]) as usize..)?;
    let mut index = byte(&mut entries)?;
    for _ in 1..RANGES_PER_BLOCK {
        // Only the last block may have fewer ranges.
        let Some(distance) = step(&mut entries) else {
            break;
        };
        let Some(beyond) = rest.checked_sub(distance) else {
            break;
        };
        rest = beyond;
        index = byte(&mut entries)?;
    }
    Some(index)
}

type Parts = (&'static [[u8; 16]], &'static [[u8; 4]], &'static [u8]);

fn parts() -> Option<Parts> {
    let (blocks, rest) = RANGES.split_first_chunk()?;
    let blocks = u32::from_le_bytes(*blocks) as usize;
    let (heads, rest) = rest.split_at_checked(blocks * 16)?;
    let (offsets, entries) = rest.split_at_checked(blocks * 4)?;
    Some((heads.as_chunks().0, offsets.as_chunks().0, entries))
}

fn byte(entries: &mut &[u8]) -> Option<u8> {
    entries.split_off_first().copied()
}

fn step(entries: &mut &[u8]) -> Option<u128> {
    let first = byte(entries)?;
    let mut odd = 1;
    if first & 0x80 != 0 {
        for shift in (1..128).step_by(7) {
            let next = byte(entries)?;
            odd |= u128::from(next & 0x7f) << shift;
            if next & 0x80 == 0 {
                break;
            }
        }
    }
    Some(odd << (first & 0x7f))
}

/// The whole table in order: first address and index of each range.
#[cfg(test)]
pub(crate) fn borders() -> impl Iterator<Item = (u128, u8)> {
    let (heads, offsets, all) = parts().unwrap();
    heads.iter().zip(offsets).flat_map(move |(head, offset)| {
        let mut address = u128::from_le_bytes(*head);
        let mut entries = &all[u32::from_le_bytes(*offset) as usize..];
        let mut block = vec![(address, byte(&mut entries).unwrap())];
        while let Some(distance) = (block.len() < RANGES_PER_BLOCK)
            .then(|| step(&mut entries))
            .flatten()
        {
            address = address.checked_add(distance).unwrap();
            block.push((address, byte(&mut entries).unwrap()));
        }
        block
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_each_other() {
        let (heads, offsets, entries) = parts().unwrap();
        assert!(heads.len() > 20_000, "{}", heads.len());
        assert!(
            heads
                .iter()
                .map(|it| u128::from_le_bytes(*it))
                .is_sorted_by(|a, b| a < b)
        );
        let mut at = 0;
        for offset in offsets {
            assert_eq!(u32::from_le_bytes(*offset) as usize, at);
            let mut rest = &entries[at..];
            byte(&mut rest).unwrap();
            for _ in 1..RANGES_PER_BLOCK {
                if step(&mut rest).is_none() {
                    break;
                }
                byte(&mut rest).unwrap();
            }
            at = entries.len() - rest.len();
        }
        assert_eq!(at, entries.len());
    }

    /// The ranges start at 0, are sorted, and neighbours have different countries. A search finds the right country on both sides
    /// of each border.
    #[test]
    fn every_border_is_found() {
        let mut before = None;
        let mut count = 0;
        for (address, index) in borders() {
            match before {
                None => assert_eq!((address, index), (0, 0)),
                Some((earlier, other)) => {
                    assert!(earlier < address, "{address:x}");
                    assert_ne!(other, index, "{address:x}");
                    assert_eq!(find(address - 1), Some(other), "{address:x} - 1");
                }
            }
            assert_eq!(find(address), Some(index), "{address:x}");
            before = Some((address, index));
            count += 1;
        }
        assert!(count > 600_000, "{count}");
        assert_eq!(find(u128::MAX), Some(0));
    }

    #[test]
    fn steps_are_decoded() {
        for (mut bytes, expect) in [
            (&[0u8][..], Some(1)),
            (&[127], Some(1 << 127)),
            (&[0x80, 1], Some(3)),
            (&[0x80 | 8, 0x7f], Some(255 << 8)),
            (&[0x80, 0x80, 1], Some(257)),
            (&[], None),
            (&[0x80], None),
        ] {
            assert_eq!(step(&mut bytes), expect);
        }
    }
}
