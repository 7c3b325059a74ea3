//! Call shapes of a module's types, kept from function to function.

use std::sync::{Arc, Weak};
use wasmoor_abi::TypeIndex;
use wasmoor_abi::call::{CallShape, X86_64};
use wasmoor_module::Module;

/// Shapes by type index, for the module that was compiled last.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    /// Keeps the allocation, so that another module cannot have the same address.
    module: Weak<Module>,
    shapes: Vec<Option<Arc<CallShape>>>,
}

impl Shapes {
    /// Forgets the shapes of another module.
    pub(crate) fn enter(&mut self, module: &Arc<Module>) {
        if self.module.as_ptr() != Arc::as_ptr(module) {
            self.module = Arc::downgrade(module);
            self.shapes.clear();
        }
    }

    /// The shape of a type of the module.
    pub(crate) fn get(&mut self, module: &Module, index: TypeIndex) -> Arc<CallShape> {
        let at = index.as_u32() as usize;
        if at >= self.shapes.len() {
            self.shapes.resize(at + 1, None);
        }
        let new = || Arc::new(CallShape::new(&X86_64, module.signature(index)));
        Arc::clone(self.shapes[at].get_or_insert_with(new))
    }
}
