//! From bytes to a [`Module`]: one pass over the sections, then the function bodies.
//!
//! ```text
//! header::check                      is it a module at all?
//! for each section                   validate it, then describe it   (Loader::section)
//! bodies::validate                   validate the bodies and collect facts
//! Loader::finish                     lay out the instances
//! on any error: explain              malformed, invalid, too large or unsupported?
//! ```
//!
//! A section is described only after the validator has accepted it, so indices and counts read
//! here are in range. Lists grow as items are read, never by a count that the module states.

use crate::bodies::{self, Body, BodyError, BodyFault, Context};
use crate::collect::{Refused, VectorEntities};
use crate::convert::{self, ConstExprError, Types, Unsupported};
use crate::description::*;
use crate::error::{Fault, FaultyFunc, LoadError};
use crate::features::{Feature, Features};
use crate::missing::name_proposal;
use crate::{header, malformed, names};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use wasmoor_abi::entity::{EntityRef, PrimaryMap};
use wasmoor_abi::vmctx::ModuleCounts;
use wasmoor_abi::*;
use wasmparser::{
    Chunk, CustomSectionReader, DataKind, ElementKind, FunctionBody as Code, Parser, Payload,
    SectionLimited, TableInit, TypeRef, Validator, ValidatorResources,
};

impl Module {
    /// Decodes and validates a module in the binary format.
    ///
    /// Large modules are validated on up to `threads` threads, the calling one included; the
    /// result does not depend on their number. The bytes are kept; a caller who holds them in a
    /// file mapping passes a copy.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn parse(
        bytes: impl Into<Arc<[u8]>>,
        features: &Features,
        threads: usize,
    ) -> Result<Module, LoadError> {
        let bytes = bytes.into();
        header::check(&bytes)?;
        let load = |features| {
            let mut loader = Loader::new(Arc::clone(&bytes));
            match loader.load(&bytes, features, threads) {
                Ok(()) => Ok(loader.finish()),
                Err(failure) => Err(explain(failure, &bytes, features, &loader.module.exports)),
            }
        };
        load(*features)
            .map_err(|error| name_proposal(error, *features, |features| load(features).map(drop)))
    }
}

/// Describes a module whose code section has been taken out; without bodies. `None`: damaged.
pub(crate) fn skeleton(bytes: Arc<[u8]>, features: Features) -> Option<Module> {
    header::check(&bytes).ok()?;
    let mut loader = Loader::new(Arc::clone(&bytes));
    let mut parser = Parser::new(0);
    parser.set_features(features.flags());
    let mut validator = Validator::new_with_features(features.flags());
    let mut rest = &bytes[..];
    // Not to the very end, where the parser would miss the bodies.
    while !rest.is_empty() {
        let Ok(Chunk::Parsed { consumed, payload }) = parser.parse(rest, true) else { return None };
        rest = rest.get(consumed..)?;
        match payload {
            // Some modules have a hundred thousand segments, and all but few are this simple.
            Payload::DataSection(section) => {
                loader.data(section.clone()).ok()?;
                let module = &loader.module;
                if !module.data.values().all(|segment| is_plain(module, segment)) {
                    validator.data_section(&section).ok()?;
                }
            }
            payload => loader.section(payload, &mut validator).ok()?,
        }
    }
    Some(loader.finish())
}

/// Whether a data segment needs no validator: it is passive, or goes to a constant place of a
/// memory that there is.
fn is_plain(module: &Module, segment: &DataSegment) -> bool {
    let DataMode::Active { memory, offset } = &segment.mode else { return true };
    let index64 = module.memories.get(*memory).map(|ty| ty.index64);
    match offset.ops[..] {
        [ConstOp::I32Const(_)] => index64 == Some(false),
        [ConstOp::I64Const(_)] => index64 == Some(true),
        _ => false,
    }
}

/// Why loading stopped.
enum Failure {
    /// Refused by the validator.
    Refused { error: wasmparser::Error, func: Option<FuncIndex> },
    /// Accepted by the validator but not by us.
    Unsupported { unsupported: Unsupported, offset: u64 },
    /// Valid, but with an operator that is not implemented.
    RefusedOperator { refused: Refused, func: FuncIndex },
}

impl Failure {
    fn offset(&self) -> u64 {
        match self {
            Failure::Refused { error, .. } => error.offset(),
            Failure::Unsupported { offset, .. } => *offset,
            Failure::RefusedOperator { refused, .. } => refused.offset,
        }
    }
}

impl From<wasmparser::Error> for Failure {
    fn from(error: wasmparser::Error) -> Self {
        Failure::Refused { error, func: None }
    }
}

impl From<BodyError> for Failure {
    fn from(BodyError { func, fault }: BodyError) -> Self {
        match fault {
            BodyFault::Invalid(error) => Failure::Refused { error, func: Some(func) },
            BodyFault::Refused(refused) => Failure::RefusedOperator { refused, func },
        }
    }
}

impl From<ConstExprError> for Failure {
    fn from(error: ConstExprError) -> Self {
        match error {
            ConstExprError::Decode(error) => error.into(),
            ConstExprError::Unsupported(unsupported, offset) => {
                Failure::Unsupported { unsupported, offset }
            }
        }
    }
}

/// Names the place of something unsupported.
fn at<T>(offset: u64, result: Result<T, Unsupported>) -> Result<T, Failure> {
    result.map_err(|unsupported| Failure::Unsupported { unsupported, offset })
}

struct Loader<'a> {
    module: Module,
    bodies: Vec<Body<'a>>,
    resources: Option<ValidatorResources>,
}

impl<'a> Loader<'a> {
    fn new(bytes: Arc<[u8]>) -> Self {
        Loader { module: empty(bytes), bodies: Vec::new(), resources: None }
    }

    /// Converts types with the knowledge of those of the module.
    fn convert(&self) -> Types<'_> {
        Types::of(&self.module.types)
    }

    fn load(&mut self, bytes: &'a [u8], features: Features, threads: usize) -> Result<(), Failure> {
        // An error behind the code section counts only if there is none in the bodies.
        let sections = self.sections(bytes, features);
        self.code(features, threads)?;
        sections
    }

    fn sections(&mut self, bytes: &'a [u8], features: Features) -> Result<(), Failure> {
        let mut parser = Parser::new(0);
        parser.set_features(features.flags());
        let mut validator = Validator::new_with_features(features.flags());
        for payload in parser.parse_all(bytes) {
            self.section(payload?, &mut validator)?;
        }
        Ok(())
    }

    /// Validates one section and describes it.
    fn section(&mut self, payload: Payload<'a>, validator: &mut Validator) -> Result<(), Failure> {
        if let Payload::CodeSectionEntry(body) = payload {
            return self.body(body, validator);
        }
        validator.payload(&payload)?;
        match payload {
            Payload::TypeSection(section) => self.types(section),
            Payload::ImportSection(section) => self.imports(section),
            Payload::FunctionSection(section) => self.functions(section),
            Payload::TableSection(section) => self.tables(section),
            Payload::MemorySection(section) => self.memories(section),
            Payload::TagSection(section) => self.tags(section),
            Payload::GlobalSection(section) => self.globals(section),
            Payload::ExportSection(section) => self.exports(section),
            Payload::StartSection { func, .. } => {
                self.module.start = Some(FuncIndex::from_u32(func));
                Ok(())
            }
            Payload::ElementSection(section) => self.elements(section),
            Payload::CodeSectionStart { size, unchecked_range, .. } => {
                self.module.code_bytes = size as usize;
                self.module.code_start = u32::try_from(unchecked_range.start).ok();
                Ok(())
            }
            Payload::DataSection(section) => self.data(section),
            Payload::CustomSection(section) => {
                self.custom(&section);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn types(&mut self, section: SectionLimited<'_, wasmparser::RecGroup>) -> Result<(), Failure> {
        for item in section.into_iter_with_offsets() {
            let (offset, group) = item?;
            let types = at(offset, convert::rec_group(&self.module.types, &group))?;
            let first = self.module.types.next_key();
            types.into_iter().for_each(|ty| _ = self.module.types.push(ty));
            self.module.rec_groups.push(first..self.module.types.next_key());
        }
        Ok(())
    }

    fn imports(&mut self, section: wasmparser::ImportSectionReader<'_>) -> Result<(), Failure> {
        for item in section.into_imports_with_offsets() {
            let (offset, import) = item?;
            let entity = at(offset, self.imported(import.ty))?;
            let (module, name) = (import.module.to_string(), import.name.to_string());
            self.module.imports.push(Import { module, name, entity });
        }
        Ok(())
    }

    fn imported(&mut self, ty: TypeRef) -> Result<EntityIndex, Unsupported> {
        let module = &mut self.module;
        let types = Types::of(&module.types);
        let counts = &mut module.counts;
        Ok(match ty {
            TypeRef::Func(ty) => {
                counts.imported_funcs += 1;
                EntityIndex::Func(module.functions.push(TypeIndex::from_u32(ty)))
            }
            TypeRef::Table(ty) => {
                counts.imported_tables += 1;
                EntityIndex::Table(module.tables.push(types.table_type(ty)?))
            }
            TypeRef::Memory(ty) => {
                counts.imported_memories += 1;
                EntityIndex::Memory(module.memories.push(convert::memory_type(ty)?))
            }
            TypeRef::Global(ty) => {
                counts.imported_globals += 1;
                EntityIndex::Global(module.globals.push(types.global_type(ty)?))
            }
            TypeRef::Tag(ty) => {
                counts.imported_tags += 1;
                EntityIndex::Tag(module.tags.push(TypeIndex::from_u32(ty.func_type_idx)))
            }
            TypeRef::FuncExact(_) => return Err(Unsupported::unnamed("exact function types")),
        })
    }

    fn functions(&mut self, section: SectionLimited<'_, u32>) -> Result<(), Failure> {
        for ty in section {
            self.module.functions.push(TypeIndex::from_u32(ty?));
        }
        Ok(())
    }

    fn tables(
        &mut self,
        section: SectionLimited<'_, wasmparser::Table<'_>>,
    ) -> Result<(), Failure> {
        for item in section.into_iter_with_offsets() {
            let (offset, table) = item?;
            let ty = at(offset, self.convert().table_type(table.ty))?;
            let init = match table.init {
                TableInit::RefNull => ConstExpr { ops: vec![ConstOp::RefNull(ty.element.heap)] },
                TableInit::Expr(expr) => self.convert().const_expr(&expr)?,
            };
            self.module.tables.push(ty);
            self.module.table_inits.push(init);
            self.module.counts.defined_tables += 1;
        }
        Ok(())
    }

    fn memories(
        &mut self,
        section: SectionLimited<'_, wasmparser::MemoryType>,
    ) -> Result<(), Failure> {
        for item in section.into_iter_with_offsets() {
            let (offset, ty) = item?;
            self.module.memories.push(at(offset, convert::memory_type(ty))?);
            self.module.counts.defined_memories += 1;
        }
        Ok(())
    }

    fn tags(&mut self, section: SectionLimited<'_, wasmparser::TagType>) -> Result<(), Failure> {
        for tag in section {
            self.module.tags.push(TypeIndex::from_u32(tag?.func_type_idx));
            self.module.counts.defined_tags += 1;
        }
        Ok(())
    }

    fn globals(
        &mut self,
        section: SectionLimited<'_, wasmparser::Global<'_>>,
    ) -> Result<(), Failure> {
        for item in section.into_iter_with_offsets() {
            let (offset, global) = item?;
            let ty = at(offset, self.convert().global_type(global.ty))?;
            self.module.globals.push(ty);
            let init = self.convert().const_expr(&global.init_expr)?;
            self.module.global_inits.push(init);
            self.module.counts.defined_globals += 1;
        }
        Ok(())
    }

    fn exports(
        &mut self,
        section: SectionLimited<'_, wasmparser::Export<'_>>,
    ) -> Result<(), Failure> {
        for item in section.into_iter_with_offsets() {
            let (offset, export) = item?;
            let entity = at(offset, convert::entity(export.kind, export.index))?;
            let name = export.name.to_string();
            if let ("memory", EntityIndex::Memory(index)) = (&*name, entity) {
                self.module.memory_export = Some(index);
            }
            self.module.export_by_name.insert(name.clone(), self.module.exports.len());
            self.module.exports.push(Export { name, entity });
        }
        Ok(())
    }

    fn elements(
        &mut self,
        section: SectionLimited<'_, wasmparser::Element<'_>>,
    ) -> Result<(), Failure> {
        for item in section.into_iter_with_offsets() {
            let (offset, element) = item?;
            let mode = match element.kind {
                ElementKind::Passive => ElementMode::Passive,
                ElementKind::Declared => ElementMode::Declared,
                ElementKind::Active { table_index, offset_expr } => ElementMode::Active {
                    table: TableIndex::from_u32(table_index.unwrap_or(0)),
                    offset: self.convert().const_expr(&offset_expr)?,
                },
            };
            let (element, items) = self.element_items(offset, element.items)?;
            self.module.elements.push(ElementSegment { element, mode, items });
        }
        Ok(())
    }

    fn element_items(
        &self,
        offset: u64,
        items: wasmparser::ElementItems<'_>,
    ) -> Result<(RefType, ElementItems), Failure> {
        match items {
            wasmparser::ElementItems::Functions(funcs) => {
                let funcs = funcs
                    .into_iter()
                    .map(|func| func.map(FuncIndex::from_u32))
                    .collect::<wasmparser::Result<Box<[_]>>>()?;
                Ok((RefType::FUNCREF, ElementItems::Funcs(funcs)))
            }
            wasmparser::ElementItems::Expressions(ty, exprs) => {
                let ty = at(offset, self.convert().ref_type(ty))?;
                let exprs = exprs
                    .into_iter()
                    .map(|expr| Ok(self.convert().const_expr(&expr?)?))
                    .collect::<Result<Vec<_>, Failure>>()?;
                Ok((ty, compact_items(exprs)))
            }
        }
    }

    fn data(&mut self, section: SectionLimited<'_, wasmparser::Data<'_>>) -> Result<(), Failure> {
        for data in section {
            let data = data?;
            let mode = match data.kind {
                DataKind::Passive => DataMode::Passive,
                DataKind::Active { memory_index, offset_expr } => DataMode::Active {
                    memory: MemoryIndex::from_u32(memory_index),
                    offset: self.convert().const_expr(&offset_expr)?,
                },
            };
            // The bytes are the last part of the segment.
            let start = data.range.end - data.data.len() as u64;
            self.module.data.push(DataSegment { range: range(start..data.range.end), mode });
        }
        Ok(())
    }

    fn custom(&mut self, section: &CustomSectionReader<'_>) {
        let name = section.name();
        if name == names::SECTION && self.module.name.is_none() {
            self.module.name = names::module_name(section.data());
        }
        let end = section.range().end;
        let start = end - section.data().len() as u64;
        let range = range(start..end);
        self.module.custom_sections.push(CustomSection { name: name.to_string(), range });
    }

    fn body(&mut self, body: Code<'a>, validator: &mut Validator) -> Result<(), Failure> {
        let function = validator.code_section_entry(&body)?;
        let index = FuncIndex::from_u32(function.index);
        self.bodies.push(Body { index, ty: function.ty, body });
        self.resources.get_or_insert(function.resources);
        Ok(())
    }

    /// Validates the bodies found and describes them.
    fn code(&mut self, features: Features, threads: usize) -> Result<(), Failure> {
        let Some(resources) = self.resources.take() else { return Ok(()) };
        let vectors = vector_entities(&self.module);
        let context = Context { resources, features: features.flags(), vectors };
        let facts = bodies::validate(&context, &self.bodies, threads)?;
        for (body, facts) in std::mem::take(&mut self.bodies).into_iter().zip(facts) {
            let range = range(body.body.range());
            self.module.bodies.push(FunctionBody { range });
            self.module.body_facts.push(facts);
        }
        Ok(())
    }

    fn finish(self) -> Module {
        let layout = VmctxLayout::new(self.module.counts);
        Module { layout, ..self.module }
    }
}

/// Lists functions by index where every expression is a `ref.func`: a tenth of the memory.
fn compact_items(exprs: Vec<ConstExpr>) -> ElementItems {
    let func = |expr: &ConstExpr| match expr.ops[..] {
        [ConstOp::RefFunc(func)] => Some(func),
        _ => None,
    };
    match exprs.iter().map(func).collect::<Option<Box<[_]>>>() {
        Some(funcs) => ElementItems::Funcs(funcs),
        None => ElementItems::Exprs(exprs.into()),
    }
}

/// A module without anything.
fn empty(bytes: Arc<[u8]>) -> Module {
    Module {
        name: None,
        types: PrimaryMap::new(),
        rec_groups: Vec::new(),
        imports: Vec::new(),
        exports: Vec::new(),
        functions: PrimaryMap::new(),
        tables: PrimaryMap::new(),
        table_inits: PrimaryMap::new(),
        memories: PrimaryMap::new(),
        globals: PrimaryMap::new(),
        global_inits: PrimaryMap::new(),
        tags: PrimaryMap::new(),
        start: None,
        elements: PrimaryMap::new(),
        data: PrimaryMap::new(),
        bodies: PrimaryMap::new(),
        body_facts: PrimaryMap::new(),
        counts: ModuleCounts::default(),
        layout: VmctxLayout::new(ModuleCounts::default()),
        code_bytes: 0,
        code_start: None,
        custom_sections: Vec::new(),
        export_by_name: HashMap::new(),
        memory_export: None,
        bytes,
        late: None,
        func_names: OnceLock::new(),
        branch_hints: OnceLock::new(),
    }
}

/// A range of the module's bytes, of which there are at most 2^30 (see [`header::check`]).
fn range(range: Range<u64>) -> Range<u32> {
    debug_assert!(range.end <= u64::from(u32::MAX));
    range.start as u32..range.end as u32
}

fn vector_entities(module: &Module) -> VectorEntities {
    let in_func =
        |ty: &FuncType| ty.params.iter().chain(&ty.results).any(|ty| *ty == ValType::V128);
    let in_type = |ty: &SubType| ty.as_func().is_some_and(in_func);
    let types: Box<[bool]> = module.types.values().map(in_type).collect();
    let globals: Box<[bool]> =
        module.globals.values().map(|ty| ty.content == ValType::V128).collect();
    if !types.contains(&true) && !globals.contains(&true) {
        return VectorEntities::default();
    }
    let func = |ty: &TypeIndex| types.get(ty.index()).copied().unwrap_or(false);
    let funcs = module.functions.values().map(func).collect();
    let tags = module.tags.values().map(func).collect();
    VectorEntities { types, funcs, globals, tags }
}

/// Finds out what kind of error a failure is and where it is.
fn explain(failure: Failure, bytes: &[u8], features: Features, exports: &[Export]) -> LoadError {
    let fault = |offset, reason: &str, func: Option<FuncIndex>| Fault {
        offset,
        reason: reason.to_string(),
        func: func.map(|index| FaultyFunc {
            index,
            name: names::name_in_broken_module(bytes, exports, index),
        }),
    };
    if let Some(found) = malformed::find(bytes, features.flags()) {
        let fault = fault(found.offset, &found.reason, found.func);
        return match found.feature {
            None => LoadError::Malformed(fault),
            feature => LoadError::Unsupported { feature, fault },
        };
    }
    let offset = failure.offset();
    match failure {
        Failure::Refused { error, func } => {
            let fault = fault(offset, error.message(), func);
            match error.missing_wasm_feature() {
                Some(flags) => LoadError::Unsupported { feature: Features::owner_of(flags), fault },
                None if is_limit(error.message()) => LoadError::TooLarge(fault),
                None => LoadError::Invalid(fault),
            }
        }
        Failure::Unsupported { unsupported: Unsupported { what, feature }, offset } => {
            let fault = fault(offset, &format!("{what} are not implemented"), None);
            LoadError::Unsupported { feature, fault }
        }
        Failure::RefusedOperator { refused, func } => {
            let name = text_name(refused.operator);
            let fault = fault(offset, &format!("`{name}` is not implemented"), Some(func));
            LoadError::Unsupported { feature: Some(Feature::Gc), fault }
        }
    }
}

/// The name of one of the collector's operators in the text format, from that in the validator's
/// list: `StructNewDefault` is `struct.new_default`, `BrOnCast` is `br_on_cast`.
fn text_name(operator: &str) -> String {
    let mut words = Vec::new();
    for c in operator.chars() {
        if c.is_ascii_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(c.to_ascii_lowercase());
        }
    }
    let name = words.join("_");
    // Null or not is a part of the operand in the text format.
    let name = name.trim_end_matches("_non_null").trim_end_matches("_nullable");
    if name.starts_with("br_") { name.to_string() } else { name.replacen('_', ".", 1) }
}

/// Whether the validator speaks of a limit of its own rather than of a rule of WebAssembly. It has
/// no other mark than the words.
fn is_limit(reason: &str) -> bool {
    const WORDS: &[&str] =
        &["exceeds limit of", "locals exceed maximum", "implementation limit", "exceeds the limit"];
    WORDS.iter().any(|words| reason.contains(words))
}
