//! Types of references.
//!
//! References form four families without a common member, each with one most general and one
//! empty type:
//!
//! ```text
//! func    > types of functions                       > nofunc
//! extern                                             > noextern
//! exn                                                > noexn
//! any     > eq > i31, struct > types of structs,
//!                     array  > types of arrays       > none
//! ```

use crate::index::{CanonicalTypeId, TypeIndex};
use core::fmt;

/// Type of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RefType {
    /// Whether null belongs to the type.
    pub nullable: bool,
    /// What is referred to.
    pub heap: HeapType,
}

impl RefType {
    /// `(ref null func)`.
    pub const FUNCREF: RefType = RefType { nullable: true, heap: HeapType::Func };
    /// `(ref null extern)`.
    pub const EXTERNREF: RefType = RefType { nullable: true, heap: HeapType::Extern };
    /// `(ref null exn)`.
    pub const EXNREF: RefType = RefType { nullable: true, heap: HeapType::Exn };
    /// `(ref null any)`.
    pub const ANYREF: RefType = RefType { nullable: true, heap: HeapType::Any };

    /// The family that the references are of.
    #[must_use]
    pub const fn family(self) -> RefFamily {
        self.heap.family()
    }

    /// Whether values are function references (rather than host or collected objects).
    #[must_use]
    pub const fn is_func(self) -> bool {
        matches!(self.family(), RefFamily::Func)
    }

    /// Whether every value of this type is one of `other` (`match-reftype`); see
    /// [`HeapType::matches`].
    pub fn matches(
        self,
        other: RefType,
        defined: impl FnOnce(ConcreteType, ConcreteType) -> bool,
    ) -> bool {
        (other.nullable || !self.nullable) && self.heap.matches(other.heap, defined)
    }

    /// The type without null.
    #[must_use]
    pub const fn non_null(self) -> RefType {
        RefType { nullable: false, heap: self.heap }
    }
}

impl fmt::Display for RefType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.nullable, self.heap) {
            (true, HeapType::Func) => f.write_str("funcref"),
            (true, HeapType::Extern) => f.write_str("externref"),
            (true, HeapType::Exn) => f.write_str("exnref"),
            (true, HeapType::Any) => f.write_str("anyref"),
            (true, heap) => write!(f, "(ref null {heap})"),
            (false, heap) => write!(f, "(ref {heap})"),
        }
    }
}

/// Which kind of thing references of a type lead to. A value's bits mean something only together
/// with its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefFamily {
    /// Functions.
    Func,
    /// Objects of the host.
    Extern,
    /// Exceptions.
    Exn,
    /// Objects of guests: structs, arrays and small integers.
    Any,
}

/// What a reference refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum HeapType {
    Func,
    NoFunc,
    Extern,
    NoExtern,
    Exn,
    NoExn,
    Any,
    Eq,
    I31,
    Struct,
    Array,
    None,
    /// Functions, structs or arrays of one defined type.
    Concrete(ConcreteType),
}

impl HeapType {
    /// Functions of a type of the module's type section.
    #[must_use]
    pub const fn func_type(index: TypeIndex) -> HeapType {
        HeapType::Concrete(ConcreteType { kind: CompositeKind::Func, ty: TypeUse::Index(index) })
    }

    /// The family that the type belongs to.
    #[must_use]
    pub const fn family(self) -> RefFamily {
        match self {
            HeapType::Func | HeapType::NoFunc => RefFamily::Func,
            HeapType::Extern | HeapType::NoExtern => RefFamily::Extern,
            HeapType::Exn | HeapType::NoExn => RefFamily::Exn,
            HeapType::Any
            | HeapType::Eq
            | HeapType::I31
            | HeapType::Struct
            | HeapType::Array
            | HeapType::None => RefFamily::Any,
            HeapType::Concrete(ty) => ty.kind.family(),
        }
    }

    /// Whether everything of this type is of type `other` (`match-heaptype`). `defined` tells it
    /// of two different defined types.
    pub fn matches(
        self,
        other: HeapType,
        defined: impl FnOnce(ConcreteType, ConcreteType) -> bool,
    ) -> bool {
        if self == other {
            return true;
        }
        if self.family() != other.family() {
            return false;
        }
        match (self, other) {
            (HeapType::NoFunc | HeapType::NoExtern | HeapType::NoExn | HeapType::None, _)
            | (_, HeapType::Func | HeapType::Extern | HeapType::Exn | HeapType::Any) => true,
            (HeapType::I31 | HeapType::Struct | HeapType::Array, HeapType::Eq) => true,
            (HeapType::Concrete(ty), HeapType::Eq) => ty.kind != CompositeKind::Func,
            (HeapType::Concrete(ty), HeapType::Struct) => ty.kind == CompositeKind::Struct,
            (HeapType::Concrete(ty), HeapType::Array) => ty.kind == CompositeKind::Array,
            (HeapType::Concrete(a), HeapType::Concrete(b)) => defined(a, b),
            _ => false,
        }
    }
}

impl fmt::Display for HeapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeapType::Func => "func",
            HeapType::NoFunc => "nofunc",
            HeapType::Extern => "extern",
            HeapType::NoExtern => "noextern",
            HeapType::Exn => "exn",
            HeapType::NoExn => "noexn",
            HeapType::Any => "any",
            HeapType::Eq => "eq",
            HeapType::I31 => "i31",
            HeapType::Struct => "struct",
            HeapType::Array => "array",
            HeapType::None => "none",
            HeapType::Concrete(ty) => return ty.fmt(f),
        })
    }
}

/// A defined type, and of which kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConcreteType {
    /// Its kind, so that references can be told apart without looking the type up.
    pub kind: CompositeKind,
    /// The type.
    pub ty: TypeUse,
}

impl fmt::Display for ConcreteType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ty.fmt(f)
    }
}

/// Kinds of defined types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum CompositeKind {
    Func,
    Struct,
    Array,
}

impl CompositeKind {
    /// The family of references to such types.
    #[must_use]
    pub const fn family(self) -> RefFamily {
        match self {
            CompositeKind::Func => RefFamily::Func,
            CompositeKind::Struct | CompositeKind::Array => RefFamily::Any,
        }
    }
}

/// How a defined type is named (`syntax-typeuse`). Which form occurs depends on where: the
/// description of a module has indices only, everything that an engine or a store hands out has
/// types of the engine only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TypeUse {
    /// A type of the module's type section.
    Index(TypeIndex),
    /// A type of the same recursion group, counted from the group's first.
    Rec(u32),
    /// A type of an engine.
    Defined(DefinedType),
}

impl fmt::Display for TypeUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TypeUse::Index(index) => write!(f, "{}", index.as_u32()),
            TypeUse::Rec(position) => write!(f, "rec.{position}"),
            TypeUse::Defined(ty) => write!(f, "type#{}", ty.id.0),
        }
    }
}

/// Name of a type that an engine knows. It does not keep the type: modules, stores and whoever
/// registered it do. A name whose type is gone, or of another engine, names nothing: the serial
/// number is never used twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DefinedType {
    /// Its number, as code compares it.
    pub id: CanonicalTypeId,
    /// Number of the registration.
    pub serial: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use HeapType::*;

    fn concrete(kind: CompositeKind, index: u32) -> HeapType {
        Concrete(ConcreteType { kind, ty: TypeUse::Index(TypeIndex::from_u32(index)) })
    }

    #[test]
    fn heap_types_form_the_families_of_the_specification() {
        let func = concrete(CompositeKind::Func, 0);
        let structure = concrete(CompositeKind::Struct, 1);
        let array = concrete(CompositeKind::Array, 2);
        // From the most general to the most special, members of one line do not match each other.
        let families: [&[&[HeapType]]; 4] = [
            &[&[Func], &[func], &[NoFunc]],
            &[&[Extern], &[NoExtern]],
            &[&[Exn], &[NoExn]],
            &[&[Any], &[Eq], &[I31, Struct, Array], &[structure, array], &[None]],
        ];
        let all = |family: usize| {
            families[family]
                .iter()
                .enumerate()
                .flat_map(move |(line, types)| types.iter().map(move |&ty| (family, line, ty)))
        };
        for (family, line, ty) in (0..4).flat_map(all) {
            for (other_family, other_line, other) in (0..4).flat_map(all) {
                let unrelated = matches!(
                    (ty, other),
                    (Concrete(ConcreteType { kind: CompositeKind::Struct, .. }), I31 | Array)
                        | (Concrete(ConcreteType { kind: CompositeKind::Array, .. }), I31 | Struct)
                );
                let expected =
                    ty == other || (family == other_family && line > other_line && !unrelated);
                assert_eq!(ty.matches(other, |_, _| false), expected, "{ty} <: {other}");
            }
        }
    }

    #[test]
    fn null_belongs_to_nullable_types_only() {
        let non_null = RefType::FUNCREF.non_null();
        assert!(non_null.matches(RefType::FUNCREF, |_, _| false));
        assert!(!RefType::FUNCREF.matches(non_null, |_, _| false));
        assert_eq!(non_null.to_string(), "(ref func)");
    }
}
