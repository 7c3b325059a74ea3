//! Memories, tables, globals, and what instances import and export.
//!
//! # Safety
//! Bytes of a memory are lent as slices only while the store is borrowed, so that no wasm runs.

#![allow(unsafe_code)]

use crate::exception::{Tag, check_alive};
use crate::func::Func;
use crate::handle::{check, expect};
use crate::shared::SharedMemory;
use crate::store::{AsContext, AsContextMut};
use crate::val::Val;
use crate::{Error, ErrorKind, GlobalType, MemoryType, Result, TableType, ValType};
use std::sync::Arc;
use wasmoor_runtime::store::StoreId;
use wasmoor_runtime::{self as runtime, GlobalId, MemoryId, TableId};

/// Something that instances import and export.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Extern {
    /// A function.
    Func(Func),
    /// A table.
    Table(Table),
    /// A memory of the store's own.
    Memory(Memory),
    /// A memory that threads share.
    SharedMemory(SharedMemory),
    /// A global.
    Global(Global),
    /// A tag.
    Tag(Tag),
}

impl Extern {
    pub(crate) fn from_runtime(inner: &runtime::StoreInner, external: runtime::External) -> Extern {
        let store = inner.id();
        match external {
            runtime::External::Func(ptr) => Extern::Func(Func::new_in(inner, ptr)),
            runtime::External::Table(id) => Extern::Table(Table { store, id }),
            runtime::External::Memory(id) => match inner.memory(id).shared() {
                None => Extern::Memory(Memory { store, id }),
                Some(memory) => Extern::SharedMemory(SharedMemory { inner: Arc::clone(memory) }),
            },
            runtime::External::Global(id) => Extern::Global(Global { store, id }),
            runtime::External::Tag(id) => Extern::Tag(Tag { store, id }),
        }
    }

    /// Checks that the item is in a store, or belongs to none.
    ///
    /// # Errors
    /// When it was freed.
    ///
    /// # Panics
    /// When it belongs to another store.
    #[track_caller]
    pub(crate) fn check(&self, store: &runtime::StoreInner) -> Result<()> {
        match self {
            Extern::Func(func) => check(func, store),
            Extern::Table(table) => check(table, store),
            Extern::Memory(memory) => check(memory, store),
            Extern::SharedMemory(_) => Ok(()),
            Extern::Global(global) => check(global, store),
            Extern::Tag(tag) => check(tag, store),
        }
    }

    /// The item in a store, to which it belongs or that shares it.
    pub(crate) fn to_runtime(&self, store: &mut runtime::StoreInner) -> Result<runtime::External> {
        self.check(store)?;
        Ok(match self {
            Extern::Func(func) => runtime::External::Func(func.ptr),
            Extern::Table(table) => runtime::External::Table(table.id),
            Extern::Memory(memory) => runtime::External::Memory(memory.id),
            Extern::SharedMemory(memory) => {
                runtime::External::Memory(store.adopt_memory(&memory.inner)?)
            }
            Extern::Global(global) => runtime::External::Global(global.id),
            Extern::Tag(tag) => runtime::External::Tag(tag.id),
        })
    }

    /// The function, if it is one.
    #[must_use]
    pub fn into_func(self) -> Option<Func> {
        if let Extern::Func(func) = self { Some(func) } else { None }
    }

    /// The table, if it is one.
    #[must_use]
    pub fn into_table(self) -> Option<Table> {
        if let Extern::Table(table) = self { Some(table) } else { None }
    }

    /// The memory, if it is one.
    #[must_use]
    pub fn into_memory(self) -> Option<Memory> {
        if let Extern::Memory(memory) = self { Some(memory) } else { None }
    }

    /// The shared memory, if it is one.
    #[must_use]
    pub fn into_shared_memory(self) -> Option<SharedMemory> {
        if let Extern::SharedMemory(memory) = self { Some(memory) } else { None }
    }

    /// The global, if it is one.
    #[must_use]
    pub fn into_global(self) -> Option<Global> {
        if let Extern::Global(global) = self { Some(global) } else { None }
    }

    /// The tag, if it is one.
    #[must_use]
    pub fn into_tag(self) -> Option<Tag> {
        if let Extern::Tag(tag) = self { Some(tag) } else { None }
    }
}

macro_rules! extern_from {
    ($($ty:ident),*) => { $(
        impl From<$ty> for Extern {
            fn from(value: $ty) -> Extern {
                Extern::$ty(value)
            }
        }
    )* };
}
extern_from!(Func, Table, Memory, SharedMemory, Global, Tag);

/// A linear memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub(crate) store: StoreId,
    pub(crate) id: MemoryId,
}

impl Memory {
    /// A memory made by the host.
    ///
    /// # Errors
    /// When the type is a shared one (see [`SharedMemory::new`]), or the store's limits or the
    /// system refuse it.
    pub fn new(mut store: impl AsContextMut, ty: MemoryType) -> Result<Memory> {
        if ty.shared {
            return Err(Error::usage("a shared memory is a `SharedMemory`"));
        }
        let mut store = store.as_context_mut();
        let inner = store.inner();
        Ok(Memory { store: inner.id(), id: inner.create_memory(ty)? })
    }

    /// The type, with the present size as minimum.
    pub fn ty(&self, store: impl AsContext) -> MemoryType {
        let store = store.as_context();
        let memory = self.entity(store.inner());
        MemoryType { minimum: memory.pages(), ..memory.ty }
    }

    /// Length in bytes.
    pub fn data_size(&self, store: impl AsContext) -> usize {
        self.entity(store.as_context().inner()).bytes()
    }

    /// Length in pages.
    pub fn size(&self, store: impl AsContext) -> u64 {
        self.entity(store.as_context().inner()).pages()
    }

    /// The bytes.
    pub fn data<'a, T: 'a>(&self, store: &'a impl AsContext<Data = T>) -> &'a [u8] {
        let memory = self.entity(store.as_context().inner());
        // SAFETY: the memory is unshared, and no wasm runs while the store is borrowed.
        unsafe { std::slice::from_raw_parts(memory.base(), memory.bytes()) }
    }

    /// The bytes, to change.
    pub fn data_mut<'a, T: 'a>(&self, store: &'a mut impl AsContextMut<Data = T>) -> &'a mut [u8] {
        let mut store = store.as_context_mut();
        let memory = self.entity(store.inner());
        // SAFETY: the memory is unshared, the store is borrowed exclusively, no wasm runs.
        unsafe { std::slice::from_raw_parts_mut(memory.base(), memory.bytes()) }
    }

    /// Copies bytes out of the memory.
    ///
    /// # Errors
    /// When the range leaves the memory, or the memory was freed.
    pub fn read(&self, store: impl AsContext, offset: usize, to: &mut [u8]) -> Result<()> {
        let store = store.as_context();
        check(self, store.inner())?;
        let bytes = self
            .data(&store)
            .get(offset..)
            .and_then(|rest| rest.get(..to.len()))
            .ok_or_else(|| out_of_range(offset, to.len()))?;
        to.copy_from_slice(bytes);
        Ok(())
    }

    /// Copies bytes into the memory.
    ///
    /// # Errors
    /// When the range leaves the memory, or the memory was freed.
    pub fn write(&self, mut store: impl AsContextMut, offset: usize, from: &[u8]) -> Result<()> {
        let mut store = store.as_context_mut();
        check(self, store.inner())?;
        self.data_mut(&mut store)
            .get_mut(offset..)
            .and_then(|rest| rest.get_mut(..from.len()))
            .ok_or_else(|| out_of_range(offset, from.len()))?
            .copy_from_slice(from);
        Ok(())
    }

    /// Grows by pages; answers the pages before.
    ///
    /// # Errors
    /// When the type's maximum, the store's limits, the system or the memory's creator refuse; why
    /// a creator did is not told. When the memory was freed.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64) -> Result<u64> {
        let mut store = store.as_context_mut();
        check(self, store.inner())?;
        store
            .inner()
            .grow_memory(self.id, delta)
            .ok_or_else(|| Error::usage(format!("the memory cannot grow by {delta} pages")))
    }

    fn entity<'a>(&self, store: &'a runtime::StoreInner) -> &'a runtime::MemoryEntity {
        expect(self, store);
        store.memory(self.id)
    }
}

fn out_of_range(offset: usize, len: usize) -> Error {
    Error::usage(format!("{len} bytes at {offset} leave the memory"))
}

/// A table of references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    pub(crate) store: StoreId,
    pub(crate) id: TableId,
}

impl Table {
    /// A table made by the host, filled with a reference.
    ///
    /// # Errors
    /// When `init` is of another type, or the store's limits refuse the table.
    pub fn new(mut store: impl AsContextMut, ty: TableType, init: Val) -> Result<Table> {
        let mut store = store.as_context_mut();
        let inner = store.inner();
        let init = checked(inner, init, ValType::Ref(ty.element))?;
        Ok(Table { store: inner.id(), id: inner.create_table(ty, init)? })
    }

    /// The type, with the present size as minimum.
    pub fn ty(&self, store: impl AsContext) -> TableType {
        let store = store.as_context();
        let table = self.entity(store.inner());
        TableType { minimum: table.len(), ..table.ty }
    }

    /// Number of elements.
    pub fn size(&self, store: impl AsContext) -> u64 {
        self.entity(store.as_context().inner()).len()
    }

    /// An element; `None`: out of bounds.
    pub fn get(&self, store: impl AsContext, index: u64) -> Option<Val> {
        let store = store.as_context();
        let table = self.entity(store.inner());
        let bits = table.get(index)?;
        let value = runtime::Val::from_bits(u128::from(bits), ValType::Ref(table.ty.element));
        Some(Val::lend(store.inner(), value))
    }

    /// Sets an element.
    ///
    /// # Errors
    /// When the index is out of bounds or the value of another type, or the table was freed.
    pub fn set(&self, mut store: impl AsContextMut, index: u64, value: Val) -> Result<()> {
        let mut store = store.as_context_mut();
        check(self, store.inner())?;
        let element = self.entity(store.inner()).ty.element;
        let value = checked(store.inner(), value, ValType::Ref(element))?;
        if store.inner().table_mut(self.id).set(index, value.to_bits() as u64) {
            Ok(())
        } else {
            Err(Error::usage(format!("element {index} lies outside of the table")))
        }
    }

    /// Grows by elements; answers the elements before.
    ///
    /// # Errors
    /// When `init` is of another type, or the maximum, a limit or the table's creator refuses; why
    /// a creator did is not told. When the table was freed.
    pub fn grow(&self, mut store: impl AsContextMut, delta: u64, init: Val) -> Result<u64> {
        let mut store = store.as_context_mut();
        check(self, store.inner())?;
        let element = self.entity(store.inner()).ty.element;
        let init = checked(store.inner(), init, ValType::Ref(element))?;
        store
            .inner()
            .grow_table(self.id, delta, init)
            .ok_or_else(|| Error::usage(format!("the table cannot grow by {delta} elements")))
    }

    fn entity<'a>(&self, store: &'a runtime::StoreInner) -> &'a runtime::TableEntity {
        expect(self, store);
        store.table(self.id)
    }
}

/// A global variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Global {
    pub(crate) store: StoreId,
    pub(crate) id: GlobalId,
}

impl Global {
    /// A global made by the host.
    ///
    /// # Errors
    /// When the value is of another type.
    pub fn new(mut store: impl AsContextMut, ty: GlobalType, value: Val) -> Result<Global> {
        let mut store = store.as_context_mut();
        let inner = store.inner();
        let value = checked(inner, value, ty.content)?;
        Ok(Global { store: inner.id(), id: inner.create_global(ty, value)? })
    }

    /// The type.
    pub fn ty(&self, store: impl AsContext) -> GlobalType {
        let store = store.as_context();
        expect(self, store.inner());
        store.inner().global(self.id).ty
    }

    /// The value.
    pub fn get(&self, store: impl AsContext) -> Val {
        let store = store.as_context();
        expect(self, store.inner());
        Val::lend(store.inner(), store.inner().global(self.id).get())
    }

    /// Sets the value.
    ///
    /// # Errors
    /// When the global is immutable or the value of another type, or the global was freed.
    pub fn set(&self, mut store: impl AsContextMut, value: Val) -> Result<()> {
        check(self, store.as_context().inner())?;
        let ty = self.ty(&store);
        if !ty.mutable {
            return Err(Error::usage("the global is immutable"));
        }
        let mut store = store.as_context_mut();
        let value = checked(store.inner(), value, ty.content)?;
        store.inner().global_mut(self.id).set(value);
        Ok(())
    }
}

/// The runtime's form of a value that must be of this type and store.
pub(crate) fn checked(
    store: &runtime::StoreInner,
    value: Val,
    ty: ValType,
) -> Result<runtime::Val> {
    check_alive(store, value, ty)?;
    let runtime_value = value.to_runtime(store)?;
    if store.value_is(&runtime_value, ty) {
        Ok(runtime_value)
    } else {
        let found = match value {
            Val::FuncRef(Some(func)) => format!("a function {}", store.func_type(func.ptr)),
            _ if runtime_value.is_null() => format!("null of {}", value.ty()),
            _ => value.ty().to_string(),
        };
        Err(ErrorKind::TypeMismatch { expected: ty.to_string(), found }.into())
    }
}
