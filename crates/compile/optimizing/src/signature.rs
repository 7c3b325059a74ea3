//! CLIF types and signatures: our call convention in the backend's terms.
//!
//! `vmctx, [return area,] params...` under the `tail` convention, with results in registers as
//! long as they fit. `wasmoor_abi::call` says which results go to the return area; that the
//! backend comes to the same registers for the others is tested.

use cranelift_codegen::ir::{AbiParam, ArgumentPurpose, Signature, Type, types};
use cranelift_codegen::isa::{CallConv, TargetIsa};
use wasmoor_abi::call::{self, Convention, ResultPlace};
use wasmoor_abi::libcall::{Libcall, LibcallType};
use wasmoor_abi::{FuncType, ValType};

/// The CLIF type of a wasm value. Vectors are `I8X16` wherever their lanes do not matter.
pub(crate) const fn clif_type(ty: ValType) -> Type {
    match ty {
        ValType::I32 => types::I32,
        ValType::I64 | ValType::Ref(_) => types::I64,
        ValType::F32 => types::F32,
        ValType::F64 => types::F64,
        ValType::V128 => types::I8X16,
    }
}

/// The convention's registers on the backend's architecture.
pub(crate) fn convention(isa: &dyn TargetIsa) -> Convention {
    if isa.name() == "aarch64" { call::AARCH64 } else { call::X86_64 }
}

/// Where a function's results travel.
#[derive(Clone, Debug)]
pub(crate) struct ResultShape {
    /// One place per result.
    pub(crate) places: Box<[ResultPlace]>,
    /// Bytes of the return area; 0 if there is none.
    pub(crate) area_bytes: u32,
}

impl ResultShape {
    /// The shape of these results.
    pub(crate) fn new(convention: &Convention, results: &[ValType]) -> Self {
        let (places, area_bytes) = call::place_results(convention, results);
        ResultShape { places, area_bytes }
    }
}

/// The CLIF signature of a wasm function.
pub(crate) fn wasm_signature(ty: &FuncType, shape: &ResultShape) -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.reserve(ty.params.len() + 2);
    signature.params.push(AbiParam::special(types::I64, ArgumentPurpose::VMContext));
    if shape.area_bytes > 0 {
        signature.params.push(AbiParam::new(types::I64));
    }
    signature.params.extend(ty.params.iter().map(|&ty| AbiParam::new(clif_type(ty))));
    let in_registers = ty.results.iter().zip(&shape.places);
    signature.returns.extend(in_registers.filter_map(|(&ty, place)| match place {
        ResultPlace::Area(_) => None,
        ResultPlace::Gpr(_) | ResultPlace::Fpr(_) => Some(AbiParam::new(clif_type(ty))),
    }));
    signature
}

/// The CLIF signature of a libcall that throws: wasm's own convention, under which an exception
/// may pass.
pub(crate) fn throwing_signature(libcall: Libcall) -> Signature {
    libcall_signature(libcall, CallConv::Tail)
}

/// The CLIF signature of a libcall: the platform's C convention, vmctx first.
pub(crate) fn libcall_signature(libcall: Libcall, convention: CallConv) -> Signature {
    let param = |ty: &LibcallType| match ty {
        LibcallType::I32 => AbiParam::new(types::I32),
        LibcallType::I64 => AbiParam::new(types::I64),
    };
    let mut signature = Signature::new(convention);
    signature.params.push(AbiParam::new(types::I64));
    signature.params.extend(libcall.params().iter().map(param));
    signature.returns.extend(libcall.result().iter().map(param));
    signature
}
