//! Types that a module defines: functions, structs, arrays, and how they stand on each other.

use crate::reference::{CompositeKind, ConcreteType, HeapType, RefType, TypeUse};
use crate::types::{FuncType, ValType};
use core::fmt;

/// A defined type with its place among the others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SubType {
    /// Whether it can have no subtypes.
    pub is_final: bool,
    /// The type that it is a subtype of.
    pub supertype: Option<TypeUse>,
    /// What it consists of.
    pub composite: CompositeType,
}

impl SubType {
    /// A final type without a supertype.
    #[must_use]
    pub const fn alone(composite: CompositeType) -> Self {
        SubType { is_final: true, supertype: None, composite }
    }

    /// The function type, if it is one.
    #[must_use]
    pub const fn as_func(&self) -> Option<&FuncType> {
        match &self.composite {
            CompositeType::Func(ty) => Some(ty),
            CompositeType::Struct(_) | CompositeType::Array(_) => None,
        }
    }
}

impl fmt::Display for SubType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_final, self.supertype) {
            (true, None) => self.composite.fmt(f),
            (true, Some(of)) => write!(f, "sub final {of} {}", self.composite),
            (false, Some(of)) => write!(f, "sub {of} {}", self.composite),
            (false, None) => write!(f, "sub {}", self.composite),
        }
    }
}

/// What a defined type consists of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CompositeType {
    /// A function.
    Func(FuncType),
    /// A struct: its fields, in order.
    Struct(Box<[FieldType]>),
    /// An array: the type of its elements.
    Array(FieldType),
}

impl CompositeType {
    /// Which kind it is.
    #[must_use]
    pub const fn kind(&self) -> CompositeKind {
        match self {
            CompositeType::Func(_) => CompositeKind::Func,
            CompositeType::Struct(_) => CompositeKind::Struct,
            CompositeType::Array(_) => CompositeKind::Array,
        }
    }
}

impl fmt::Display for CompositeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompositeType::Func(ty) => ty.fmt(f),
            CompositeType::Struct(fields) => {
                f.write_str("struct {")?;
                for (i, field) in fields.iter().enumerate() {
                    write!(f, "{}{field}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
            CompositeType::Array(element) => write!(f, "array {element}"),
        }
    }
}

/// Type of a struct's field or an array's element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldType {
    /// What is stored.
    pub storage: StorageType,
    /// Whether it can be changed.
    pub mutable: bool,
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.storage {
            StorageType::I8 => "i8",
            StorageType::I16 => "i16",
            StorageType::Val(ty) if self.mutable => return write!(f, "(mut {ty})"),
            StorageType::Val(ty) => return ty.fmt(f),
        };
        if self.mutable { write!(f, "(mut {name})") } else { f.write_str(name) }
    }
}

/// What a field stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StorageType {
    /// 8 bits of an `i32`.
    I8,
    /// 16 bits of an `i32`.
    I16,
    /// A value.
    Val(ValType),
}

/// Naming the types that a type mentions in another way.
impl SubType {
    /// The type with every mentioned type renamed.
    #[must_use]
    pub fn map_uses(&self, map: &mut dyn FnMut(TypeUse) -> TypeUse) -> SubType {
        let composite = match &self.composite {
            CompositeType::Func(ty) => CompositeType::Func(ty.map_uses(map)),
            CompositeType::Struct(fields) => {
                CompositeType::Struct(fields.iter().map(|field| field.map_use(map)).collect())
            }
            CompositeType::Array(element) => CompositeType::Array(element.map_use(map)),
        };
        SubType { is_final: self.is_final, supertype: self.supertype.map(map), composite }
    }

    /// Calls `f` with every type that is mentioned, the supertype included.
    pub fn for_each_use(&self, f: &mut dyn FnMut(ConcreteType)) {
        if let Some(ty) = self.supertype {
            // A supertype is of the same kind (`valid-subtype`).
            f(ConcreteType { kind: self.composite.kind(), ty });
        }
        let mut of_field = |field: &FieldType| {
            if let StorageType::Val(ty) = field.storage {
                ty.as_concrete().map(&mut *f);
            }
        };
        match &self.composite {
            CompositeType::Func(ty) => ty.for_each_use(f),
            CompositeType::Struct(fields) => fields.iter().for_each(of_field),
            CompositeType::Array(element) => of_field(element),
        }
    }
}

impl FieldType {
    fn map_use(&self, map: &mut dyn FnMut(TypeUse) -> TypeUse) -> FieldType {
        let storage = match self.storage {
            StorageType::Val(ty) => StorageType::Val(ty.map_use(map)),
            packed => packed,
        };
        FieldType { storage, mutable: self.mutable }
    }
}

impl FuncType {
    /// The type with every mentioned type renamed.
    #[must_use]
    pub fn map_uses(&self, map: &mut dyn FnMut(TypeUse) -> TypeUse) -> FuncType {
        FuncType {
            params: self.params.iter().map(|ty| ty.map_use(map)).collect(),
            results: self.results.iter().map(|ty| ty.map_use(map)).collect(),
        }
    }

    /// Calls `f` with every type that is mentioned.
    pub fn for_each_use(&self, f: &mut dyn FnMut(ConcreteType)) {
        self.params.iter().chain(&self.results).filter_map(|ty| ty.as_concrete()).for_each(f);
    }
}

impl ValType {
    /// The defined type that the type mentions.
    #[must_use]
    pub const fn as_concrete(&self) -> Option<ConcreteType> {
        match self {
            ValType::Ref(RefType { heap: HeapType::Concrete(ty), .. }) => Some(*ty),
            _ => None,
        }
    }

    /// The type with the mentioned type renamed.
    #[must_use]
    pub fn map_use(self, map: &mut dyn FnMut(TypeUse) -> TypeUse) -> ValType {
        match self {
            ValType::Ref(ty) => ValType::Ref(ty.map_use(map)),
            number => number,
        }
    }
}

impl RefType {
    /// The type with the mentioned type renamed.
    #[must_use]
    pub fn map_use(self, map: &mut dyn FnMut(TypeUse) -> TypeUse) -> RefType {
        let HeapType::Concrete(ConcreteType { kind, ty }) = self.heap else { return self };
        RefType { heap: HeapType::Concrete(ConcreteType { kind, ty: map(ty) }), ..self }
    }
}
