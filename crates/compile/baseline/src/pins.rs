//! Which locals are pinned to which registers, and the roles of all registers.
//!
//! ```text
//!            functions with calls          leaf functions
//! vmctx      r15                           rdi (home in the frame around libcalls)
//! memory     r14, if memory 0 is guarded   r9, reloaded after libcalls
//! temps      rax rcx rdx rsi rdi           rax rcx rdx rsi
//! pins       rbx r12 r13 (r14)             r8 r10 (r9), then rbx r12-r15
//!            in loops also r8 r9 r10
//! scratch    r11                           r11
//! vectors    temps xmm0-7, pins xmm8-13, scratch xmm14-15
//! ```
//!
//! A pin pays if it saves more memory accesses than it costs: one each to save and restore a
//! callee-saved register, and about one per call for a volatile one.

use crate::locals::Local;
use crate::x86_64::Gpr;

/// Uses that a callee-saved pin must have.
const CALLEE_SAVED_WEIGHT_MIN: u32 = 4;
/// Weighted uses that a volatile pin must have in a function with calls: two in a loop.
const VOLATILE_WEIGHT_MIN: u32 = 16;
/// Most pins of each kind.
const PINS_MAX: usize = 8;

const TEMPS: u16 = Gpr::RAX.bit() | Gpr::RCX.bit() | Gpr::RDX.bit() | Gpr::RSI.bit();
/// Vector temporaries: xmm0-7.
const VECTOR_TEMPS: u16 = 0x00ff;
/// Vector pins, all volatile: xmm8-13.
const VECTOR_PINS: [u8; 6] = [8, 9, 10, 11, 12, 13];
/// Registers that calls preserve and pins may use.
pub(crate) const CALLEE_SAVED: u16 =
    Gpr::RBX.bit() | Gpr::R12.bit() | Gpr::R13.bit() | Gpr::R14.bit() | Gpr::R15.bit();

/// The roles of registers in one function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Roles {
    pub(crate) vmctx: Gpr,
    pub(crate) membase: Option<Gpr>,
    pub(crate) temps: u16,
    pub(crate) vector_temps: u16,
    /// Callee-saved registers in use, to be saved.
    pub(crate) saved: u16,
}

/// What the choice depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    pub(crate) leaf: bool,
    pub(crate) loops: bool,
    /// Whether the base of memory 0 is kept in a register.
    pub(crate) guarded: bool,
}

/// Registers for integer pins in order of preference, with the weight that each needs.
fn gpr_pins(traits: Traits) -> ([(Gpr, u32); PINS_MAX], usize) {
    const S: u32 = CALLEE_SAVED_WEIGHT_MIN;
    const V: u32 = VOLATILE_WEIGHT_MIN;
    let mut list = [(Gpr::RAX, u32::MAX); PINS_MAX];
    let mut count = 0;
    let mut add = |reg: Gpr, weight: u32| {
        list[count] = (reg, weight);
        count += 1;
    };
    if traits.leaf {
        add(Gpr::R8, 1);
        add(Gpr::R10, 1);
        if !traits.guarded {
            add(Gpr::R9, 1);
        }
        for reg in [Gpr::RBX, Gpr::R12, Gpr::R13, Gpr::R14, Gpr::R15] {
            add(reg, S);
        }
    } else {
        for reg in [Gpr::RBX, Gpr::R12, Gpr::R13] {
            add(reg, S);
        }
        if !traits.guarded {
            add(Gpr::R14, S);
        }
        if traits.loops {
            for reg in [Gpr::R8, Gpr::R9, Gpr::R10] {
                add(reg, V);
            }
        }
    }
    (list, count)
}

/// The heaviest locals of one kind, heaviest first.
#[derive(Default)]
struct Heaviest {
    list: [(u32, u32); PINS_MAX],
    len: usize,
}

impl Heaviest {
    fn offer(&mut self, index: u32, weight: u32, max: usize) {
        let mut at = self.len;
        while at > 0 && self.list[at - 1].1 < weight {
            at -= 1;
        }
        if at >= max {
            return;
        }
        self.len = (self.len + 1).min(max);
        self.list.copy_within(at..self.len - 1, at + 1);
        self.list[at] = (index, weight);
    }

    fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.list[..self.len].iter().copied()
    }
}

/// Chooses pins for the locals, by their weights; fills in [`Local::pin`].
pub(crate) fn assign(locals: &mut [Local], weights: &[u32], traits: Traits) -> Roles {
    let (registers, count) = gpr_pins(traits);
    let vector_weight_min = match (traits.leaf, traits.loops) {
        (true, _) => 1,
        (false, true) => VOLATILE_WEIGHT_MIN,
        (false, false) => u32::MAX,
    };
    let (mut ints, mut floats) = (Heaviest::default(), Heaviest::default());
    for (index, (local, &weight)) in (0..).zip(locals.iter().zip(weights)) {
        if weight == 0 {
            continue;
        }
        if local.ty.is_int() {
            ints.offer(index, weight, count);
        } else {
            floats.offer(index, weight, VECTOR_PINS.len());
        }
    }
    let mut saved = 0;
    for ((index, weight), (reg, weight_min)) in ints.iter().zip(registers) {
        if weight >= weight_min {
            locals[index as usize].pin = reg.0;
            saved |= reg.bit() & CALLEE_SAVED;
        }
    }
    for ((index, weight), reg) in floats.iter().zip(VECTOR_PINS) {
        if weight >= vector_weight_min {
            locals[index as usize].pin = reg;
        }
    }
    roles(traits, saved)
}

fn roles(traits: Traits, saved: u16) -> Roles {
    if traits.leaf {
        return Roles {
            vmctx: Gpr::RDI,
            membase: traits.guarded.then_some(Gpr::R9),
            temps: TEMPS,
            vector_temps: VECTOR_TEMPS,
            saved,
        };
    }
    let membase = traits.guarded.then_some(Gpr::R14);
    Roles {
        vmctx: Gpr::R15,
        membase,
        temps: TEMPS | Gpr::RDI.bit(),
        vector_temps: VECTOR_TEMPS,
        saved: saved | Gpr::R15.bit() | membase.map_or(0, Gpr::bit),
    }
}

/// Whether a register loses its value in calls.
pub(crate) fn is_volatile(reg: u8) -> bool {
    CALLEE_SAVED & 1 << reg == 0
}
