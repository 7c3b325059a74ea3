//! The description of a module: what its sections say, with typed indices.

use crate::facts::FuncFacts;
use crate::names;
use crate::restore::Late;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock};
use wasmoor_abi::entity::PrimaryMap;
use wasmoor_abi::vmctx::ModuleCounts;
use wasmoor_abi::*;

/// A validated module.
#[derive(Debug)]
pub struct Module {
    /// Name from the name section, if there is one.
    pub name: Option<String>,
    /// Defined types; in what they mention, types are named by [`TypeUse::Index`].
    pub types: PrimaryMap<TypeIndex, SubType>,
    /// The recursion groups, in order; together they are all types.
    pub rec_groups: Vec<Range<TypeIndex>>,
    /// Imports, in order.
    pub imports: Vec<Import>,
    /// Exports, in order.
    pub exports: Vec<Export>,
    /// Types of all functions, imports first.
    pub functions: PrimaryMap<FuncIndex, TypeIndex>,
    /// Types of all tables, imports first.
    pub tables: PrimaryMap<TableIndex, TableType>,
    /// Initial element of each defined table.
    pub table_inits: PrimaryMap<DefinedTableIndex, ConstExpr>,
    /// Types of all memories, imports first.
    pub memories: PrimaryMap<MemoryIndex, MemoryType>,
    /// Types of all globals, imports first.
    pub globals: PrimaryMap<GlobalIndex, GlobalType>,
    /// Initial value of each defined global.
    pub global_inits: PrimaryMap<DefinedGlobalIndex, ConstExpr>,
    /// Types of all tags, imports first.
    pub tags: PrimaryMap<TagIndex, TypeIndex>,
    /// The start function.
    pub start: Option<FuncIndex>,
    /// Element segments.
    pub elements: PrimaryMap<ElemIndex, ElementSegment>,
    /// Data segments.
    pub data: PrimaryMap<DataIndex, DataSegment>,
    /// Bodies of defined functions.
    pub bodies: PrimaryMap<DefinedFuncIndex, FunctionBody>,
    /// What validation learned about the bodies; of a restored module nothing: see
    /// [`Module::facts`].
    pub(crate) body_facts: PrimaryMap<DefinedFuncIndex, FuncFacts>,
    /// Entities by kind, imported and defined.
    pub counts: ModuleCounts,
    /// Layout of the instances' vmctx.
    pub layout: VmctxLayout,
    /// Bytes in the code section (its content), for estimates.
    pub code_bytes: usize,
    /// Where the code section's content begins in [`Module::bytes`]: the origin of addresses in
    /// DWARF. `None`: there is no code section.
    pub code_start: Option<u32>,
    /// Custom sections, in order: names and ranges of their content in [`Module::bytes`].
    pub custom_sections: Vec<CustomSection>,
    pub(crate) export_by_name: HashMap<String, usize>,
    /// What is exported as `memory`, see [`Module::memory_export`].
    pub(crate) memory_export: Option<MemoryIndex>,
    /// What data segments are ranges of; with the bodies, unless the module was restored.
    pub(crate) bytes: Arc<[u8]>,
    /// Of a restored module: what is read when it is needed.
    pub(crate) late: Option<Late>,
    pub(crate) func_names: std::sync::OnceLock<HashMap<FuncIndex, String>>,
    pub(crate) branch_hints: std::sync::OnceLock<crate::hints::BranchHints>,
}

impl Module {
    /// The module's bytes: a private copy that nobody else can change. Of a restored module,
    /// before [`Module::require_bodies`], only the parts without bodies and custom sections.
    #[must_use]
    pub fn bytes(&self) -> &Arc<[u8]> {
        self.whole().unwrap_or(&self.bytes)
    }

    /// The export with this name.
    #[must_use]
    pub fn export(&self, name: &str) -> Option<EntityIndex> {
        self.export_by_name.get(name).map(|&at| self.exports[at].entity)
    }

    /// The memory where functions of a host expect their callers' data: what is exported as
    /// `memory`, else the first that is imported. Found without a look-up by name.
    #[must_use]
    pub fn memory_export(&self) -> Option<MemoryIndex> {
        let imported = || (self.counts.imported_memories > 0).then(|| MemoryIndex::from_u32(0));
        self.memory_export.or_else(imported)
    }

    /// The function as a defined one; `None` if it is imported.
    #[must_use]
    pub fn defined_func(&self, index: FuncIndex) -> Option<DefinedFuncIndex> {
        index.as_u32().checked_sub(self.counts.imported_funcs).map(DefinedFuncIndex::from_u32)
    }

    /// The index of a defined function among all functions.
    #[must_use]
    pub fn func_index(&self, index: DefinedFuncIndex) -> FuncIndex {
        FuncIndex::from_u32(index.as_u32() + self.counts.imported_funcs)
    }

    /// Type of a function.
    #[must_use]
    pub fn func_type(&self, index: FuncIndex) -> &FuncType {
        self.signature(self.functions[index])
    }

    /// What exceptions of a tag carry, as parameters.
    #[must_use]
    pub fn tag_type(&self, index: TagIndex) -> &FuncType {
        self.signature(self.tags[index])
    }

    /// A type that validation found to be a function type.
    #[must_use]
    pub fn signature(&self, index: TypeIndex) -> &FuncType {
        static EMPTY: LazyLock<FuncType> = LazyLock::new(|| FuncType::new([], []));
        let ty = self.types[index].as_func();
        debug_assert!(ty.is_some(), "{index} is no function type");
        ty.unwrap_or(&EMPTY)
    }

    /// Number of a type's supertypes, the direct and the indirect ones.
    #[must_use]
    pub fn supertype_count(&self, index: TypeIndex) -> u32 {
        self.supertypes(index).count() as u32
    }

    /// A type's supertypes, the direct one first.
    pub fn supertypes(&self, index: TypeIndex) -> impl Iterator<Item = TypeIndex> + '_ {
        let supertype = |index: &TypeIndex| match self.types[*index].supertype {
            // A supertype comes before its subtypes, so this ends.
            Some(TypeUse::Index(of)) if of < *index => Some(of),
            _ => None,
        };
        std::iter::successors(supertype(&index), supertype)
    }

    /// Whether a heap type is declared to be a type or a subtype of it. The answer may be no for
    /// types that are equal without being the same.
    #[must_use]
    pub fn is_declared_as(&self, heap: HeapType, index: TypeIndex) -> bool {
        match heap {
            HeapType::Concrete(ConcreteType { ty: TypeUse::Index(found), .. }) => {
                found == index || self.supertypes(found).any(|of| of == index)
            }
            _ => false,
        }
    }

    /// Bytes of a function body: from the locals' declaration to the final `end`. Of a restored
    /// module, after [`Module::require_body`]; empty before.
    #[must_use]
    pub fn body_bytes(&self, index: DefinedFuncIndex) -> &[u8] {
        let range = &self.bodies[index].range;
        match self.whole() {
            Some(bytes) => &bytes[range.start as usize..range.end as usize],
            None => self.late_body(index).unwrap_or_default(),
        }
    }

    /// Bytes of a data segment.
    #[must_use]
    pub fn data_bytes(&self, index: DataIndex) -> &[u8] {
        let range = &self.data[index].range;
        &self.bytes[range.start as usize..range.end as usize]
    }

    /// The name that the name section gives to a function. The section is read at the first call.
    #[must_use]
    pub fn func_name(&self, index: FuncIndex) -> Option<&str> {
        if self.func_names.get().is_none() {
            let section = self.custom_section(names::SECTION).unwrap_or_default();
            // As for branch hints: reading takes no lock.
            let _ = self.func_names.set(names::func_names(section, self.functions.len()));
        }
        self.func_names.get()?.get(&index).map(String::as_str)
    }

    /// A name for people: from the name section, else the first name the function is exported
    /// under, else `module.name` of its import, else `func[index]`.
    #[must_use]
    pub fn func_display_name(&self, index: FuncIndex) -> Cow<'_, str> {
        if let Some(name) = self.func_name(index) {
            return Cow::Borrowed(name);
        }
        if let Some(name) = names::export_name(&self.exports, index) {
            return Cow::Borrowed(name);
        }
        let entity = EntityIndex::Func(index);
        match self.imports.iter().find(|import| import.entity == entity) {
            Some(import) => Cow::Owned(format!("{}.{}", import.module, import.name)),
            None => Cow::Owned(format!("func[{}]", index.as_u32())),
        }
    }

    /// A name for people: from the name section, else the first name the tag is exported under,
    /// else `module.name` of its import, else `tag[index]`. Reads the name section at every call.
    #[must_use]
    pub fn tag_display_name(&self, index: TagIndex) -> String {
        let section = self.custom_section(names::SECTION).unwrap_or_default();
        if let Some(name) = names::tag_name(section, index) {
            return name;
        }
        let entity = EntityIndex::Tag(index);
        if let Some(name) = names::entity_export_name(&self.exports, entity) {
            return name.to_owned();
        }
        match self.imports.iter().find(|import| import.entity == entity) {
            Some(import) => format!("{}.{}", import.module, import.name),
            None => format!("tag[{}]", index.as_u32()),
        }
    }

    /// Content of the first custom section with this name; none if the bytes of a restored module
    /// cannot be read any more.
    #[must_use]
    pub fn custom_section(&self, name: &str) -> Option<&[u8]> {
        let section = self.custom_sections.iter().find(|section| section.name == name)?;
        self.require_bodies().ok()?;
        Some(&self.whole()?[section.range.start as usize..section.range.end as usize])
    }
}

/// A custom section.
#[derive(Clone, Debug)]
pub struct CustomSection {
    /// Its name.
    pub name: String,
    /// Its content, in the module's bytes.
    pub range: Range<u32>,
}

/// An entity of a module, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntityIndex {
    /// A function.
    Func(FuncIndex),
    /// A table.
    Table(TableIndex),
    /// A memory.
    Memory(MemoryIndex),
    /// A global.
    Global(GlobalIndex),
    /// A tag.
    Tag(TagIndex),
}

/// An import.
#[derive(Clone, Debug)]
pub struct Import {
    /// First part of the name.
    pub module: String,
    /// Second part of the name.
    pub name: String,
    /// What the import defines; its type stands in the module's maps.
    pub entity: EntityIndex,
}

/// An export.
#[derive(Clone, Debug)]
pub struct Export {
    /// Its name, unique in the module.
    pub name: String,
    /// What is exported.
    pub entity: EntityIndex,
}

/// The body of a defined function.
#[derive(Clone, Debug)]
pub struct FunctionBody {
    /// Where it is in the module's bytes: from the locals' declaration to the final `end`.
    pub range: Range<u32>,
}

/// A constant expression: operators of a stack machine without the final `end`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConstExpr {
    /// The operators.
    pub ops: Vec<ConstOp>,
}

/// An operator of a constant expression.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum ConstOp {
    I32Const(i32),
    I64Const(i64),
    /// Bits of the float.
    F32Const(u32),
    /// Bits of the float.
    F64Const(u64),
    V128Const(u128),
    RefNull(HeapType),
    RefFunc(FuncIndex),
    GlobalGet(GlobalIndex),
    I32Add,
    I32Sub,
    I32Mul,
    I64Add,
    I64Sub,
    I64Mul,
}

/// An element segment.
#[derive(Clone, Debug)]
pub struct ElementSegment {
    /// Type of the elements.
    pub element: RefType,
    /// When it is copied to a table.
    pub mode: ElementMode,
    /// The elements.
    pub items: ElementItems,
}

/// The elements of a segment.
#[derive(Clone, Debug)]
pub enum ElementItems {
    /// Functions.
    Funcs(Box<[FuncIndex]>),
    /// Constant expressions.
    Exprs(Box<[ConstExpr]>),
}

impl ElementItems {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            ElementItems::Funcs(items) => items.len(),
            ElementItems::Exprs(items) => items.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// When an element segment is copied to a table.
#[derive(Clone, Debug)]
pub enum ElementMode {
    /// By `table.init`.
    Passive,
    /// Never: it only declares functions for `ref.func`.
    Declared,
    /// At instantiation.
    Active {
        /// Destination.
        table: TableIndex,
        /// First element to overwrite.
        offset: ConstExpr,
    },
}

/// A data segment.
#[derive(Clone, Debug)]
pub struct DataSegment {
    /// Its bytes, in the module's bytes.
    pub range: Range<u32>,
    /// When it is copied to a memory.
    pub mode: DataMode,
}

/// When a data segment is copied to a memory.
#[derive(Clone, Debug)]
pub enum DataMode {
    /// By `memory.init`.
    Passive,
    /// At instantiation.
    Active {
        /// Destination.
        memory: MemoryIndex,
        /// First byte to overwrite.
        offset: ConstExpr,
    },
}
