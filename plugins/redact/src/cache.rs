//! What was found in rows that have come before: a process connects more than once, and looking at its arguments is most of the
//! work.

use std::{collections::HashMap, hash::Hash, rc::Rc};

/// Most rows; when there is one more, all are forgotten.
const MOST: usize = 512;

/// Bytes of text of a row that is remembered.
const LARGEST: usize = 4 << 10;

/// The changes `C` that a row of `K` needs.
#[derive(Debug)]
pub(crate) struct Known<K, C>(HashMap<Box<[K]>, Rc<[C]>>);

impl<K, C> Default for Known<K, C> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Clone + Eq + Hash, C> Known<K, C> {
    /// The changes for that row of so many bytes; `find` finds them, and finds the same in the same row.
    pub(crate) fn changes(
        &mut self,
        row: &[K],
        bytes: usize,
        find: impl FnOnce() -> Vec<C>,
    ) -> Rc<[C]> {
        if let Some(known) = self.0.get(row) {
            return Rc::clone(known);
        }
        let found: Rc<[C]> = find().into();
        if bytes <= LARGEST {
            if self.0.len() >= MOST {
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
    fn the_same_row_is_looked_at_once_and_few_are_remembered() {
        let mut known = Known::<String, usize>::default();
        let mut looked = 0;
        let mut changes = |row: &str, bytes| {
            let found = known.changes(&[row.to_owned()], bytes, || {
                looked += 1;
                vec![row.len()]
            });
            assert_eq!(*found, [row.len()]);
            (looked, known.0.len())
        };
        assert_eq!(changes("a", 1), (1, 1));
        assert_eq!(changes("a", 1), (1, 1));
        assert_eq!(changes("bb", 2), (2, 2));
        assert_eq!(changes("large", LARGEST + 1), (3, 2));
        assert_eq!(changes("large", LARGEST + 1), (4, 2));
        for n in 0..3 * MOST {
            assert!(changes(&n.to_string(), 4).1 <= MOST);
        }
    }
}
