//! Parallel moves between registers of one kind: all sources are read before any destination is
//! written, as far as one can tell from the result.

use crate::state::Ty;
use crate::x86_64::{Asm, Gpr, Size, Xmm};

/// Moves of one kind of registers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moves {
    list: [(u8, u8, Option<Size>); 16],
    len: usize,
}

impl Moves {
    /// Adds an integer's move; a 32-bit one clears the upper half even in place.
    pub(crate) fn gpr(&mut self, dst: Gpr, src: Gpr, ty: Ty) {
        self.add(dst.0, src.0, Some(ty.size()));
    }

    pub(crate) fn xmm(&mut self, dst: Xmm, src: Xmm) {
        self.add(dst.0, src.0, None);
    }

    fn add(&mut self, dst: u8, src: u8, size: Option<Size>) {
        // Destinations are registers, each at most once.
        if let Some(entry) = self.list.get_mut(self.len) {
            *entry = (dst, src, size);
            self.len += 1;
        }
    }

    fn remove(&mut self, at: usize) {
        self.len -= 1;
        self.list[at] = self.list[self.len];
    }

    /// Emits the moves.
    pub(crate) fn emit(mut self, asm: &mut Asm) {
        let mut at = 0;
        while self.len > 0 {
            if at == self.len {
                self.break_cycle(asm);
                at = 0;
                continue;
            }
            let (dst, src, size) = self.list[at];
            let blocked =
                self.list[..self.len].iter().any(|&(other, s, _)| s == dst && other != dst);
            if blocked {
                at += 1;
                continue;
            }
            match size {
                Some(size) if dst != src || size == Size::S32 => asm.mov(size, Gpr(dst), Gpr(src)),
                None if dst != src => asm.movaps(Xmm(dst), Xmm(src)),
                _ => {}
            }
            self.remove(at);
            at = 0;
        }
    }

    /// Every destination is still to be read: exchanges one with its source.
    fn break_cycle(&mut self, asm: &mut Asm) {
        let (dst, src, size) = self.list[0];
        if size.is_some() {
            asm.xchg(Gpr(dst), Gpr(src));
        } else {
            asm.movaps(Xmm::XMM15, Xmm(dst));
            asm.movaps(Xmm(dst), Xmm(src));
            asm.movaps(Xmm(src), Xmm::XMM15);
        }
        // What was in `dst` is in `src` now. A 32-bit value still needs its upper half cleared.
        for (_, other, _) in &mut self.list[..self.len] {
            if *other == dst {
                *other = src;
            } else if *other == src {
                *other = dst;
            }
        }
    }
}
