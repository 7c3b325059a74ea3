//! Typed indices into the index spaces of one module.
//!
//! Spaces that can be imported have two types: `FuncIndex` counts imports first, as the
//! specification does, and `DefinedFuncIndex` counts only what the module itself defines.

use cranelift_entity::entity_impl;

macro_rules! indices {
    ($( $(#[$doc:meta])* $name:ident = $prefix:literal; )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);
        entity_impl!($name, $prefix);
    )* };
}

indices! {
    /// A type in the module's type section, recursion groups flattened.
    TypeIndex = "type";
    /// A function, imports first.
    FuncIndex = "func";
    /// A function defined in the module: `FuncIndex` less the number of imported functions.
    DefinedFuncIndex = "dfunc";
    /// A table, imports first.
    TableIndex = "table";
    /// A table defined in the module.
    DefinedTableIndex = "dtable";
    /// A memory, imports first.
    MemoryIndex = "memory";
    /// A memory defined in the module.
    DefinedMemoryIndex = "dmemory";
    /// A global, imports first.
    GlobalIndex = "global";
    /// A global defined in the module.
    DefinedGlobalIndex = "dglobal";
    /// An exception tag, imports first.
    TagIndex = "tag";
    /// A tag defined in the module.
    DefinedTagIndex = "dtag";
    /// An element segment.
    ElemIndex = "elem";
    /// A data segment.
    DataIndex = "data";
}

/// Identity of a function type within one engine: equal types have equal ids, whatever module
/// they come from. Machine code compares them at `call_indirect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct CanonicalTypeId(pub u32);
