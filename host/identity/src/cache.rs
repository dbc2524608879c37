//! The cache of what was seen lately.

use std::{hash::Hash, num::NonZeroUsize};

/// A bounded cache: a full one forgets the value that was not used for the longest time. The hash function is a fast one,
/// because each event makes several look-ups.
pub(crate) type LruCache<K, V> = lru::LruCache<K, V, foldhash::fast::RandomState>;

/// An empty cache of at most `capacity` values. It takes memory only for the values that it holds.
pub(crate) fn lru_cache<K: Hash + Eq, V>(capacity: NonZeroUsize) -> LruCache<K, V> {
    let mut cache = LruCache::unbounded_with_hasher(Default::default());
    cache.resize(capacity);
    cache
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_value_is_forgotten() {
        let mut cache = lru_cache::<u32, u32>(const { NonZeroUsize::new(2).unwrap() });
        for key in 0..2 {
            cache.put(key, key * 10);
        }
        assert_eq!(cache.get(&0).copied(), Some(0));
        cache.put(3, 30);
        assert_eq!(cache.get(&1), None);
        assert_eq!(
            (cache.get(&0).copied(), cache.get(&3).copied()),
            (Some(0), Some(30))
        );
        cache.put(0, 1);
        assert_eq!(cache.get(&0).copied(), Some(1));
        assert_eq!(cache.len(), 2);
    }
}
