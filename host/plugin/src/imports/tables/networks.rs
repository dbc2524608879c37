//! Finds the longest network of an address by binary search. Knows neither files nor entries.

/// Networks that can contain each other, cut into ranges that do not overlap.
#[derive(Default)]
pub(super) struct Networks {
    /// The first address of each range, in order. A range ends before the next one.
    starts: Vec<u128>,
    /// The row of each range.
    rows: Vec<u32>,
}

/// The row of a range that is in no network.
const NO_ROW: u32 = u32::MAX;

/// A network: its first and last address, and its row in the table.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Network {
    pub(super) first: u128,
    pub(super) last: u128,
    pub(super) row: u32,
}

impl Networks {
    /// Cuts networks into ranges. Networks are made from prefixes: of two networks that share an address, one contains the other.
    ///
    /// # Errors
    /// If two networks are the same: their rows.
    pub(super) fn new(mut networks: Vec<Network>) -> Result<Self, [u32; 2]> {
        // A network before those that it contains.
        networks.sort_unstable_by_key(|it| (it.first, !it.last, it.row));
        for pair in networks.windows(2) {
            if (pair[0].first, pair[0].last) == (pair[1].first, pair[1].last) {
                return Err([pair[0].row, pair[1].row]);
            }
        }
        let mut ranges = Self::default();
        let mut enclosing: Vec<Network> = Vec::new();
        for network in networks {
            while let Some(inner) = enclosing.pop_if(|it| it.last < network.first) {
                ranges.end(inner, &enclosing);
            }
            ranges.begin(network.first, network.row);
            enclosing.push(network);
        }
        while let Some(inner) = enclosing.pop() {
            ranges.end(inner, &enclosing);
        }
        ranges.starts.shrink_to_fit();
        ranges.rows.shrink_to_fit();
        Ok(ranges)
    }

    fn end(&mut self, inner: Network, enclosing: &[Network]) {
        // No range begins after the very last address.
        if let Some(next) = inner.last.checked_add(1) {
            self.begin(next, enclosing.last().map_or(NO_ROW, |outer| outer.row));
        }
    }

    fn begin(&mut self, start: u128, row: u32) {
        // A range that begins where another begins replaces it.
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.rows.pop();
        }
        self.starts.push(start);
        self.rows.push(row);
    }

    pub(super) fn find(&self, address: u128) -> Option<u32> {
        let after = self.starts.partition_point(|&start| start <= address);
        let row = *self.rows.get(after.checked_sub(1)?)?;
        (row != NO_ROW).then_some(row)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(address: u128, bits: u32, row: u32) -> Network {
        let hosts = u128::MAX.checked_shr(bits).unwrap_or(0);
        Network {
            first: address & !hosts,
            last: address | hosts,
            row,
        }
    }

    #[test]
    fn a_duplicate_is_an_error() {
        let networks = vec![network(7, 128, 0), network(8, 120, 1), network(9, 120, 2)];
        assert_eq!(Networks::new(networks).err(), Some([1, 2]));
    }

    proptest! {
        /// The addresses have few different bits, so that networks often contain each other.
        #[test]
        fn the_longest_is_found(
            all in prop::collection::vec((0_u128..16, prop_oneof![0_u32..=4, 124_u32..=128], any::<bool>()), 0..30),
            low in 0_u128..16, high in 0_u128..16,
        ) {
            let mut networks: Vec<Network> = Vec::new();
            for (row, (address, bits, is_high)) in all.into_iter().enumerate() {
                let address = if is_high { address << 124 | 0xf } else { address };
                let new = network(address, bits, row as u32);
                if networks.iter().all(|it| (it.first, it.last) != (new.first, new.last)) {
                    networks.push(new);
                }
            }
            let ranges = Networks::new(networks.clone()).unwrap();
            for address in [low, high << 124, high << 124 | low, u128::MAX] {
                let expected = networks
                    .iter()
                    .filter(|it| it.first <= address && address <= it.last)
                    .min_by_key(|it| it.last - it.first);
                prop_assert_eq!(ranges.find(address), expected.map(|it| it.row));
            }
        }
    }
}
