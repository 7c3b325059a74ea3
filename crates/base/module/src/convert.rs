//! The validator's types as ours.
//!
//! Called on validated sections only. What our types cannot express (objects of the collector,
//! subtyping, continuations, shared tables) is reported as unsupported, never approximated.

use crate::features::Feature;
use wasmoor_abi::{
    FuncIndex, FuncType, GlobalIndex, GlobalType, HeapType, MemoryIndex, MemoryType, RefType,
    TableIndex, TableType, TagIndex, TypeIndex, ValType,
};
use wasmparser::{
    AbstractHeapType, CompositeInnerType, ConstExpr as Expr, ExternalKind, Operator, RecGroup,
    UnpackedIndex,
};

use crate::description::{ConstExpr, ConstOp, EntityIndex};

/// Something valid that our types cannot express.
#[derive(Debug)]
pub(crate) struct Unsupported {
    pub(crate) what: &'static str,
    pub(crate) feature: Option<Feature>,
}

impl Unsupported {
    pub(crate) const fn new(what: &'static str, feature: Feature) -> Self {
        Unsupported { what, feature: Some(feature) }
    }

    pub(crate) const fn unnamed(what: &'static str) -> Self {
        Unsupported { what, feature: None }
    }
}

pub(crate) fn val_type(ty: wasmparser::ValType) -> Result<ValType, Unsupported> {
    Ok(match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(ty) => ValType::Ref(ref_type(ty)?),
    })
}

pub(crate) fn ref_type(ty: wasmparser::RefType) -> Result<RefType, Unsupported> {
    Ok(RefType { nullable: ty.is_nullable(), heap: heap_type(ty.heap_type())? })
}

pub(crate) fn heap_type(ty: wasmparser::HeapType) -> Result<HeapType, Unsupported> {
    match ty {
        wasmparser::HeapType::Abstract { shared: true, .. } => {
            Err(Unsupported::unnamed("shared reference types"))
        }
        wasmparser::HeapType::Abstract { shared: false, ty } => abstract_heap_type(ty),
        wasmparser::HeapType::Concrete(UnpackedIndex::Module(index)) => {
            Ok(HeapType::Concrete(TypeIndex::from_u32(index)))
        }
        wasmparser::HeapType::Concrete(_) => Err(Unsupported::new("recursive types", Feature::Gc)),
        wasmparser::HeapType::Exact(_) => Err(Unsupported::unnamed("exact reference types")),
    }
}

fn abstract_heap_type(ty: AbstractHeapType) -> Result<HeapType, Unsupported> {
    Ok(match ty {
        AbstractHeapType::Func => HeapType::Func,
        AbstractHeapType::NoFunc => HeapType::NoFunc,
        AbstractHeapType::Extern => HeapType::Extern,
        AbstractHeapType::NoExtern => HeapType::NoExtern,
        AbstractHeapType::Exn => HeapType::Exn,
        AbstractHeapType::NoExn => HeapType::NoExn,
        AbstractHeapType::Any => HeapType::Any,
        AbstractHeapType::Eq => HeapType::Eq,
        AbstractHeapType::I31 => HeapType::I31,
        AbstractHeapType::Struct => HeapType::Struct,
        AbstractHeapType::Array => HeapType::Array,
        AbstractHeapType::None => HeapType::None,
        AbstractHeapType::Cont | AbstractHeapType::NoCont => {
            return Err(Unsupported::unnamed("continuations"));
        }
    })
}

/// The function type that a recursion group consists of.
pub(crate) fn func_type(group: RecGroup) -> Result<FuncType, Unsupported> {
    let mut types = group.into_types();
    let (Some(ty), None) = (types.next(), types.next()) else {
        return Err(Unsupported::new("recursive types", Feature::Gc));
    };
    if !ty.is_final || !ty.supertype_idxs.is_empty() {
        return Err(Unsupported::new("subtypes", Feature::Gc));
    }
    if ty.composite_type.shared {
        return Err(Unsupported::unnamed("shared types"));
    }
    match ty.composite_type.inner {
        CompositeInnerType::Func(ty) => Ok(FuncType {
            params: ty.params().iter().copied().map(val_type).collect::<Result<_, _>>()?,
            results: ty.results().iter().copied().map(val_type).collect::<Result<_, _>>()?,
        }),
        CompositeInnerType::Array(_) | CompositeInnerType::Struct(_) => {
            Err(Unsupported::new("struct and array types", Feature::Gc))
        }
        CompositeInnerType::Cont(_) => Err(Unsupported::unnamed("continuations")),
    }
}

pub(crate) fn table_type(ty: wasmparser::TableType) -> Result<TableType, Unsupported> {
    if ty.shared {
        return Err(Unsupported::unnamed("shared tables"));
    }
    Ok(TableType {
        element: ref_type(ty.element_type)?,
        minimum: ty.initial,
        maximum: ty.maximum,
        index64: ty.table64,
    })
}

pub(crate) fn memory_type(ty: wasmparser::MemoryType) -> Result<MemoryType, Unsupported> {
    let page_size_log2 = match ty.page_size_log2() {
        16 => 16,
        0 => 0,
        _ => return Err(Unsupported::new("this page size", Feature::CustomPageSizes)),
    };
    Ok(MemoryType {
        minimum: ty.initial,
        maximum: ty.maximum,
        index64: ty.memory64,
        shared: ty.shared,
        page_size_log2,
    })
}

pub(crate) fn global_type(ty: wasmparser::GlobalType) -> Result<GlobalType, Unsupported> {
    if ty.shared {
        return Err(Unsupported::unnamed("shared globals"));
    }
    Ok(GlobalType { content: val_type(ty.content_type)?, mutable: ty.mutable })
}

pub(crate) fn entity(kind: ExternalKind, index: u32) -> Result<EntityIndex, Unsupported> {
    Ok(match kind {
        ExternalKind::Func => EntityIndex::Func(FuncIndex::from_u32(index)),
        ExternalKind::Table => EntityIndex::Table(TableIndex::from_u32(index)),
        ExternalKind::Memory => EntityIndex::Memory(MemoryIndex::from_u32(index)),
        ExternalKind::Global => EntityIndex::Global(GlobalIndex::from_u32(index)),
        ExternalKind::Tag => EntityIndex::Tag(TagIndex::from_u32(index)),
        ExternalKind::FuncExact => return Err(Unsupported::unnamed("exact function types")),
    })
}

/// Why a constant expression was not converted.
#[derive(Debug)]
pub(crate) enum ConstExprError {
    /// It cannot be decoded (which validation should have found).
    Decode(wasmparser::Error),
    /// It uses an operator that we do not have.
    Unsupported(Unsupported, u64),
}

pub(crate) fn const_expr(expr: &Expr<'_>) -> Result<ConstExpr, ConstExprError> {
    let mut reader = expr.get_operators_reader();
    // Nearly all have one operator, and a table may have millions of them.
    let mut ops = Vec::with_capacity(1);
    loop {
        let (operator, offset) = reader.read_with_offset().map_err(ConstExprError::Decode)?;
        if matches!(operator, Operator::End) {
            return Ok(ConstExpr { ops });
        }
        ops.push(const_op(&operator).map_err(|e| ConstExprError::Unsupported(e, offset))?);
    }
}

fn const_op(operator: &Operator<'_>) -> Result<ConstOp, Unsupported> {
    Ok(match *operator {
        Operator::I32Const { value } => ConstOp::I32Const(value),
        Operator::I64Const { value } => ConstOp::I64Const(value),
        Operator::F32Const { value } => ConstOp::F32Const(value.bits()),
        Operator::F64Const { value } => ConstOp::F64Const(value.bits()),
        Operator::V128Const { value } => ConstOp::V128Const(u128::from_le_bytes(*value.bytes())),
        Operator::RefNull { hty } => ConstOp::RefNull(heap_type(hty)?),
        Operator::RefFunc { function_index } => {
            ConstOp::RefFunc(FuncIndex::from_u32(function_index))
        }
        Operator::GlobalGet { global_index } => {
            ConstOp::GlobalGet(GlobalIndex::from_u32(global_index))
        }
        Operator::I32Add => ConstOp::I32Add,
        Operator::I32Sub => ConstOp::I32Sub,
        Operator::I32Mul => ConstOp::I32Mul,
        Operator::I64Add => ConstOp::I64Add,
        Operator::I64Sub => ConstOp::I64Sub,
        Operator::I64Mul => ConstOp::I64Mul,
        _ => return Err(Unsupported::new("objects in constant expressions", Feature::Gc)),
    })
}
