//! Caches the changes of arguments and labels. A process usually connects more than once, and the search for secrets is most of
//! the plugin's work.

use std::{collections::HashMap, hash::Hash, rc::Rc};

/// Maximum number of cached rows. When the cache is full, it is cleared.
const MAX_ROWS: usize = 512;

/// Maximum size of a row in the cache. Larger rows are not cached.
const MAX_ROW_BYTES: usize = 4 << 10;

/// A cache from a row of `K` (all arguments of a process, or all labels of a container) to its changes `C`.
#[derive(Debug)]
pub(crate) struct ChangeCache<K, C>(HashMap<Box<[K]>, Rc<[C]>>);

impl<K, C> Default for ChangeCache<K, C> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Clone + Eq + Hash, C> ChangeCache<K, C> {
    /// The changes of a row that has `bytes` bytes. Calls `find` if the row is not in the cache.
    pub(crate) fn changes(
        &mut self,
        row: &[K],
        bytes: usize,
        find: impl FnOnce() -> Vec<C>,
    ) -> Rc<[C]> {
        if let Some(cache) = self.0.get(row) {
            return Rc::clone(cache);
        }
        let found: Rc<[C]> = find().into();
        if bytes <= MAX_ROW_BYTES {
            if self.0.len() >= MAX_ROWS {
                self.0.clear();
            }
            self.0.insert(row.into(), Rc::clone(&found));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_row_is_searched_once_and_the_cache_is_bounded() {
        let mut cache = ChangeCache::<String, usize>::default();
        let mut searches = 0;
        let mut changes = |row: &str, bytes| {
            let found = cache.changes(&[row.to_owned()], bytes, || {
                searches += 1;
                vec![row.len()]
            });
            assert_eq!(*found, [row.len()]);
            (searches, cache.0.len())
        };
        assert_eq!(changes("a", 1), (1, 1));
        assert_eq!(changes("a", 1), (1, 1));
        assert_eq!(changes("bb", 2), (2, 2));
        assert_eq!(changes("large", MAX_ROW_BYTES + 1), (3, 2));
        assert_eq!(changes("large", MAX_ROW_BYTES + 1), (4, 2));
        for n in 0..3 * MAX_ROWS {
            assert!(changes(&n.to_string(), 4).1 <= MAX_ROWS);
        }
    }
}
