//! Constant expressions.

use crate::entities::GlobalId;
use crate::instance::Instance;
use crate::store::StoreInner;
use wasmoor_module::{ConstExpr, ConstOp};

/// The value of a validated constant expression, as it lies in a cell.
pub(crate) fn eval(store: &StoreInner, instance: &Instance, expr: &ConstExpr) -> u128 {
    let mut stack: Vec<u128> = Vec::with_capacity(2);
    for op in &expr.ops {
        let value = match *op {
            ConstOp::I32Const(value) => u128::from(value.cast_unsigned()),
            ConstOp::I64Const(value) => u128::from(value.cast_unsigned()),
            ConstOp::F32Const(bits) => u128::from(bits),
            ConstOp::F64Const(bits) => u128::from(bits),
            ConstOp::V128Const(bits) => bits,
            ConstOp::RefNull(_) => 0,
            ConstOp::RefFunc(func) => instance.func(func).as_ptr() as usize as u128,
            ConstOp::GlobalGet(global) => {
                let id: GlobalId = instance.parts.globals[global];
                store.globals[id].get().to_bits()
            }
            ConstOp::I32Add => binary32(&mut stack, u32::wrapping_add),
            ConstOp::I32Sub => binary32(&mut stack, u32::wrapping_sub),
            ConstOp::I32Mul => binary32(&mut stack, u32::wrapping_mul),
            ConstOp::I64Add => binary64(&mut stack, u64::wrapping_add),
            ConstOp::I64Sub => binary64(&mut stack, u64::wrapping_sub),
            ConstOp::I64Mul => binary64(&mut stack, u64::wrapping_mul),
        };
        stack.push(value);
    }
    pop(&mut stack)
}

/// Validation guarantees operands.
fn pop(stack: &mut Vec<u128>) -> u128 {
    debug_assert!(!stack.is_empty());
    stack.pop().unwrap_or(0)
}

fn binary32(stack: &mut Vec<u128>, op: fn(u32, u32) -> u32) -> u128 {
    let right = pop(stack) as u32;
    let left = pop(stack) as u32;
    u128::from(op(left, right))
}

fn binary64(stack: &mut Vec<u128>, op: fn(u64, u64) -> u64) -> u128 {
    let right = pop(stack) as u64;
    let left = pop(stack) as u64;
    u128::from(op(left, right))
}
