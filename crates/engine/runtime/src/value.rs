//! Values at the border between host and wasm.

use crate::context::FuncRef;
use std::ptr::NonNull;
use wasmoor_abi::{RefFamily, ValType};

/// A function of a store: the address of its reference structure, which lives as long as its
/// instance, or as the store if the host made it. Never dereferenced without knowing that it belongs
/// to the store at hand, and that its instance is not gone: what guests can reach is not.
pub type FuncPtr = NonNull<FuncRef>;

/// An object of the host's that wasm holds by reference: position in the store's list, plus one.
pub type ExternRefId = std::num::NonZeroU32;

/// An exception that wasm holds by reference, as it lies in registers.
pub type ExnRefId = std::num::NonZeroU64;

/// An object of a guest's: there are none yet, only null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnyRefId {}

/// A value as wasm sees it, belonging to one store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Val {
    /// 32-bit integer.
    I32(i32),
    /// 64-bit integer.
    I64(i64),
    /// Bits of a 32-bit float.
    F32(u32),
    /// Bits of a 64-bit float.
    F64(u64),
    /// 128-bit vector, little-endian.
    V128(u128),
    /// Function reference; `None` is null.
    Func(Option<FuncPtr>),
    /// Host reference; `None` is null.
    Extern(Option<ExternRefId>),
    /// Exception reference; `None` is null.
    Exn(Option<ExnRefId>),
    /// Reference to a guest's object; `None` is null.
    Any(Option<AnyRefId>),
}

impl Val {
    /// The type; references are taken as nullable.
    #[must_use]
    pub fn ty(&self) -> ValType {
        match self {
            Val::I32(_) => ValType::I32,
            Val::I64(_) => ValType::I64,
            Val::F32(_) => ValType::F32,
            Val::F64(_) => ValType::F64,
            Val::V128(_) => ValType::V128,
            Val::Func(_) => ValType::FUNCREF,
            Val::Extern(_) => ValType::EXTERNREF,
            Val::Exn(_) => ValType::EXNREF,
            Val::Any(_) => ValType::ANYREF,
        }
    }

    /// Whether the value is a null reference.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Val::Func(None) | Val::Extern(None) | Val::Exn(None) | Val::Any(None))
    }

    /// The value as it lies in registers and cells.
    #[must_use]
    pub fn to_bits(self) -> u128 {
        match self {
            Val::I32(value) => u128::from(value.cast_unsigned()),
            Val::I64(value) => u128::from(value.cast_unsigned()),
            Val::F32(bits) => u128::from(bits),
            Val::F64(bits) => u128::from(bits),
            Val::V128(bits) => bits,
            Val::Func(func) => func.map_or(0, |func| func.as_ptr() as usize as u128),
            Val::Extern(object) => object.map_or(0, |id| u128::from(id.get())),
            Val::Exn(exception) => exception.map_or(0, |id| u128::from(id.get())),
            Val::Any(object) => object.map_or(0, |object| match object {}),
        }
    }

    /// The value of this type from what lies in a register or cell.
    #[must_use]
    pub fn from_bits(bits: u128, ty: ValType) -> Val {
        match ty {
            ValType::I32 => Val::I32((bits as u32).cast_signed()),
            ValType::I64 => Val::I64((bits as u64).cast_signed()),
            ValType::F32 => Val::F32(bits as u32),
            ValType::F64 => Val::F64(bits as u64),
            ValType::V128 => Val::V128(bits),
            ValType::Ref(ty) => match ty.family() {
                RefFamily::Func => Val::Func(NonNull::new(bits as u64 as usize as *mut FuncRef)),
                RefFamily::Extern => Val::Extern(ExternRefId::new(bits as u32)),
                RefFamily::Exn => Val::Exn(ExnRefId::new(bits as u64)),
                RefFamily::Any => Val::Any(None),
            },
        }
    }
}
