//! Where arguments and results travel: one convention for every maker of native code.
//!
//! A wasm function of type `(p...) -> (r...)` is a machine function with the parameters
//! `vmctx, [return area,] p...` under Cranelift's `tail` convention: the callee pops its stack
//! arguments, frame pointers are always kept, and on x86-64 the callee saves rbx, r12-r15.
//!
//! * Integers and references take general registers, floats and vectors take vector registers,
//!   in order, each kind by itself; what finds none goes to the stack in slots of its own size
//!   (at least 8 bytes, aligned to their size; the whole is a multiple of 16 bytes). The first
//!   slot is next to the return address.
//! * Results take registers in the same way; a result that finds none is stored to the *return
//!   area*, a 16-byte cell per such result in order, whose address the caller passes as the
//!   parameter after the vmctx. Functions whose results all fit have no such parameter.
//!
//! The optimizing compiler hands the same list to Cranelift, which comes to the same places; a
//! test there compares the two for many shapes.

use crate::types::{FuncType, ValType};

/// The registers of one architecture's convention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convention {
    /// General registers for parameters, the vmctx included.
    pub gpr_params: u8,
    /// Vector registers for parameters.
    pub fpr_params: u8,
    /// General registers for results.
    pub gpr_results: u8,
    /// Vector registers for results.
    pub fpr_results: u8,
}

/// x86-64: rdi rsi rdx rcx r8 r9 and xmm0-7 in; rax rcx rdx rsi rdi r8 r9 r10 and xmm0-7 out.
pub const X86_64: Convention =
    Convention { gpr_params: 6, fpr_params: 8, gpr_results: 8, fpr_results: 8 };
/// aarch64: x2-x7 and v0-v7, both ways.
pub const AARCH64: Convention =
    Convention { gpr_params: 6, fpr_params: 8, gpr_results: 6, fpr_results: 8 };

/// Where a parameter travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamPlace {
    /// The n-th general parameter register; the vmctx is number 0.
    Gpr(u8),
    /// The n-th vector parameter register.
    Fpr(u8),
    /// Bytes above the return address's end, when the callee is entered.
    Stack(u32),
}

/// Where a result travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultPlace {
    /// The n-th general result register.
    Gpr(u8),
    /// The n-th vector result register.
    Fpr(u8),
    /// Byte offset in the return area.
    Area(u32),
}

/// Places of all parameters and results of a function type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallShape {
    /// One per parameter of the wasm type.
    pub params: Box<[ParamPlace]>,
    /// One per result of the wasm type.
    pub results: Box<[ResultPlace]>,
    /// Bytes of stack arguments, a multiple of 16; the callee pops them.
    pub stack_bytes: u32,
    /// Bytes of the return area, a multiple of 16; 0: there is none and no parameter for it.
    pub area_bytes: u32,
}

/// Bytes of a cell in the return area.
pub const AREA_CELL_BYTES: u32 = 16;

impl CallShape {
    /// The shape of a function type under a convention.
    #[must_use]
    pub fn new(convention: &Convention, ty: &FuncType) -> Self {
        let (results, area_bytes) = place_results(convention, &ty.results);
        // The vmctx takes the first register, the return area's address the second.
        let mut gprs = if area_bytes > 0 { 2 } else { 1 };
        let mut fprs = 0;
        let mut stack = 0u32;
        let params = ty
            .params
            .iter()
            .map(|&param| {
                let (next, max) = if param.is_float_or_vector() {
                    (&mut fprs, convention.fpr_params)
                } else {
                    (&mut gprs, convention.gpr_params)
                };
                if *next < max {
                    *next += 1;
                    return if param.is_float_or_vector() {
                        ParamPlace::Fpr(*next - 1)
                    } else {
                        ParamPlace::Gpr(*next - 1)
                    };
                }
                let size = param.bytes().max(8);
                let at = stack.next_multiple_of(size);
                stack = at + size;
                ParamPlace::Stack(at)
            })
            .collect();
        CallShape { params, results, stack_bytes: stack.next_multiple_of(16), area_bytes }
    }
}

/// Places of results and bytes of the return area.
#[must_use]
pub fn place_results(convention: &Convention, results: &[ValType]) -> (Box<[ResultPlace]>, u32) {
    let (mut gprs, mut fprs, mut area) = (0u8, 0u8, 0u32);
    let places = results
        .iter()
        .map(|result| {
            if result.is_float_or_vector() {
                if fprs < convention.fpr_results {
                    fprs += 1;
                    return ResultPlace::Fpr(fprs - 1);
                }
            } else if gprs < convention.gpr_results {
                gprs += 1;
                return ResultPlace::Gpr(gprs - 1);
            }
            area += AREA_CELL_BYTES;
            ResultPlace::Area(area - AREA_CELL_BYTES)
        })
        .collect();
    (places, area)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ValType::*;

    #[test]
    fn kinds_take_registers_independently() {
        let shape = CallShape::new(&X86_64, &FuncType::new([I32, F64, I64], [F32, I32]));
        assert_eq!(*shape.params, [ParamPlace::Gpr(1), ParamPlace::Fpr(0), ParamPlace::Gpr(2)]);
        assert_eq!(*shape.results, [ResultPlace::Fpr(0), ResultPlace::Gpr(0)]);
        assert_eq!((shape.stack_bytes, shape.area_bytes), (0, 0));
    }

    #[test]
    fn overflowing_parameters_go_to_the_stack_aligned() {
        let mut params = vec![I32; 6];
        params.extend([F32; 8]);
        params.push(V128);
        let shape = CallShape::new(&X86_64, &FuncType::new(params, []));
        assert_eq!(shape.params[4], ParamPlace::Gpr(5));
        assert_eq!(shape.params[5], ParamPlace::Stack(0));
        assert_eq!(shape.params[14], ParamPlace::Stack(16));
        assert_eq!(shape.stack_bytes, 32);
    }

    #[test]
    fn overflowing_results_take_the_area_and_a_register_for_its_address() {
        let shape = CallShape::new(&X86_64, &FuncType::new([I32], vec![I64; 10]));
        assert_eq!(shape.results[7], ResultPlace::Gpr(7));
        assert_eq!(shape.results[9], ResultPlace::Area(16));
        assert_eq!(shape.area_bytes, 32);
        assert_eq!(*shape.params, [ParamPlace::Gpr(2)]);
    }
}
