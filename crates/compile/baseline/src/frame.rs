//! The stack frame.
//!
//! ```text
//! rbp + 16 ..   stack arguments, which are the homes of the parameters that came there
//! rbp + 8       return address
//! rbp           caller's rbp
//! rbp - 8 ..    callee-saved registers that are used
//!               vmctx (leaf functions and those that may catch) and the address of the return area, where needed
//!               homes of the other locals
//!               slots of the operand stack, the first one uppermost
//! rsp ..        arguments and return areas of calls
//! ```
//!
//! How many slots and how much for calls is known at the end; the prologue is patched then.

use crate::x86_64::{Gpr, Mem};

/// Layout of one function's frame. Offsets count downwards from the frame pointer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Frame {
    /// Bytes above the slots of the operand stack.
    pub(crate) fixed: u32,
    /// Bytes of one slot: 16 if the function has vectors, else 8.
    pub(crate) slot_bytes: u32,
    /// Slots that code refers to.
    slots: u32,
    /// Bytes for arguments and return areas of calls, a multiple of 16.
    outgoing: u32,
    /// Home of the address of the return area.
    pub(crate) area: Option<i32>,
    /// Home of the vmctx in leaf functions.
    pub(crate) vmctx: Option<i32>,
    /// Home of the vmctx in functions that may catch.
    pub(crate) caught_vmctx: Option<i32>,
}

impl Frame {
    /// Takes `bytes` more, aligned to 8, and gives their offset from the frame pointer.
    pub(crate) fn reserve(&mut self, bytes: u32) -> i32 {
        self.fixed += bytes;
        -self.fixed.cast_signed()
    }

    /// Offset of the home slot of a stack position.
    pub(crate) fn slot(&mut self, position: usize) -> i32 {
        // A stack has fewer entries than its function has bytes: 8 million.
        let number = position as u32 + 1;
        self.slots = self.slots.max(number);
        -(self.fixed + self.slot_bytes * number).cast_signed()
    }

    /// Sees to it that calls have this much at the stack pointer.
    pub(crate) fn reserve_outgoing(&mut self, bytes: u32) {
        self.outgoing = self.outgoing.max(bytes.next_multiple_of(16));
    }

    /// Bytes that the prologue subtracts from the stack pointer.
    pub(crate) fn bytes(&self) -> u32 {
        (self.fixed + self.slot_bytes * self.slots).next_multiple_of(16) + self.outgoing
    }
}

/// A place in the frame.
pub(crate) fn at(offset: i32) -> Mem {
    Mem::new(Gpr::RBP, offset)
}
