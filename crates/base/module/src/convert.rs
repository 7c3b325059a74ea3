//! The validator's types as ours.
//!
//! Called on validated sections only. What our types cannot express (objects in constant
//! expressions, continuations, shared tables) is reported as unsupported, never approximated.

use crate::features::Feature;
use wasmoor_abi::entity::PrimaryMap;
use wasmoor_abi::{
    CompositeKind, CompositeType, ConcreteType, FieldType, FuncIndex, FuncType, GlobalIndex,
    GlobalType, HeapType, MemoryIndex, MemoryType, RefType, StorageType, SubType, TableIndex,
    TableType, TagIndex, TypeIndex, TypeUse, ValType,
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

/// The types known so far: to tell which kind of thing a reference to a defined type leads to.
#[derive(Clone, Copy)]
pub(crate) struct Types<'m> {
    /// Those of the section so far.
    pub(crate) known: &'m PrimaryMap<TypeIndex, SubType>,
    /// Kinds of those of the recursion group at hand, which come next.
    pub(crate) group: &'m [CompositeKind],
}

impl<'m> Types<'m> {
    /// All types of a module.
    pub(crate) fn of(known: &'m PrimaryMap<TypeIndex, SubType>) -> Self {
        Types { known, group: &[] }
    }

    fn kind(self, index: u32) -> Option<CompositeKind> {
        match (index as usize).checked_sub(self.known.len()) {
            None => self.known.get(TypeIndex::from_u32(index)).map(|ty| ty.composite.kind()),
            Some(in_group) => self.group.get(in_group).copied(),
        }
    }

    pub(crate) fn val_type(self, ty: wasmparser::ValType) -> Result<ValType, Unsupported> {
        Ok(match ty {
            wasmparser::ValType::I32 => ValType::I32,
            wasmparser::ValType::I64 => ValType::I64,
            wasmparser::ValType::F32 => ValType::F32,
            wasmparser::ValType::F64 => ValType::F64,
            wasmparser::ValType::V128 => ValType::V128,
            wasmparser::ValType::Ref(ty) => ValType::Ref(self.ref_type(ty)?),
        })
    }

    pub(crate) fn ref_type(self, ty: wasmparser::RefType) -> Result<RefType, Unsupported> {
        Ok(RefType { nullable: ty.is_nullable(), heap: self.heap_type(ty.heap_type())? })
    }

    pub(crate) fn heap_type(self, ty: wasmparser::HeapType) -> Result<HeapType, Unsupported> {
        match ty {
            wasmparser::HeapType::Abstract { shared: true, .. } => {
                Err(Unsupported::unnamed("shared reference types"))
            }
            wasmparser::HeapType::Abstract { shared: false, ty } => abstract_heap_type(ty),
            wasmparser::HeapType::Concrete(UnpackedIndex::Module(index)) => {
                let kind = self.kind(index).ok_or(Unsupported::unnamed("types unknown here"))?;
                let ty = TypeUse::Index(TypeIndex::from_u32(index));
                Ok(HeapType::Concrete(ConcreteType { kind, ty }))
            }
            // The binary format has indices of the module only.
            wasmparser::HeapType::Concrete(_) => {
                Err(Unsupported::unnamed("types of other modules"))
            }
            wasmparser::HeapType::Exact(_) => Err(Unsupported::unnamed("exact reference types")),
        }
    }

    fn val_types(self, types: &[wasmparser::ValType]) -> Result<Box<[ValType]>, Unsupported> {
        types.iter().map(|&ty| self.val_type(ty)).collect()
    }

    fn field(self, ty: wasmparser::FieldType) -> Result<FieldType, Unsupported> {
        let storage = match ty.element_type {
            wasmparser::StorageType::I8 => StorageType::I8,
            wasmparser::StorageType::I16 => StorageType::I16,
            wasmparser::StorageType::Val(ty) => StorageType::Val(self.val_type(ty)?),
        };
        Ok(FieldType { storage, mutable: ty.mutable })
    }

    fn composite(self, ty: &CompositeInnerType) -> Result<CompositeType, Unsupported> {
        Ok(match ty {
            CompositeInnerType::Func(ty) => CompositeType::Func(FuncType {
                params: self.val_types(ty.params())?,
                results: self.val_types(ty.results())?,
            }),
            CompositeInnerType::Struct(ty) => CompositeType::Struct(
                ty.fields.iter().map(|&field| self.field(field)).collect::<Result<_, _>>()?,
            ),
            CompositeInnerType::Array(ty) => CompositeType::Array(self.field(ty.0)?),
            CompositeInnerType::Cont(_) => return Err(Unsupported::unnamed("continuations")),
        })
    }

    fn sub_type(self, ty: &wasmparser::SubType) -> Result<SubType, Unsupported> {
        let composite = &ty.composite_type;
        if composite.shared {
            return Err(Unsupported::unnamed("shared types"));
        }
        if composite.descriptor_idx.is_some() || composite.describes_idx.is_some() {
            return Err(Unsupported::unnamed("descriptors of types"));
        }
        let supertype = match ty.supertype_idxs[..] {
            [] => None,
            [index] => match index.unpack() {
                UnpackedIndex::Module(index) => Some(TypeUse::Index(TypeIndex::from_u32(index))),
                _ => return Err(Unsupported::unnamed("types of other modules")),
            },
            _ => return Err(Unsupported::unnamed("several supertypes")),
        };
        let composite = self.composite(&composite.inner)?;
        Ok(SubType { is_final: ty.is_final, supertype, composite })
    }

    pub(crate) fn table_type(self, ty: wasmparser::TableType) -> Result<TableType, Unsupported> {
        if ty.shared {
            return Err(Unsupported::unnamed("shared tables"));
        }
        Ok(TableType {
            element: self.ref_type(ty.element_type)?,
            minimum: ty.initial,
            maximum: ty.maximum,
            index64: ty.table64,
        })
    }

    pub(crate) fn global_type(self, ty: wasmparser::GlobalType) -> Result<GlobalType, Unsupported> {
        if ty.shared {
            return Err(Unsupported::unnamed("shared globals"));
        }
        Ok(GlobalType { content: self.val_type(ty.content_type)?, mutable: ty.mutable })
    }

    pub(crate) fn const_expr(self, expr: &Expr<'_>) -> Result<ConstExpr, ConstExprError> {
        let mut reader = expr.get_operators_reader();
        // Nearly all have one operator, and a table may have millions of them.
        let mut ops = Vec::with_capacity(1);
        loop {
            let (operator, offset) = reader.read_with_offset().map_err(ConstExprError::Decode)?;
            if matches!(operator, Operator::End) {
                return Ok(ConstExpr { ops });
            }
            let op = self.const_op(&operator);
            ops.push(op.map_err(|error| ConstExprError::Unsupported(error, offset))?);
        }
    }

    fn const_op(self, operator: &Operator<'_>) -> Result<ConstOp, Unsupported> {
        Ok(match *operator {
            Operator::I32Const { value } => ConstOp::I32Const(value),
            Operator::I64Const { value } => ConstOp::I64Const(value),
            Operator::F32Const { value } => ConstOp::F32Const(value.bits()),
            Operator::F64Const { value } => ConstOp::F64Const(value.bits()),
            Operator::V128Const { value } => {
                ConstOp::V128Const(u128::from_le_bytes(*value.bytes()))
            }
            Operator::RefNull { hty } => ConstOp::RefNull(self.heap_type(hty)?),
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

/// The types of a recursion group, which follow those `known`.
pub(crate) fn rec_group(
    known: &PrimaryMap<TypeIndex, SubType>,
    group: &RecGroup,
) -> Result<Vec<SubType>, Unsupported> {
    let kinds = group.types().map(kind).collect::<Result<Vec<_>, _>>()?;
    let types = Types { known, group: &kinds };
    group.types().map(|ty| types.sub_type(ty)).collect()
}

fn kind(ty: &wasmparser::SubType) -> Result<CompositeKind, Unsupported> {
    match ty.composite_type.inner {
        CompositeInnerType::Func(_) => Ok(CompositeKind::Func),
        CompositeInnerType::Struct(_) => Ok(CompositeKind::Struct),
        CompositeInnerType::Array(_) => Ok(CompositeKind::Array),
        CompositeInnerType::Cont(_) => Err(Unsupported::unnamed("continuations")),
    }
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
