//! The host functions of a store. They stay as long as it does.

use crate::context::{FuncRef, HostContext, StoreContext};
use crate::host_func::HostFuncDefinition;
use crate::store::StoreInner;
use crate::types::RegisteredType;
use crate::value::FuncPtr;
use std::collections::HashMap;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use wasmoor_abi::CanonicalTypeId;

/// So many are made before one is looked for in a store without instances: most have only one
/// instance, and each that cannot be made leaves its own.
const UNSEARCHED_MAX: usize = 256;

/// See the head of this module.
#[derive(Debug, Default)]
pub(crate) struct HostFuncs {
    #[allow(clippy::vec_box, reason = "code holds the addresses of their parts")]
    all: Vec<Box<HostFunc>>,
    /// The first `known` of them.
    by_definition: HashMap<(usize, CanonicalTypeId), FuncPtr>,
    known: usize,
}

#[derive(Debug)]
struct HostFunc {
    context: HostContext,
    reference: FuncRef,
    /// Keeps the data that the context points to.
    definition: Arc<HostFuncDefinition>,
    /// Keeps the type that the reference names.
    ty: RegisteredType,
}

impl HostFuncs {
    fn create(
        &mut self,
        store: *mut StoreContext,
        definition: &Arc<HostFuncDefinition>,
        ty: RegisteredType,
    ) -> FuncPtr {
        let mut func = Box::new(HostFunc {
            context: definition.context(store),
            reference: FuncRef {
                slot: ptr::null(),
                vmctx: 0,
                type_id: ty.id().0,
                func_index: 0,
                display: ty.display(),
            },
            ty,
            definition: definition.clone(),
        });
        func.reference.slot = &raw const func.context.slot;
        func.reference.vmctx = &raw mut func.context as usize;
        let reference = NonNull::from(&mut func.reference);
        self.all.push(func);
        reference
    }

    /// One that was made of this definition with this type. The list of them is brought up to date
    /// when somebody asks.
    fn find(
        &mut self,
        definition: &Arc<HostFuncDefinition>,
        ty: &RegisteredType,
    ) -> Option<FuncPtr> {
        for func in &self.all[self.known..] {
            // It lives as long as the function here.
            let key = (Arc::as_ptr(&func.definition).addr(), func.ty.id());
            self.by_definition.insert(key, NonNull::from(&func.reference));
        }
        self.known = self.all.len();
        self.by_definition.get(&(Arc::as_ptr(definition).addr(), ty.id())).copied()
    }
}

impl StoreInner {
    /// Makes a host function of this store. `ty` is the definition's type in the store's engine.
    ///
    /// # Panics
    /// When `ty` is a type of another engine.
    pub fn create_host_func(
        &mut self,
        definition: &Arc<HostFuncDefinition>,
        ty: RegisteredType,
    ) -> FuncPtr {
        assert!(ty.is_of(self.engine().types()), "a host function's type is of another engine");
        debug_assert_eq!(ty.ty().as_func(), Some(definition.ty()));
        let store = self.context_ptr();
        self.host_funcs.create(store, definition, ty)
    }

    /// The same, or one that was made of the definition before: instances that are made one after
    /// the other share them.
    ///
    /// # Panics
    /// When `ty` is a type of another engine.
    pub fn share_host_func(
        &mut self,
        definition: &Arc<HostFuncDefinition>,
        ty: RegisteredType,
    ) -> FuncPtr {
        // Stores of one instance have nothing to look for.
        let may_be_there =
            self.instances.positions() > 0 || self.host_funcs.all.len() > UNSEARCHED_MAX;
        let found = match may_be_there && ty.is_of(self.engine().types()) {
            true => self.host_funcs.find(definition, &ty),
            false => None,
        };
        found.unwrap_or_else(|| self.create_host_func(definition, ty))
    }
}
