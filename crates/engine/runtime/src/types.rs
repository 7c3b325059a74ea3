//! Canonical ids of function types within one engine.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use wasmoor_abi::{CanonicalTypeId, FuncType};

/// Equal function types have equal ids, whatever module they come from.
///
/// Types are kept as long as the engine lives.
#[derive(Debug, Default)]
pub struct TypeRegistry(RwLock<Types>);

#[derive(Debug, Default)]
struct Types {
    ids: HashMap<FuncType, u32>,
    types: Vec<FuncType>,
}

impl TypeRegistry {
    /// The id of a type, new if the type is.
    pub fn intern(&self, ty: &FuncType) -> CanonicalTypeId {
        if let Some(&id) = self.0.read().unwrap_or_else(PoisonError::into_inner).ids.get(ty) {
            return CanonicalTypeId(id);
        }
        let mut types = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(&id) = types.ids.get(ty) {
            return CanonicalTypeId(id);
        }
        let id = types.types.len() as u32;
        types.types.push(ty.clone());
        types.ids.insert(ty.clone(), id);
        CanonicalTypeId(id)
    }

    /// The type with this id.
    #[must_use]
    pub fn get(&self, id: CanonicalTypeId) -> Option<FuncType> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).types.get(id.0 as usize).cloned()
    }
}
