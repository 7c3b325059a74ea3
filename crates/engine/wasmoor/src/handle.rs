//! Handles, and what is checked at each use of one.
//!
//! A handle names something by store, position and generation: it is plain data, and finds nothing
//! once that was freed, also when something else has taken the place.

use crate::store::check_store;
use crate::{Error, Result};
use wasmoor_runtime::StoreInner;
use wasmoor_runtime::store::StoreId;

/// Something of a store that may go before the store does.
pub(crate) trait Handle {
    /// The store that it belongs to.
    fn owner(&self) -> StoreId;
    /// Whether what it names is there; the store is its own.
    fn is_alive(&self, store: &StoreInner) -> bool;
}

macro_rules! handles {
    ($($ty:ty, |$this:ident, $store:ident| $is_alive:expr;)*) => { $(
        impl Handle for $ty {
            #[inline]
            fn owner(&self) -> StoreId {
                self.store
            }

            #[inline]
            fn is_alive(&self, $store: &StoreInner) -> bool {
                let $this = self;
                $is_alive
            }
        }
    )* };
}

handles! {
    crate::Instance, |this, store| store.has_instance(this.id);
    crate::Func, |this, store| this.instance.is_none_or(|id| store.has_instance(id));
    crate::Memory, |this, store| store.has_memory(this.id);
    crate::Table, |this, store| store.has_table(this.id);
    crate::Global, |this, store| store.has_global(this.id);
    crate::Tag, |this, store| store.has_tag(this.id);
}

/// Checks a handle where errors are answered.
///
/// # Errors
/// When what it names was freed.
///
/// # Panics
/// When it belongs to another store.
#[inline]
#[track_caller]
pub(crate) fn check(handle: &impl Handle, store: &StoreInner) -> Result<()> {
    check_store(handle.owner(), store);
    if handle.is_alive(store) { Ok(()) } else { Err(freed()) }
}

/// Checks a handle where no errors are answered.
///
/// # Panics
/// When it belongs to another store, or what it names was freed.
#[inline]
#[track_caller]
pub(crate) fn expect(handle: &impl Handle, store: &StoreInner) {
    check_store(handle.owner(), store);
    assert!(handle.is_alive(store), "a handle was used after its instance was freed");
}

#[cold]
fn freed() -> Error {
    Error::usage("a handle was used after its instance was freed")
}
