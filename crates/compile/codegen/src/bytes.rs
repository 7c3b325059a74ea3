//! Immutable bytes that are a piece of their own, or a part of a larger one that others share:
//! tables of many functions that were read together stay where they are.

use std::ops::{Deref, Range};
use std::sync::Arc;

/// See the head of this module.
#[derive(Clone)]
pub struct Bytes(Kind);

#[derive(Clone)]
enum Kind {
    Own(Box<[u8]>),
    /// The range is inside.
    Part(Arc<[u8]>, Range<u32>),
}

impl Bytes {
    /// A part of shared bytes; `None`: the range leaves them, or is beyond 4 GiB.
    #[must_use]
    pub fn part(all: &Arc<[u8]>, range: Range<usize>) -> Option<Self> {
        all.get(range.clone())?;
        let range = u32::try_from(range.start).ok()?..u32::try_from(range.end).ok()?;
        Some(Bytes(Kind::Part(Arc::clone(all), range)))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kind::Own(bytes) => bytes,
            Kind::Part(all, range) => &all[range.start as usize..range.end as usize],
        }
    }
}

impl From<Box<[u8]>> for Bytes {
    fn from(bytes: Box<[u8]>) -> Self {
        Bytes(Kind::Own(bytes))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes(Kind::Own(bytes.into()))
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Bytes(Kind::Own(Box::default()))
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_inside_and_equal_what_they_hold() {
        let all: Arc<[u8]> = Arc::from(&b"abcdef"[..]);
        let part = Bytes::part(&all, 2..4).expect("inside");
        assert_eq!(&*part, b"cd");
        assert_eq!(part, Bytes::from(b"cd".to_vec()));
        assert_eq!(Bytes::part(&all, 6..6), Some(Bytes::default()));
        assert!(Bytes::part(&all, 5..7).is_none());
        #[allow(clippy::reversed_empty_ranges, reason = "this is what must be refused")]
        let backwards = 4..2;
        assert!(Bytes::part(&all, backwards).is_none());
    }
}
