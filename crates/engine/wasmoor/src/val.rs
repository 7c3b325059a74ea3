//! Values at the border.

use crate::handle::check;
use crate::store::{AsContext, AsContextMut, check_store};
use crate::{ExnRef, Func};
use crate::{Result, ValType};
use std::any::Any;
use wasmoor_abi::RefFamily;
use wasmoor_runtime::store::StoreId;
use wasmoor_runtime::{self as runtime, AnyRefId, ExternRefId, StoreInner};

/// A WebAssembly value.
#[derive(Clone, Copy, Debug)]
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
    FuncRef(Option<Func>),
    /// Host reference; `None` is null.
    ExternRef(Option<ExternRef>),
    /// Exception reference; `None` is null.
    ExnRef(Option<ExnRef>),
    /// Reference to an object of a guest's; `None` is null.
    AnyRef(Option<AnyRef>),
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
            Val::FuncRef(_) => ValType::FUNCREF,
            Val::ExternRef(_) => ValType::EXTERNREF,
            Val::ExnRef(_) => ValType::EXNREF,
            Val::AnyRef(_) => ValType::ANYREF,
        }
    }

    /// The default value of a type: zero or null (also where the type excludes null, so that
    /// there is something to put into a list of results to come).
    #[must_use]
    pub fn default_for(ty: ValType) -> Val {
        match ty {
            ValType::I32 => Val::I32(0),
            ValType::I64 => Val::I64(0),
            ValType::F32 => Val::F32(0),
            ValType::F64 => Val::F64(0),
            ValType::V128 => Val::V128(0),
            ValType::Ref(ty) => match ty.family() {
                RefFamily::Func => Val::FuncRef(None),
                RefFamily::Extern => Val::ExternRef(None),
                RefFamily::Exn => Val::ExnRef(None),
                RefFamily::Any => Val::AnyRef(None),
            },
        }
    }

    /// The runtime's form, if references belong to this store and functions are not gone.
    pub(crate) fn to_runtime(self, store: &StoreInner) -> Result<runtime::Val> {
        let same = |owner| {
            if owner == store.id() {
                Ok(())
            } else {
                Err(runtime::Error::usage("a reference belongs to another store"))
            }
        };
        Ok(match self {
            Val::I32(value) => runtime::Val::I32(value),
            Val::I64(value) => runtime::Val::I64(value),
            Val::F32(bits) => runtime::Val::F32(bits),
            Val::F64(bits) => runtime::Val::F64(bits),
            Val::V128(bits) => runtime::Val::V128(bits),
            Val::FuncRef(func) => {
                let living =
                    |f: Func| same(f.store).and_then(|()| check(&f, store)).map(|()| f.ptr);
                runtime::Val::Func(func.map(living).transpose()?)
            }
            Val::ExternRef(object) => {
                runtime::Val::Extern(object.map(|o| same(o.store).map(|()| o.id)).transpose()?)
            }
            Val::ExnRef(exn) => {
                runtime::Val::Exn(exn.map(|e| same(e.store).map(|()| e.id)).transpose()?)
            }
            Val::AnyRef(object) => runtime::Val::Any(object.map(|object| object.0)),
        })
    }

    /// The API's form of a value of this store.
    pub(crate) fn from_runtime(value: runtime::Val, inner: &StoreInner) -> Val {
        let store = inner.id();
        match value {
            runtime::Val::I32(value) => Val::I32(value),
            runtime::Val::I64(value) => Val::I64(value),
            runtime::Val::F32(bits) => Val::F32(bits),
            runtime::Val::F64(bits) => Val::F64(bits),
            runtime::Val::V128(bits) => Val::V128(bits),
            runtime::Val::Func(func) => Val::FuncRef(func.map(|ptr| Func::new_in(inner, ptr))),
            runtime::Val::Extern(object) => {
                Val::ExternRef(object.map(|id| ExternRef { store, id }))
            }
            runtime::Val::Exn(exn) => Val::ExnRef(exn.map(|id| ExnRef { store, id })),
            runtime::Val::Any(object) => Val::AnyRef(object.map(AnyRef)),
        }
    }

    /// The integer, if it is an `i32`.
    #[must_use]
    pub fn i32(&self) -> Option<i32> {
        if let Val::I32(value) = self { Some(*value) } else { None }
    }

    /// The integer, if it is an `i64`.
    #[must_use]
    pub fn i64(&self) -> Option<i64> {
        if let Val::I64(value) = self { Some(*value) } else { None }
    }

    /// The float, if it is an `f32`.
    #[must_use]
    pub fn f32(&self) -> Option<f32> {
        if let Val::F32(bits) = self { Some(f32::from_bits(*bits)) } else { None }
    }

    /// The float, if it is an `f64`.
    #[must_use]
    pub fn f64(&self) -> Option<f64> {
        if let Val::F64(bits) = self { Some(f64::from_bits(*bits)) } else { None }
    }
}

impl From<i32> for Val {
    fn from(value: i32) -> Val {
        Val::I32(value)
    }
}

impl From<i64> for Val {
    fn from(value: i64) -> Val {
        Val::I64(value)
    }
}

impl From<f32> for Val {
    fn from(value: f32) -> Val {
        Val::F32(value.to_bits())
    }
}

impl From<f64> for Val {
    fn from(value: f64) -> Val {
        Val::F64(value.to_bits())
    }
}

/// An object of a guest's. There are none yet: the type has no values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnyRef(pub(crate) AnyRefId);

/// An object of the host's that guests hold by reference.
///
/// Objects are kept until their store is dropped: there is no collector yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExternRef {
    pub(crate) store: StoreId,
    pub(crate) id: ExternRefId,
}

impl ExternRef {
    /// Hands an object to the store's guests.
    ///
    /// # Errors
    /// When the store's limit on host memory is reached.
    pub fn new(mut store: impl AsContextMut, object: impl Any + Send + Sync) -> Result<ExternRef> {
        let mut store = store.as_context_mut();
        let inner = store.inner();
        Ok(ExternRef { store: inner.id(), id: inner.create_extern_ref(Box::new(object))? })
    }

    /// The object.
    ///
    /// # Panics
    /// With another store than the reference's.
    pub fn data<'a, T: 'a>(
        &self,
        store: &'a impl AsContext<Data = T>,
    ) -> Option<&'a (dyn Any + Send + Sync)> {
        let inner = store.as_context().inner();
        check_store(self.store, inner);
        inner.extern_ref(self.id)
    }
}
