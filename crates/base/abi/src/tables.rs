//! Encodings of the tables that accompany machine code.
//!
//! Both are byte strings of variable-length integers (unsigned LEB128; signed ones zigzag),
//! sorted by code offset, each entry coded as the distance from the one before:
//!
//! ```text
//! trap table   (code offset delta: uleb, fault number: u8)*
//! address map  (code offset delta: uleb, wasm offset delta: zigzag uleb)*
//! ```
//!
//! Decoding allocates nothing, so that a signal handler can do it, and a damaged table ends early
//! rather than panics. Wasm offsets count from the start of the module.

use crate::trap::FaultKind;

/// An instruction that can fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrapEntry {
    /// Start of the instruction, in bytes from the start of the function's code.
    pub code_offset: u32,
    /// What the fault means.
    pub kind: FaultKind,
}

/// From here on (to the next entry) code belongs to this place of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressEntry {
    /// First byte, counted from the start of the function's code.
    pub code_offset: u32,
    /// Offset of the operator in the module, or [`AddressEntry::NONE`].
    pub wasm_offset: u32,
}

impl AddressEntry {
    /// The code comes from no operator (prologue, stubs).
    pub const NONE: u32 = u32::MAX;
}

/// Encodes a trap table; entries must be sorted by offset.
#[must_use]
pub fn encode_traps(entries: &[TrapEntry]) -> Box<[u8]> {
    let mut out = Vec::with_capacity(entries.len() * 2);
    let mut last = 0;
    for entry in entries {
        debug_assert!(entry.code_offset >= last);
        push_uleb(&mut out, entry.code_offset.wrapping_sub(last));
        out.push(entry.kind.number());
        last = entry.code_offset;
    }
    out.into()
}

/// Encodes an address map; entries must be sorted by code offset.
#[must_use]
pub fn encode_addresses(entries: &[AddressEntry]) -> Box<[u8]> {
    let mut out = Vec::with_capacity(entries.len() * 2);
    let (mut code, mut wasm) = (0u32, 0u32);
    for entry in entries {
        debug_assert!(entry.code_offset >= code);
        push_uleb(&mut out, entry.code_offset.wrapping_sub(code));
        let delta = entry.wasm_offset.wrapping_sub(wasm).cast_signed();
        push_uleb(&mut out, ((delta << 1) ^ (delta >> 31)).cast_unsigned());
        (code, wasm) = (entry.code_offset, entry.wasm_offset);
    }
    out.into()
}

/// Walks a trap table.
#[must_use]
pub fn traps(table: &[u8]) -> Traps<'_> {
    Traps { rest: table, code: 0 }
}

/// Walks an address map.
#[must_use]
pub fn addresses(table: &[u8]) -> Addresses<'_> {
    Addresses { rest: table, code: 0, wasm: 0 }
}

/// What a fault at this offset means; `None` if no instruction that may fault starts there.
#[must_use]
pub fn find_trap(table: &[u8], code_offset: u32) -> Option<FaultKind> {
    traps(table)
        .take_while(|entry| entry.code_offset <= code_offset)
        .find(|entry| entry.code_offset == code_offset)
        .map(|entry| entry.kind)
}

/// Offset in the module of the operator that this byte of code belongs to.
#[must_use]
pub fn find_address(table: &[u8], code_offset: u32) -> Option<u32> {
    addresses(table)
        .take_while(|entry| entry.code_offset <= code_offset)
        .last()
        .map(|entry| entry.wasm_offset)
        .filter(|&offset| offset != AddressEntry::NONE)
}

/// Iterator over a trap table.
#[derive(Clone, Debug)]
pub struct Traps<'a> {
    rest: &'a [u8],
    code: u32,
}

impl Iterator for Traps<'_> {
    type Item = TrapEntry;

    fn next(&mut self) -> Option<TrapEntry> {
        self.code = self.code.checked_add(pop_uleb(&mut self.rest)?)?;
        let (&number, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(TrapEntry { code_offset: self.code, kind: FaultKind::from_number(number)? })
    }
}

/// Iterator over an address map.
#[derive(Clone, Debug)]
pub struct Addresses<'a> {
    rest: &'a [u8],
    code: u32,
    wasm: u32,
}

impl Iterator for Addresses<'_> {
    type Item = AddressEntry;

    fn next(&mut self) -> Option<AddressEntry> {
        self.code = self.code.checked_add(pop_uleb(&mut self.rest)?)?;
        let zigzag = pop_uleb(&mut self.rest)?;
        let delta = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        self.wasm = self.wasm.wrapping_add(delta.cast_unsigned());
        Some(AddressEntry { code_offset: self.code, wasm_offset: self.wasm })
    }
}

fn push_uleb(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn pop_uleb(from: &mut &[u8]) -> Option<u32> {
    let (mut value, mut shift) = (0u32, 0);
    loop {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        value |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::TrapCode;

    #[test]
    fn traps_round_trip() {
        let entries = [(0, FaultKind::Poll), (130, FaultKind::Trap(TrapCode::Unreachable))]
            .map(|(code_offset, kind)| TrapEntry { code_offset, kind });
        let table = encode_traps(&entries);
        assert_eq!(traps(&table).collect::<Vec<_>>(), entries);
        assert_eq!(find_trap(&table, 130), Some(entries[1].kind));
        assert_eq!(find_trap(&table, 129), None);
    }

    #[test]
    fn addresses_round_trip_backwards_too() {
        let entries =
            [(0, AddressEntry::NONE), (4, 1_000_000), (9, 17), (9, 18), (70_000, u32::MAX - 1)]
                .map(|(code_offset, wasm_offset)| AddressEntry { code_offset, wasm_offset });
        let table = encode_addresses(&entries);
        assert_eq!(addresses(&table).collect::<Vec<_>>(), entries);
        assert_eq!(find_address(&table, 3), None);
        assert_eq!(find_address(&table, 8), Some(1_000_000));
        assert_eq!(find_address(&table, 9), Some(18));
    }

    #[test]
    fn damaged_tables_end_early() {
        assert_eq!(traps(&[0x80]).count(), 0);
        assert_eq!(traps(&[1, 249]).count(), 0);
        assert_eq!(traps(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).count(), 0);
        assert_eq!(addresses(&[5]).count(), 0);
    }
}
