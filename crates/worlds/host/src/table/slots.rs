//! Numbers and what they stand for. The lowest free number is found, and numbers that are not used
//! take no room, however high others are.
//!
//! ```text
//! pages  [ page | none | none | page ]    64 numbers each; none where no number is used
//! page   used: a bit for each place, and 64 places
//! ```
//!
//! Invariants: a bit of `used` is set where the place is filled, a page has a bit that is set, and
//! the last page is there.

use std::array;

/// Numbers of a page.
const PAGE: u32 = u64::BITS;

#[derive(Clone, Debug)]
pub(super) struct Slots<T> {
    pages: Vec<Option<Box<Page<T>>>>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Page<T> {
    used: u64,
    places: [Option<T>; PAGE as usize],
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Page { used: 0, places: array::from_fn(|_| None) }
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { pages: Vec::new(), len: 0 }
    }
}

/// The page of a number, and its place there.
fn split(number: u32) -> (usize, usize) {
    ((number / PAGE) as usize, (number % PAGE) as usize)
}

impl<T> Slots<T> {
    /// Numbers that are used.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let (page, place) = split(number);
        self.pages.get(page)?.as_deref()?.places[place].as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let (page, place) = split(number);
        self.pages.get_mut(page)?.as_deref_mut()?.places[place].as_mut()
    }

    /// The lowest number that is free and at least `min`.
    pub(super) fn lowest_free(&self, min: u32) -> u32 {
        let mut allowed = u64::MAX << (min % PAGE);
        for (index, page) in (0u32..).zip(&self.pages).skip((min / PAGE) as usize) {
            let free = allowed & page.as_ref().map_or(u64::MAX, |page| !page.used);
            if free != 0 {
                return index * PAGE + free.trailing_zeros();
            }
            allowed = u64::MAX;
        }
        // No truncation: there is a number in the last page.
        min.max(self.pages.len() as u32 * PAGE)
    }

    /// Has a number stand for something; what it stood for comes back. A bit of room is taken for
    /// each page before it, so the caller bounds the number.
    pub(super) fn put(&mut self, number: u32, value: T) -> Option<T> {
        let (page, place) = split(number);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_default();
        page.used |= 1 << place;
        let before = page.places[place].replace(value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Frees a number; what it stood for comes back.
    pub(super) fn take(&mut self, number: u32) -> Option<T> {
        let (index, place) = split(number);
        let page = self.pages.get_mut(index)?.as_deref_mut()?;
        let value = page.places[place].take()?;
        page.used &= !(1 << place);
        self.len -= 1;
        if page.used == 0 {
            self.pages[index] = None;
            let kept = self.pages.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
            self.pages.truncate(kept);
        }
        Some(value)
    }

    /// The numbers that are used, in order, and what they stand for.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let pages = (0u32..).step_by(PAGE as usize).zip(&self.pages);
        pages.flat_map(|(first, page)| {
            let places = page.as_ref().map_or(&[][..], |page| &page.places[..]);
            (first..).zip(places).filter_map(|(number, place)| Some((number, place.as_ref()?)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn high_numbers_take_no_room() {
        let mut slots = Slots::default();
        slots.put(crate::limits::DESCRIPTOR_NUMBERS_MAX - 1, ());
        assert_eq!(slots.pages.iter().flatten().count(), 1);
        assert!(slots.pages.capacity() * size_of::<Option<Box<Page<()>>>>() <= 256 << 10);
        assert_eq!((slots.lowest_free(0), slots.len()), (0, 1));
    }

    /// Random changes, here and in a map that knows no pages.
    #[test]
    fn like_a_map() {
        let mut slots = Slots::default();
        let mut map = BTreeMap::new();
        let mut seed = 7u64;
        let mut random = |below: u32| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as u32 % below
        };
        for step in 0..20_000u32 {
            // Growing, then shrinking: pages get full and go.
            let takes = if step % 4_000 < 2_000 { 3 } else { 7 };
            let below = if random(9) == 0 { 1 << 20 } else { 200 };
            let number = random(below);
            if random(10) < takes {
                assert_eq!(slots.take(number), map.remove(&number), "step {step}");
            } else {
                assert_eq!(slots.put(number, step), map.insert(number, step), "step {step}");
            }
            let free = slots.lowest_free(number);
            assert_eq!(free, (number..).find(|at| !map.contains_key(at)).unwrap(), "step {step}");
            assert_eq!(slots.get(number), map.get(&number), "step {step}");
            assert_eq!(slots.get_mut(number), map.get_mut(&number), "step {step}");
            assert_eq!(slots.len(), map.len(), "step {step}");
            assert!(slots.pages.last().is_none_or(Option::is_some), "step {step}");
        }
        assert!(slots.iter().eq(map.iter().map(|(number, step)| (*number, step))));
        for number in map.keys() {
            slots.take(*number);
        }
        assert!(slots.pages.is_empty() && slots.iter().next().is_none());
    }
}
