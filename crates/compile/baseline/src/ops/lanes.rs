//! Single lanes: loads, stores, splats, shuffles.

use crate::function::Gen;
use crate::state::{Loc, Ty, Value};
use crate::x86_64::insts::{self, Op};
use crate::x86_64::{Gpr, Size, Xmm};
use wasmparser::MemArg;

/// Shape of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lanes {
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
}

impl Lanes {
    const fn bytes(self) -> u32 {
        match self {
            Lanes::I8 => 1,
            Lanes::I16 => 2,
            Lanes::I32 | Lanes::F32 => 4,
            Lanes::I64 | Lanes::F64 => 8,
        }
    }

    /// The instruction that inserts an integer lane, and the one that extracts it.
    const fn moves(self) -> (Op, Op, Size) {
        match self {
            Lanes::I8 => (insts::PINSRB, insts::PEXTRB, Size::S32),
            Lanes::I16 => (insts::PINSRW, insts::PEXTRW, Size::S32),
            Lanes::I32 | Lanes::F32 => (insts::PINSRD, insts::PEXTRD, Size::S32),
            Lanes::I64 | Lanes::F64 => (insts::PINSRD, insts::PEXTRD, Size::S64),
        }
    }
}

impl Gen<'_> {
    // Memory.

    /// A load of `size` bytes by one instruction.
    pub(crate) fn vector_load(&mut self, memarg: &MemArg, size: u32, op: Op) {
        let address = self.address(memarg, size);
        let dst = self.alloc_xmm();
        self.accesses_memory();
        self.asm.xx(op, dst, address.mem);
        self.release_address(address);
        self.push_vector(dst);
    }

    pub(crate) fn vector_store(&mut self, memarg: &MemArg) {
        let src = self.pop_xmm();
        let address = self.address(memarg, 16);
        self.accesses_memory();
        self.asm.xx(insts::MOVUPS_MR, src, address.mem);
        self.release_address(address);
        self.release_xmm(src);
    }

    /// Loads one lane and copies it to all.
    pub(crate) fn load_splat(&mut self, memarg: &MemArg, lanes: Lanes) {
        let address = self.address(memarg, lanes.bytes());
        let dst = self.alloc_xmm();
        self.asm.zero_xmm(dst);
        self.accesses_memory();
        match lanes {
            Lanes::I8 | Lanes::I16 => {
                self.asm.xgi(lanes.moves().0, Size::S32, dst, address.mem, 0);
            }
            Lanes::I32 | Lanes::F32 => self.asm.xx(insts::MOVSS, dst, address.mem),
            Lanes::I64 | Lanes::F64 => self.asm.xx(insts::MOVSD, dst, address.mem),
        }
        self.spread(lanes, dst);
        self.release_address(address);
        self.push_vector(dst);
    }

    /// Copies the lowest lane to all; uses xmm15.
    fn spread(&mut self, lanes: Lanes, reg: Xmm) {
        match lanes {
            Lanes::I8 => {
                self.asm.zero_xmm(Xmm::XMM15);
                self.asm.xx(insts::PSHUFB, reg, Xmm::XMM15);
            }
            Lanes::I16 => {
                self.asm.xxi(insts::PSHUFLW, reg, reg, 0);
                self.asm.xxi(insts::PSHUFD, reg, reg, 0);
            }
            Lanes::I32 | Lanes::F32 => self.asm.xxi(insts::PSHUFD, reg, reg, 0),
            Lanes::I64 | Lanes::F64 => self.asm.xx(insts::PUNPCKLQDQ, reg, reg),
        }
    }

    pub(crate) fn load_lane(&mut self, memarg: &MemArg, lanes: Lanes, lane: u8) {
        let value = self.pop();
        let dst = self.own_xmm(value);
        let address = self.address(memarg, lanes.bytes());
        let (insert, _, size) = lanes.moves();
        self.accesses_memory();
        self.asm.xgi(insert, size, dst, address.mem, lane);
        self.release_address(address);
        self.push_vector(dst);
    }

    pub(crate) fn store_lane(&mut self, memarg: &MemArg, lanes: Lanes, lane: u8) {
        let src = self.pop_xmm();
        let address = self.address(memarg, lanes.bytes());
        let (_, extract, size) = lanes.moves();
        self.accesses_memory();
        self.asm.gxi_mr(extract, size, address.mem, src, lane);
        self.release_address(address);
        self.release_xmm(src);
    }

    // Lanes.

    pub(crate) fn splat(&mut self, lanes: Lanes) {
        let value = self.pop();
        if !value.ty.is_int() {
            let dst = self.own_xmm(value);
            self.spread(lanes, dst);
            return self.push_vector(dst);
        }
        let src = self.use_rm_gpr(value);
        let dst = self.alloc_xmm();
        self.asm.xg(insts::MOVD, value.ty.size(), dst, src);
        self.release_rm_gpr(src);
        self.spread(lanes, dst);
        self.push_vector(dst);
    }

    /// An integer lane, zero-extended.
    pub(crate) fn extract_lane(&mut self, lanes: Lanes, lane: u8) {
        let dst = self.extract_to_gpr(lanes, lane);
        let ty = if lanes == Lanes::I64 { Ty::I64 } else { Ty::I32 };
        self.push_gpr(ty, dst);
    }

    /// An integer lane of 8 or 16 bits, sign-extended.
    pub(crate) fn extract_lane_signed(&mut self, lanes: Lanes, lane: u8) {
        let dst = self.extract_to_gpr(lanes, lane);
        match lanes {
            Lanes::I8 => self.asm.movsx_b(Size::S32, dst, dst),
            _ => self.asm.gg(insts::MOVSX_W, Size::S32, dst, dst),
        }
        self.push_gpr(Ty::I32, dst);
    }

    fn extract_to_gpr(&mut self, lanes: Lanes, lane: u8) -> Gpr {
        let src = self.pop_xmm();
        let dst = self.alloc_gpr();
        let (_, extract, size) = lanes.moves();
        self.asm.gxi_mr(extract, size, dst, src, lane);
        self.release_xmm(src);
        dst
    }

    pub(crate) fn extract_float(&mut self, ty: Ty, lane: u8) {
        let src = self.pop_xmm();
        let value = Value::new(ty, Loc::Xmm(src));
        let dst = if self.is_temp_xmm(src) { src } else { self.alloc_xmm() };
        match (ty, lane) {
            (_, 0) => self.load_xmm(dst, value),
            (Ty::F32, lane) => self.asm.xxi(insts::PSHUFD, dst, src, lane),
            _ => self.asm.xxi(insts::PSHUFD, dst, src, 0xee),
        }
        self.push_xmm(ty, dst);
    }

    pub(crate) fn replace_lane(&mut self, lanes: Lanes, lane: u8) {
        let value = self.pop();
        let vector = self.pop();
        let dst = self.own_xmm(vector);
        let (insert, _, size) = lanes.moves();
        // Narrow lanes would read a few bytes of memory only, but constants are in a register.
        let src = self.use_rm_gpr(value);
        self.asm.xgi(insert, size, dst, src, lane);
        self.release_rm_gpr(src);
        self.push_vector(dst);
    }

    pub(crate) fn replace_float(&mut self, ty: Ty, lane: u8) {
        let value = self.pop();
        let vector = self.pop();
        let dst = self.own_xmm(vector);
        let src = self.use_xmm(value);
        match (ty, lane) {
            (Ty::F32, lane) => self.asm.xxi(insts::INSERTPS, dst, src, lane << 4),
            (_, 0) => self.asm.xx(insts::MOVSD, dst, src),
            _ => self.asm.xx(insts::MOVLHPS, dst, src),
        }
        self.push_binary(dst, src);
    }

    // Shuffles.

    /// `i8x16.shuffle`: each operand contributes its bytes and zeros.
    pub(crate) fn shuffle(&mut self, lanes: [u8; 16]) {
        let right = self.pop();
        let left = self.pop();
        let from_left = lanes.map(|lane| if lane < 16 { lane } else { 0x80 });
        let from_right = lanes.map(|lane| if lane < 16 { 0x80 } else { lane - 16 });
        if lanes.iter().all(|&lane| lane >= 16) {
            self.release(left);
            let dst = self.own_xmm(right);
            self.asm.xx_wide(insts::PSHUFB, dst, from_right);
            return self.push_vector(dst);
        }
        let dst = self.own_xmm(left);
        if lanes.iter().any(|&lane| lane >= 16) {
            self.load_xmm(Xmm::XMM15, right);
            self.asm.xx_wide(insts::PSHUFB, Xmm::XMM15, from_right);
            self.asm.xx_wide(insts::PSHUFB, dst, from_left);
            self.asm.xx(insts::POR, dst, Xmm::XMM15);
        } else {
            self.asm.xx_wide(insts::PSHUFB, dst, from_left);
        }
        self.release(right);
        self.push_vector(dst);
    }

    /// `i8x16.swizzle`: indices beyond 15 are made to exceed 127, which gives zero.
    pub(crate) fn swizzle(&mut self) {
        let (dst, indices) = self.pop2_xmm();
        self.asm.xx_wide(insts::MOVAPS, Xmm::XMM15, [0x70; 16]);
        self.asm.xx(insts::PADDUSB, Xmm::XMM15, indices);
        self.asm.xx(insts::PSHUFB, dst, Xmm::XMM15);
        self.push_binary(dst, indices);
    }
}
