//! The types of a module in its engine.

use super::{RegisteredType, TypeRegistry, UnknownType};
use wasmoor_abi::entity::EntityRef;
use wasmoor_abi::{
    CanonicalTypeId, FuncType, GlobalType, RefType, SubType, TableType, TypeIndex, TypeUse, ValType,
};
use wasmoor_module::Module;

/// The types of a module in its engine, which are kept as long as this value lives.
#[derive(Debug)]
pub struct ModuleTypes {
    types: Box<[RegisteredType]>,
    ids: Box<[CanonicalTypeId]>,
}

impl ModuleTypes {
    /// Registers the types of a validated module.
    ///
    /// # Errors
    /// Never for a module that came from the loader; the type that contradicts validation.
    pub fn register(registry: &TypeRegistry, module: &Module) -> Result<Self, UnknownType> {
        let mut types: Vec<RegisteredType> = Vec::with_capacity(module.types.len());
        for group in &module.rec_groups {
            let members = group.start.index()..group.end.index();
            let mut unknown = None;
            let mut canonical = |used: TypeUse| match used {
                TypeUse::Index(index) if members.contains(&index.index()) => {
                    TypeUse::Rec((index.index() - members.start) as u32)
                }
                TypeUse::Index(index) => match types.get(index.index()) {
                    Some(ty) => TypeUse::Defined(ty.name()),
                    None => {
                        unknown = Some(UnknownType(used));
                        used
                    }
                },
                other => other,
            };
            let form: Vec<SubType> = members
                .clone()
                .map(|index| module.types[TypeIndex::new(index)].map_uses(&mut canonical))
                .collect();
            if let Some(unknown) = unknown {
                return Err(unknown);
            }
            let group = registry.register(form)?;
            types.extend(RegisteredType::members(&group));
        }
        let ids = types.iter().map(RegisteredType::id).collect();
        Ok(ModuleTypes { types: types.into(), ids })
    }

    /// Their numbers, by index in the module.
    #[must_use]
    pub fn ids(&self) -> &[CanonicalTypeId] {
        &self.ids
    }

    /// One of the types.
    #[must_use]
    pub fn get(&self, index: TypeIndex) -> &RegisteredType {
        &self.types[index.index()]
    }

    fn defined(&self, used: TypeUse) -> TypeUse {
        match used {
            TypeUse::Index(index) => TypeUse::Defined(self.get(index).name()),
            other => other,
        }
    }

    /// A type of the module in the engine's terms.
    #[must_use]
    pub fn val_type(&self, ty: ValType) -> ValType {
        ty.map_use(&mut |used| self.defined(used))
    }

    /// A type of the module in the engine's terms.
    #[must_use]
    pub fn ref_type(&self, ty: RefType) -> RefType {
        ty.map_use(&mut |used| self.defined(used))
    }

    /// A type of the module in the engine's terms.
    #[must_use]
    pub fn func_type(&self, ty: &FuncType) -> FuncType {
        ty.map_uses(&mut |used| self.defined(used))
    }

    /// A type of the module in the engine's terms.
    #[must_use]
    pub fn table_type(&self, ty: TableType) -> TableType {
        TableType { element: self.ref_type(ty.element), ..ty }
    }

    /// A type of the module in the engine's terms.
    #[must_use]
    pub fn global_type(&self, ty: GlobalType) -> GlobalType {
        GlobalType { content: self.val_type(ty.content), ..ty }
    }
}
