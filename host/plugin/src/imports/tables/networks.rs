//! The longest network that an address is in, by one binary search. Knows neither files nor entries.

/// Networks that may lie in each other, cut into ranges that don't.
#[derive(Default)]
pub(super) struct Networks {
    /// Where each range begins, in order; it ends where the next begins.
    starts: Vec<u128>,
    /// What each range belongs to.
    rows: Vec<u32>,
}

/// Belongs to no network.
const NONE: u32 = u32::MAX;

/// One network: its first and its last address, and what it belongs to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Network {
    pub(super) first: u128,
    pub(super) last: u128,
    pub(super) row: u32,
}

impl Networks {
    /// Takes networks as prefixes make them: of two that share an address one lies in the other.
    ///
    /// # Errors
    /// When two are the same: their rows.
    pub(super) fn new(mut networks: Vec<Network>) -> Result<Self, [u32; 2]> {
        // The outer one before those that lie in it.
        networks.sort_unstable_by_key(|it| (it.first, !it.last, it.row));
        for pair in networks.windows(2) {
            if (pair[0].first, pair[0].last) == (pair[1].first, pair[1].last) {
                return Err([pair[0].row, pair[1].row]);
            }
        }
        let mut ranges = Self::default();
        let mut around: Vec<Network> = Vec::new();
        for network in networks {
            while let Some(inner) = around.pop_if(|it| it.last < network.first) {
                ranges.leave(inner, &around);
            }
            ranges.begin(network.first, network.row);
            around.push(network);
        }
        while let Some(inner) = around.pop() {
            ranges.leave(inner, &around);
        }
        ranges.starts.shrink_to_fit();
        ranges.rows.shrink_to_fit();
        Ok(ranges)
    }

    fn leave(&mut self, inner: Network, around: &[Network]) {
        // After the last address of all nothing begins.
        if let Some(next) = inner.last.checked_add(1) {
            self.begin(next, around.last().map_or(NONE, |outer| outer.row));
        }
    }

    fn begin(&mut self, start: u128, row: u32) {
        // What ends where another begins has left nothing in between.
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
        (row != NONE).then_some(row)
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
    fn twice_the_same_is_an_error() {
        let twice = vec![network(7, 128, 0), network(8, 120, 1), network(9, 120, 2)];
        assert_eq!(Networks::new(twice).err(), Some([1, 2]));
    }

    proptest! {
        /// Few bits at both ends, so that they lie in each other often.
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
