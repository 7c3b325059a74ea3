//! Defined types of an engine.

use crate::{CompositeKind, Engine, FuncType, HeapType, RefType, Result, ValType};
use wasmoor_runtime as runtime;

/// A defined type of an engine, which is kept as long as this value lives.
///
/// Equal types are one type, whatever modules or hosts they come from. References to functions of
/// one type are written with its [`RegisteredType::heap_type`]: that is only a name, which means
/// something as long as a module, a store or a `RegisteredType` keeps the type.
///
/// ```
/// use wasmoor::*;
///
/// # fn main() -> Result<(), Error> {
/// let engine = Engine::default();
/// let callback = RegisteredType::func(&engine, &FuncType::new([ValType::I32], []))?;
/// // A table of references to such functions, none of them null.
/// let element = RefType { nullable: false, heap: callback.heap_type() };
/// let mut store = Store::new(&engine, ())?;
/// let print = Func::wrap(&mut store, |_: i32| ());
/// let ty = TableType { element, minimum: 1, maximum: None, index64: false };
/// let table = Table::new(&mut store, ty, Val::FuncRef(Some(print)))?;
/// assert!(table.set(&mut store, 0, Val::FuncRef(None)).is_err());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredType {
    pub(crate) inner: runtime::RegisteredType,
}

impl RegisteredType {
    /// A function type, final and without supertypes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::UnknownType`] when it mentions types of another engine, or types that
    /// nobody has kept.
    pub fn func(engine: &Engine, ty: &FuncType) -> Result<RegisteredType> {
        Ok(RegisteredType { inner: engine.inner.types().register_func(ty)? })
    }

    /// The type that a reference type names; `None`: it names no defined type.
    ///
    /// # Errors
    /// [`crate::ErrorKind::UnknownType`] when the engine does not know it.
    pub fn of_ref(engine: &Engine, ty: RefType) -> Result<Option<RegisteredType>> {
        let found = engine.inner.types().keep(ValType::Ref(ty))?;
        Ok(found.map(|inner| RegisteredType { inner }))
    }

    /// The type as what references refer to.
    #[must_use]
    pub fn heap_type(&self) -> HeapType {
        self.inner.heap_type()
    }

    /// The type of references to it that may be null.
    #[must_use]
    pub fn ref_type(&self) -> RefType {
        RefType { nullable: true, heap: self.heap_type() }
    }

    /// Whether it is a function, a struct or an array.
    #[must_use]
    pub fn kind(&self) -> CompositeKind {
        self.inner.ty().composite.kind()
    }

    /// The function type, if it is one.
    #[must_use]
    pub fn as_func(&self) -> Option<&FuncType> {
        self.inner.ty().as_func()
    }

    /// Whether no type can be declared as a subtype of it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.inner.ty().is_final
    }

    /// Whether this is the other type, or declared as a subtype of it. Types of different engines
    /// never match.
    #[must_use]
    pub fn matches(&self, other: &RegisteredType) -> bool {
        self.inner.matches(&other.inner)
    }
}
