//! Pairs of texts as an object, in their order, and back.

use std::{borrow::Cow, collections::HashSet, fmt, hash::Hash, marker::PhantomData};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::object::Value;

/// Pairs as an object, in their order.
pub(crate) struct Map<'a, T: Clone>(pub(crate) Cow<'a, [(T, T)]>);

impl<T: Clone> Map<'_, T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Clone> Default for Map<'_, T> {
    fn default() -> Self {
        Self(Cow::Borrowed(&[]))
    }
}

/// Pairs as an object, in their order.
impl<K: AsRef<str>, V: AsRef<str>> Value for [(K, V)] {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (i, (key, value)) in self.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            key.as_ref().write(out);
            out.push(b':');
            value.as_ref().write(out);
        }
        out.push(b'}');
    }
}

impl<T: Clone + Serialize> Serialize for Map<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de, T: Clone + Deserialize<'de> + Eq + Hash> Deserialize<'de> for Map<'_, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Eq + Hash> de::Visitor<'de> for Visitor<T> {
            type Value = Vec<(T, T)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs: Self::Value = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                if pairs
                    .iter()
                    .map(|(key, _)| key)
                    .collect::<HashSet<_>>()
                    .len()
                    < pairs.len()
                {
                    return Err(de::Error::custom("a key occurs twice in one object"));
                }
                Ok(pairs)
            }
        }

        let pairs = deserializer.deserialize_map(Visitor(PhantomData))?;
        Ok(Self(pairs.into()))
    }
}
