//! A list whose positions are used again, and whose keys never find what came later.
//!
//! A key is a position and its *generation*, which changes when what is there is removed. After
//! the last generation a position stays unused, so no key is ever given twice.

use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};

/// Names a position of a [`Slab`] in one generation.
pub(crate) trait Key: Copy + Eq + std::fmt::Debug {
    fn new(index: u32, generation: NonZeroU32) -> Self;
    fn index(self) -> usize;
    fn generation(self) -> NonZeroU32;
}

/// See the head of this module.
#[derive(Debug)]
pub(crate) struct Slab<K, V> {
    entries: Vec<Entry<V>>,
    /// Positions without a value that have generations left; the last is used first.
    free: Vec<u32>,
    /// How many values there are.
    len: usize,
    _key: PhantomData<fn() -> K>,
}

#[derive(Debug)]
struct Entry<V> {
    /// Of the value, or of the next one; `None` after the last.
    generation: Option<NonZeroU32>,
    value: Option<V>,
}

impl<K, V> Default for Slab<K, V> {
    fn default() -> Self {
        Slab { entries: Vec::new(), free: Vec::new(), len: 0, _key: PhantomData }
    }
}

impl<K: Key, V> Slab<K, V> {
    /// The key that the next value gets.
    pub(crate) fn next_key(&self) -> K {
        let free = self.free.last().copied();
        let generation = free.and_then(|index| self.entries[index as usize].generation);
        let end = self.entries.len();
        assert!(end < u32::MAX as usize, "a store's memory ends before its numbers");
        let index = free.unwrap_or(end as u32);
        K::new(index, generation.unwrap_or(NonZeroU32::MIN))
    }

    pub(crate) fn insert(&mut self, value: V) -> K {
        let key = self.next_key();
        let entry = Entry { generation: Some(key.generation()), value: Some(value) };
        match self.free.pop() {
            Some(index) => self.entries[index as usize] = entry,
            None => self.entries.push(entry),
        }
        self.len += 1;
        key
    }

    /// Takes a value out; `None`: it is gone already.
    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let entry = self.entries.get_mut(key.index())?;
        if entry.generation != Some(key.generation()) {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = key.generation().checked_add(1);
        if entry.generation.is_some() {
            self.free.push(key.index() as u32);
        }
        self.len -= 1;
        Some(value)
    }

    /// Whether the key's value is there.
    #[inline]
    pub(crate) fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    #[inline]
    pub(crate) fn get(&self, key: K) -> Option<&V> {
        let entry = self.entries.get(key.index())?;
        if entry.generation == Some(key.generation()) { entry.value.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let entry = self.entries.get_mut(key.index())?;
        if entry.generation == Some(key.generation()) { entry.value.as_mut() } else { None }
    }

    /// Two values at once; `None`: they are one, or one is gone.
    pub(crate) fn get_two_mut(&mut self, first: K, second: K) -> Option<(&mut V, &mut V)> {
        if !self.contains(first) || !self.contains(second) {
            return None;
        }
        let entries = self.entries.get_disjoint_mut([first.index(), second.index()]);
        let [first, second] = entries.ok()?;
        Some((first.value.as_mut()?, second.value.as_mut()?))
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Positions, also those without a value: indices of keys are smaller.
    pub(crate) fn positions(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.entries.iter().zip(0..).filter_map(|(entry, index)| {
            Some((K::new(index, entry.generation?), entry.value.as_ref()?))
        })
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().filter_map(|entry| entry.value.as_ref())
    }

    pub(crate) fn into_values(self) -> impl Iterator<Item = V> {
        self.entries.into_iter().filter_map(|entry| entry.value)
    }
}

/// For keys that the store holds itself, which are those of what is there.
impl<K: Key, V> Index<K> for Slab<K, V> {
    type Output = V;

    #[inline]
    #[track_caller]
    fn index(&self, key: K) -> &V {
        match self.get(key) {
            Some(value) => value,
            None => gone(key),
        }
    }
}

impl<K: Key, V> IndexMut<K> for Slab<K, V> {
    #[inline]
    #[track_caller]
    fn index_mut(&mut self, key: K) -> &mut V {
        match self.get_mut(key) {
            Some(value) => value,
            None => gone(key),
        }
    }
}

#[cold]
#[track_caller]
#[allow(clippy::panic, reason = "as an index that is out of bounds")]
fn gone<K: Key>(key: K) -> ! {
    panic!("{key:?} of the store is gone")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entities::TableId;
    use std::collections::HashMap;

    #[test]
    fn a_key_finds_nothing_after_its_value_is_gone() {
        let mut slab = Slab::<TableId, &str>::default();
        let first = slab.insert("first");
        let second = slab.insert("second");
        assert_eq!(slab.get_two_mut(first, second), Some((&mut "first", &mut "second")));
        assert_eq!(slab.get_two_mut(first, first), None);
        assert_eq!(slab.remove(first), Some("first"));
        assert_eq!((slab.remove(first), slab.get(first), slab.len()), (None, None, 1));
        assert_eq!(slab.get_two_mut(first, second), None);
        let promised = slab.next_key();
        assert!(!slab.contains(promised), "before it is given");
        let third = slab.insert("third");
        assert_eq!((third, third.index()), (promised, first.index()));
        assert_ne!(third, first);
        assert_eq!((slab.get(first), slab[third], slab[second]), (None, "third", "second"));
        assert_eq!(slab.positions(), 2);
    }

    #[test]
    fn a_position_is_given_up_with_its_last_generation() {
        let mut slab = Slab::<TableId, u32>::default();
        slab.insert(0);
        slab.entries[0].generation = Some(NonZeroU32::MAX);
        let last = TableId::new(0, NonZeroU32::MAX);
        assert_eq!(slab.remove(last), Some(0));
        assert_eq!((slab.get(last), slab.len()), (None, 0));
        let next = slab.insert(1);
        assert_eq!((next.index(), next.generation()), (1, NonZeroU32::MIN));
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(next, &1)]);
    }

    #[test]
    #[should_panic(expected = "table0 of the store is gone")]
    fn an_index_of_what_is_gone_panics() {
        let mut slab = Slab::<TableId, u32>::default();
        let key = slab.insert(0);
        slab.remove(key);
        _ = slab[key];
    }

    /// Against a map that never uses a key again.
    #[test]
    fn it_agrees_with_a_map() {
        let (mut slab, mut model) = (Slab::<TableId, u64>::default(), HashMap::new());
        let (mut keys, mut random) = (Vec::new(), 0x9e37_79b9_7f4a_7c15_u64);
        for step in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = (random >> 33) as usize;
            if keys.is_empty() || number % 5 < 2 {
                let key = slab.insert(step);
                assert!(model.insert((key.index(), key.generation()), step).is_none());
                keys.push(key);
            } else {
                let key = keys[number % keys.len()];
                let at = (key.index(), key.generation());
                assert_eq!(slab.get(key), model.get(&at));
                assert_eq!(slab.remove(key), model.remove(&at));
            }
            assert_eq!(slab.len(), model.len());
        }
        let mut living: Vec<u64> = slab.into_values().collect();
        let mut expected: Vec<u64> = model.into_values().collect();
        living.sort_unstable();
        expected.sort_unstable();
        assert_eq!(living, expected);
        assert!(!living.is_empty());
    }
}
