//! Numbers and byte strings as stored files hold them: unsigned LEB128, length-prefixed strings.
//!
//! Reading never panics and never allocates by a length that the input states: what does not fit
//! is [`None`].

/// Appends to a byte string.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty string.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A number.
    pub fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A number that is often small and may be negative.
    pub fn signed(&mut self, value: i64) {
        self.number(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// A byte string with its length.
    pub fn string(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Bytes without their length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Takes from a byte string.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// From its beginning.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    /// Whether everything has been taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// A number.
    pub fn number(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0u64, 0u32);
        loop {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let shifted = bits.checked_shl(shift)?;
            if shifted >> shift != bits {
                return None;
            }
            value |= shifted;
            if byte < 0x80 {
                return Some(value);
            }
            shift += 7;
        }
    }

    /// A number of 32 bits.
    pub fn number32(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    /// The inverse of [`Writer::signed`].
    pub fn signed(&mut self) -> Option<i64> {
        let zigzag = self.number()?;
        Some((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    /// A byte string with its length.
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        self.raw(len)
    }

    /// That many bytes.
    pub fn raw(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
}

/// A checksum against accidents, fast enough for every byte that a start reads; no protection
/// against somebody who means it.
///
/// Each step is a bijection of the 64-bit state for given later input, so that any change within
/// one aligned word of eight bytes changes the sum.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u64 {
    const LANES: [u64; 4] = [
        0x9e37_79b9_7f4a_7c15,
        0xc2b2_ae3d_27d4_eb4f,
        0x1656_67b1_9e37_79f9,
        0x85eb_ca77_c2b2_ae63,
    ];
    let step =
        |state: u64, word: u64| (state.rotate_left(29) ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25);
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let mut lanes = LANES;
    let (chunks, rest) = bytes.as_chunks::<32>();
    for chunk in chunks {
        let (words, _) = chunk.as_chunks::<8>();
        for (lane, bytes) in lanes.iter_mut().zip(words) {
            *lane = step(*lane, word(bytes));
        }
    }
    let mut state = step(bytes.len() as u64, LANES[0]);
    for lane in lanes {
        state = step(state, lane);
    }
    for piece in rest.chunks(8) {
        let mut last = [0; 8];
        last[..piece.len()].copy_from_slice(piece);
        state = step(state, word(&last));
    }
    state ^ (state >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_strings_round_trip() {
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        let signed = [0, -1, 1, i64::MIN, i64::MAX, -4];
        let mut writer = Writer::new();
        numbers.iter().for_each(|&number| writer.number(number));
        signed.iter().for_each(|&number| writer.signed(number));
        writer.string(b"abc");
        writer.raw(b"d");
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        assert!(numbers.iter().all(|&number| reader.number() == Some(number)));
        assert!(signed.iter().all(|&number| reader.signed() == Some(number)));
        assert_eq!((reader.string(), reader.byte()), (Some(&b"abc"[..]), Some(b'd')));
        assert!(reader.is_empty());
    }

    #[test]
    fn damaged_input_is_refused() {
        assert_eq!(Reader::new(&[0x80]).number(), None);
        assert_eq!(Reader::new(&[0xff; 11]).number(), None);
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 1]).number32(), None);
        assert_eq!(Reader::new(&[5, 1, 2]).string(), None);
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Reader::new(&huge).string(), None);
    }

    #[test]
    fn every_flipped_bit_changes_the_checksum() {
        for len in [0, 1, 7, 8, 9, 31, 32, 33, 100] {
            let mut bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let sum = checksum(&bytes);
            for bit in 0..len * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(checksum(&bytes), sum, "bit {bit} of {len} bytes");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            bytes.push(0);
            assert_ne!(checksum(&bytes), sum, "{len} bytes and a zero");
        }
    }
}
