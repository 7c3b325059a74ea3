//! Tags and exceptions.
//!
//! An exception that a guest throws and nobody catches ends the call with an [`Error`] of the kind
//! [`ErrorKind::Exception`](crate::ErrorKind::Exception); [`ExnRef::from_error`] gives the
//! exception itself. A host function throws by returning such an error: that of a call that it
//! made, or one from [`ExnRef::throw`].
//!
//! What crosses a host function is an ordinary `Err`: its frames are left like those of any
//! function that returns an error. Guests of another store cannot catch it; they are left too.

use crate::entities::checked;
use crate::handle::{check, expect};
use crate::store::{AsContext, AsContextMut, check_store};
use crate::{Error, ErrorKind, FuncType, Result, Val, ValType};
use wasmoor_runtime::store::StoreId;
use wasmoor_runtime::{ExnRefId, StoreInner, TagId};

/// What exceptions carry, and by what they are told apart: two tags of one type are different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    pub(crate) store: StoreId,
    pub(crate) id: TagId,
}

impl Tag {
    /// A tag made by the host; its exceptions carry the type's parameters.
    ///
    /// # Errors
    /// When the type has results, or mentions types that the engine does not know.
    pub fn new(mut store: impl AsContextMut, ty: FuncType) -> Result<Tag> {
        if !ty.results.is_empty() {
            return Err(Error::usage(format!("a tag cannot have results: {ty}")));
        }
        let mut store = store.as_context_mut();
        let inner = store.inner();
        Ok(Tag { store: inner.id(), id: inner.create_tag(&ty)? })
    }

    /// The type.
    pub fn ty(&self, store: impl AsContext) -> FuncType {
        let store = store.as_context();
        expect(self, store.inner());
        FuncType::new(store.inner().tag(self.id).params().iter().copied(), [])
    }
}

/// An exception that guests hold by reference.
///
/// One that the host was given, as an argument, a result or from a table, is kept until its store
/// is dropped or it is released; and with it the instance of its tag, and of functions that it
/// carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExnRef {
    pub(crate) store: StoreId,
    pub(crate) id: ExnRefId,
}

impl ExnRef {
    /// Makes an exception.
    ///
    /// # Errors
    /// When the values are not those of the tag's type, the tag was freed, or the store's limits
    /// refuse the exception.
    ///
    /// # Panics
    /// With another store than the tag's.
    pub fn new(mut store: impl AsContextMut, tag: Tag, values: &[Val]) -> Result<ExnRef> {
        let mut store = store.as_context_mut();
        let inner = store.inner();
        check(&tag, inner)?;
        let params = inner.tag(tag.id).params();
        if values.len() != params.len() {
            let (wanted, given) = (params.len(), values.len());
            return Err(Error::usage(format!("the tag takes {wanted} values, {given} were given")));
        }
        let values = values.iter().zip(params).map(|(value, ty)| checked(inner, *value, *ty));
        let values = values.collect::<Result<Vec<_>>>()?;
        let id = inner.create_exception(tag.id, &values).map_err(Error::trap)?;
        Ok(ExnRef { store: inner.id(), id })
    }

    /// The exception that an error stands for, if it does and the exception is the store's. It is
    /// kept like any that the host was given.
    pub fn from_error(store: impl AsContext, error: &Error) -> Option<ExnRef> {
        let store = store.as_context();
        let inner = store.inner();
        let ErrorKind::Exception(exception) = error.kind() else { return None };
        if exception.store() != inner.id() {
            return None;
        }
        let id = exception.handle();
        inner.keep_exception(id);
        Some(ExnRef { store: inner.id(), id })
    }

    /// The error by which a host function throws the exception.
    pub fn throw(&self, mut store: impl AsContextMut) -> Error {
        let mut store = store.as_context_mut();
        check_store(self.store, store.inner());
        store.inner().exception_error(self.id)
    }

    /// The tag.
    ///
    /// # Errors
    /// When the exception was released and is gone.
    pub fn tag(&self, store: impl AsContext) -> Result<Tag> {
        let store = store.as_context();
        check_store(self.store, store.inner());
        let id = store.inner().exception_tag(self.id).ok_or_else(gone)?;
        Ok(Tag { store: self.store, id })
    }

    /// What the exception carries.
    ///
    /// # Errors
    /// When the exception was released and is gone.
    pub fn values(&self, store: impl AsContext) -> Result<Vec<Val>> {
        let store = store.as_context();
        let inner = store.inner();
        check_store(self.store, inner);
        let values = inner.exception_values(self.id).ok_or_else(gone)?;
        Ok(values.into_iter().map(|value| Val::lend(inner, value)).collect())
    }

    /// Gives the reference back: the exception may go once no guest refers to it any more.
    /// All copies of the reference are given back with it.
    pub fn release(self, store: impl AsContext) {
        let store = store.as_context();
        check_store(self.store, store.inner());
        store.inner().release_exception(self.id);
    }
}

fn gone() -> Error {
    Error::usage("the exception was released and is gone")
}

impl Val {
    /// The API's form of a value of the store, which the host may keep.
    pub(crate) fn lend(store: &StoreInner, value: wasmoor_runtime::Val) -> Val {
        if let wasmoor_runtime::Val::Exn(Some(id)) = value {
            store.keep_exception(id);
        }
        Val::from_runtime(value, store)
    }
}

/// Refuses references to exceptions that are gone.
pub(crate) fn check_alive(store: &StoreInner, value: Val, ty: ValType) -> Result<()> {
    match value {
        Val::ExnRef(Some(exn)) if store.exception_tag(exn.id).is_none() => {
            Err(Error::usage(format!("expected a value of type {ty}: the exception is gone")))
        }
        _ => Ok(()),
    }
}
