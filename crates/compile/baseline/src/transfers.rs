//! Values of the operand stack brought to registers and memory.

use crate::function::Gen;
use crate::locals::NO_PIN;
use crate::state::{Cond, Loc, Value, load_op, store_op};
use crate::x86_64::{Cc, Gpr, Mem, Rm, Size, Xmm, insts};

impl Gen<'_> {
    /// Loads a value; the flags stay as they are.
    pub(crate) fn load_gpr(&mut self, dst: Gpr, value: Value) {
        match value.loc {
            Loc::Gpr(src) if src == dst => {}
            Loc::Gpr(src) => self.asm.mov(value.ty.size(), dst, src),
            Loc::Const(bits) => self.asm.mov_imm(dst, bits),
            Loc::Slot(disp) => self.asm.mov(value.ty.size(), dst, Mem::new(Gpr::RBP, disp)),
            Loc::Local(index) => match self.local_gpr(index) {
                Rm::Reg(src) if src == dst => {}
                src => self.asm.mov(value.ty.size(), dst, src),
            },
            Loc::Cond(cond) => self.materialize(cond, dst),
            Loc::Xmm(_) => self.bug("an integer"),
        }
    }

    /// Loads a float or vector; the flags stay as they are.
    pub(crate) fn load_xmm(&mut self, dst: Xmm, value: Value) {
        match value.loc {
            Loc::Xmm(src) if src == dst => {}
            Loc::Xmm(src) => self.asm.movaps(dst, src),
            Loc::Const(0) => self.asm.zero_xmm(dst),
            Loc::Const(bits) => self.asm.xx_narrow(load_op(value.ty), dst, bits),
            Loc::Slot(disp) => self.asm.xx(load_op(value.ty), dst, Mem::new(Gpr::RBP, disp)),
            Loc::Local(index) => match self.local_xmm(index) {
                Rm::Reg(src) if src == dst => {}
                Rm::Reg(src) => self.asm.movaps(dst, src),
                Rm::Mem(mem) => self.asm.xx(load_op(value.ty), dst, mem),
            },
            Loc::Gpr(_) | Loc::Cond(_) => self.bug("a float"),
        }
    }

    /// Stores a value of its type's size; uses scratch registers only, and leaves the flags.
    pub(crate) fn store_value(&mut self, value: Value, mem: Mem) {
        if value.ty.is_int() {
            if let Some(imm) = value.imm32() {
                return self.asm.store_imm(value.ty.size(), mem, imm);
            }
            let reg = match value.loc {
                Loc::Gpr(reg) => reg,
                Loc::Local(index) => match self.local_gpr(index) {
                    Rm::Reg(reg) => reg,
                    Rm::Mem(from) => {
                        self.asm.mov(value.ty.size(), Gpr::R11, from);
                        Gpr::R11
                    }
                },
                _ => {
                    self.load_gpr(Gpr::R11, value);
                    Gpr::R11
                }
            };
            return self.asm.store(value.ty.size(), mem, reg);
        }
        if let Some(bits) = value.constant() {
            self.asm.mov_imm(Gpr::R11, bits);
            return self.asm.store(value.ty.size(), mem, Gpr::R11);
        }
        let reg = match value.loc {
            Loc::Xmm(reg) => reg,
            Loc::Local(index) if self.locals[index as usize].pin != NO_PIN => {
                self.local_pinned_xmm(index)
            }
            _ => {
                self.load_xmm(Xmm::XMM15, value);
                Xmm::XMM15
            }
        };
        self.asm.xx(store_op(value.ty), reg, mem);
    }

    /// A register that holds a popped integer; it may be a pinned one, so it must not be
    /// changed.
    pub(crate) fn use_gpr(&mut self, value: Value) -> Gpr {
        match value.loc {
            Loc::Gpr(reg) => return reg,
            Loc::Local(index) => {
                if let Rm::Reg(reg) = self.local_gpr(index) {
                    return reg;
                }
            }
            _ => {}
        }
        let reg = self.alloc_gpr();
        self.load_gpr(reg, value);
        reg
    }

    /// A temporary that holds a popped integer and may be changed.
    pub(crate) fn own_gpr(&mut self, value: Value) -> Gpr {
        if let Loc::Gpr(reg) = value.loc {
            return reg;
        }
        let reg = self.alloc_gpr();
        self.load_gpr(reg, value);
        reg
    }

    /// A popped integer as an operand; constants are loaded to the scratch register r11.
    pub(crate) fn use_rm_gpr(&mut self, value: Value) -> Rm<Gpr> {
        match value.loc {
            Loc::Gpr(reg) => Rm::Reg(reg),
            Loc::Local(index) => self.local_gpr(index),
            Loc::Slot(disp) => Rm::Mem(Mem::new(Gpr::RBP, disp)),
            _ => {
                self.load_gpr(Gpr::R11, value);
                Rm::Reg(Gpr::R11)
            }
        }
    }

    /// As [`Gen::use_gpr`], for floats and vectors.
    pub(crate) fn use_xmm(&mut self, value: Value) -> Xmm {
        match value.loc {
            Loc::Xmm(reg) => return reg,
            Loc::Local(index) => {
                if let Rm::Reg(reg) = self.local_xmm(index) {
                    return reg;
                }
            }
            _ => {}
        }
        let reg = self.alloc_xmm();
        self.load_xmm(reg, value);
        reg
    }

    /// As [`Gen::own_gpr`], for floats and vectors.
    pub(crate) fn own_xmm(&mut self, value: Value) -> Xmm {
        if let Loc::Xmm(reg) = value.loc {
            return reg;
        }
        let reg = self.alloc_xmm();
        self.load_xmm(reg, value);
        reg
    }

    /// A popped scalar float as an operand; constants are loaded to the scratch register xmm15.
    pub(crate) fn use_rm_xmm(&mut self, value: Value) -> Rm<Xmm> {
        match value.loc {
            Loc::Xmm(reg) => Rm::Reg(reg),
            Loc::Local(index) => self.local_xmm(index),
            Loc::Slot(disp) => Rm::Mem(Mem::new(Gpr::RBP, disp)),
            _ => {
                self.load_xmm(Xmm::XMM15, value);
                Rm::Reg(Xmm::XMM15)
            }
        }
    }

    /// Gives back the register of an operand.
    pub(crate) fn release_rm_gpr(&mut self, rm: Rm<Gpr>) {
        if let Rm::Reg(reg) = rm {
            self.release_gpr(reg);
        }
    }

    pub(crate) fn release_rm_xmm(&mut self, rm: Rm<Xmm>) {
        if let Rm::Reg(reg) = rm {
            self.release_xmm(reg);
        }
    }

    /// 1 if the condition holds, else 0.
    pub(crate) fn materialize(&mut self, cond: Cond, dst: Gpr) {
        let asm = &mut self.asm;
        match cond {
            Cond::Is(cc) => asm.setcc(cc, dst),
            Cond::FloatEqual => {
                asm.setcc(Cc::NP, Gpr::R11);
                asm.setcc(Cc::E, dst);
                asm.gg(insts::AND, Size::S32, dst, Gpr::R11);
            }
            Cond::FloatDiffers => {
                asm.setcc(Cc::P, Gpr::R11);
                asm.setcc(Cc::NE, dst);
                asm.gg(insts::OR, Size::S32, dst, Gpr::R11);
            }
        }
        asm.movzx_b(dst, dst);
    }
}
