//! Temporary registers of one kind, and which entries of the operand stack sit in them.

/// No stack entry owns the register.
pub(crate) const NOBODY: u32 = u32::MAX;

/// Temporary registers of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bank {
    /// All temporaries.
    pub(crate) temps: u16,
    /// Those that hold nothing.
    pub(crate) free: u16,
    /// Position of the stack entry that each holds.
    pub(crate) owner: [u32; 16],
}

impl Default for Bank {
    fn default() -> Self {
        Bank { temps: 0, free: 0, owner: [NOBODY; 16] }
    }
}

impl Bank {
    /// Only these temporaries, all free.
    pub(crate) fn reset(&mut self, temps: u16) {
        *self = Bank { temps, free: temps, owner: [NOBODY; 16] };
    }

    /// All registers become free: nothing on the stack is in any of them.
    pub(crate) fn free_all(&mut self) {
        self.free = self.temps;
        self.owner = [NOBODY; 16];
    }

    pub(crate) fn release(&mut self, reg: u8) {
        self.owner[usize::from(reg)] = NOBODY;
        self.free |= self.temps & 1 << reg;
    }

    pub(crate) fn take(&mut self) -> Option<u8> {
        if self.free == 0 {
            return None;
        }
        let reg = self.free.trailing_zeros() as u8;
        self.free &= self.free - 1;
        Some(reg)
    }

    /// The owned register that is needed last: the one deepest on the stack.
    pub(crate) fn victim(&self) -> Option<(u8, u32)> {
        let mut used = self.temps & !self.free;
        let mut best = None;
        while used != 0 {
            let reg = used.trailing_zeros() as u8;
            used &= used - 1;
            let owner = self.owner[usize::from(reg)];
            if owner != NOBODY && best.is_none_or(|(_, other)| owner < other) {
                best = Some((reg, owner));
            }
        }
        best
    }
}
