//! A module taken apart into sections and bodies, changed, and put together again.
//!
//! Everything but function bodies is carried over by `wasm-encoder`'s re-encoder; sections that a
//! change needs and the module lacks are there, empty. Custom sections are dropped.

use wasm_encoder::reencode::{Error as ReencodeError, Reencode, RoundtripReencoder};
use wasm_encoder::{
    CodeSection, DataCountSection, DataSection, ElementSection, ExportSection, Function,
    FunctionSection, GlobalSection, ImportSection, Instruction, MemorySection, Module, Section,
    StartSection, TableSection, TableType, TagSection, TypeSection, ValType,
};
use wasmparser::{FunctionBody, Operator, Parser, Payload, TypeRef};

/// Why a module could not be taken apart: it is malformed.
pub type Error = ReencodeError;

/// A module in parts.
#[derive(Default)]
pub struct Parts<'a> {
    types: TypeSection,
    param_counts: Vec<u32>,
    /// Imports.
    pub imports: ImportSection,
    functions: FunctionSection,
    function_types: Vec<u32>,
    tables: TableSection,
    tables_imported: u32,
    /// Memories of the module's own.
    pub memories: MemorySection,
    /// Number of imported memories.
    pub memories_imported: u32,
    /// Number of imported functions.
    pub functions_imported: u32,
    tags: TagSection,
    globals: GlobalSection,
    /// Exports.
    pub exports: ExportSection,
    start: Option<u32>,
    elements: ElementSection,
    data_count: Option<u32>,
    data: DataSection,
    /// Bodies of the module's own functions.
    pub bodies: Vec<Body<'a>>,
}

/// The body of a function.
pub struct Body<'a> {
    /// Number of parameters, which are the first locals.
    pub params: u32,
    /// Further locals, as runs of one type.
    pub locals: Vec<(u32, ValType)>,
    /// The operators that the body had, the last `end` included.
    pub operators: Vec<Operator<'a>>,
    /// What it shall have instead; `None`: the same.
    pub code: Option<Vec<Instruction<'a>>>,
}

impl<'a> Body<'a> {
    fn read(params: u32, body: &FunctionBody<'a>) -> Result<Self, Error> {
        let mut locals = Vec::new();
        for run in body.get_locals_reader()? {
            let (count, ty) = run?;
            locals.push((count, RoundtripReencoder.val_type(ty)?));
        }
        let operators = body.get_operators_reader()?.into_iter().collect::<Result<_, _>>()?;
        Ok(Body { params, locals, operators, code: None })
    }

    /// Adds a local and answers its index.
    pub fn add_local(&mut self, ty: ValType) -> u32 {
        let index = self.params + self.locals.iter().map(|(count, _)| count).sum::<u32>();
        self.locals.push((1, ty));
        index
    }

    /// Replaces the code by what the closure appends for each operator. It is given the operator
    /// and the instruction that means the same.
    ///
    /// # Errors
    /// When an operator is malformed.
    pub fn rewrite(
        &mut self,
        mut f: impl FnMut(&Operator<'a>, Instruction<'a>, &mut Vec<Instruction<'a>>),
    ) -> Result<(), Error> {
        let mut code = Vec::with_capacity(self.operators.len());
        for operator in &self.operators {
            f(operator, RoundtripReencoder.instruction(operator.clone())?, &mut code);
        }
        self.code = Some(code);
        Ok(())
    }

    fn encode(&self) -> Result<Function, Error> {
        let mut function = Function::new(self.locals.iter().copied());
        match &self.code {
            Some(code) => {
                for instruction in code {
                    function.instruction(instruction);
                }
            }
            None => {
                for operator in &self.operators {
                    function.instruction(&RoundtripReencoder.instruction(operator.clone())?);
                }
            }
        }
        Ok(function)
    }
}

impl<'a> Parts<'a> {
    /// Takes a module apart.
    ///
    /// # Errors
    /// When it is malformed. It need not be valid.
    pub fn read(wasm: &'a [u8]) -> Result<Self, Error> {
        let mut parts = Parts::default();
        for payload in Parser::new(0).parse_all(wasm) {
            parts.section(payload?)?;
        }
        Ok(parts)
    }

    fn section(&mut self, payload: Payload<'a>) -> Result<(), Error> {
        let same = &mut RoundtripReencoder;
        match payload {
            Payload::TypeSection(section) => {
                for ty in section.clone().into_iter_err_on_gc_types() {
                    self.param_counts.push(ty?.params().len() as u32);
                }
                same.parse_type_section(&mut self.types, section)?;
            }
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    match import?.ty {
                        TypeRef::Memory(_) => self.memories_imported += 1,
                        TypeRef::Func(_) => self.functions_imported += 1,
                        TypeRef::Table(_) => self.tables_imported += 1,
                        _ => {}
                    }
                }
                same.parse_import_section(&mut self.imports, section)?;
            }
            Payload::FunctionSection(section) => {
                self.function_types = section.clone().into_iter().collect::<Result<_, _>>()?;
                same.parse_function_section(&mut self.functions, section)?;
            }
            Payload::TableSection(section) => {
                same.parse_table_section(&mut self.tables, section)?
            }
            Payload::MemorySection(section) => {
                same.parse_memory_section(&mut self.memories, section)?;
            }
            Payload::TagSection(section) => same.parse_tag_section(&mut self.tags, section)?,
            Payload::GlobalSection(section) => {
                same.parse_global_section(&mut self.globals, section)?;
            }
            Payload::ExportSection(section) => {
                same.parse_export_section(&mut self.exports, section)?;
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::ElementSection(section) => {
                same.parse_element_section(&mut self.elements, section)?;
            }
            Payload::DataCountSection { count, .. } => self.data_count = Some(count),
            Payload::DataSection(section) => same.parse_data_section(&mut self.data, section)?,
            Payload::CodeSectionEntry(body) => {
                let ty = self.function_types.get(self.bodies.len()).copied().unwrap_or(0);
                let params = self.param_counts.get(ty as usize).copied().unwrap_or(0);
                self.bodies.push(Body::read(params, &body)?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds a table and answers its index.
    pub fn add_table(&mut self, ty: TableType) -> u32 {
        self.tables.table(ty);
        self.tables_imported + self.tables.len() - 1
    }

    /// Puts the module together.
    ///
    /// # Errors
    /// When an operator is malformed.
    pub fn finish(&self) -> Result<Vec<u8>, Error> {
        let mut code = CodeSection::new();
        for body in &self.bodies {
            code.function(&body.encode()?);
        }
        let start = self.start.map(|function_index| StartSection { function_index });
        let data_count = self.data_count.map(|count| DataCountSection { count });
        let mut module = Module::new();
        section(&mut module, &self.types, !self.types.is_empty());
        section(&mut module, &self.imports, !self.imports.is_empty());
        section(&mut module, &self.functions, !self.functions.is_empty());
        section(&mut module, &self.tables, !self.tables.is_empty());
        section(&mut module, &self.memories, !self.memories.is_empty());
        section(&mut module, &self.tags, !self.tags.is_empty());
        section(&mut module, &self.globals, !self.globals.is_empty());
        section(&mut module, &self.exports, !self.exports.is_empty());
        start.iter().for_each(|start| section(&mut module, start, true));
        section(&mut module, &self.elements, !self.elements.is_empty());
        data_count.iter().for_each(|count| section(&mut module, count, true));
        section(&mut module, &code, !code.is_empty());
        section(&mut module, &self.data, !self.data.is_empty());
        Ok(module.finish())
    }
}

fn section(module: &mut Module, section: &impl Section, wanted: bool) {
    if wanted {
        module.section(section);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_survives_being_taken_apart() {
        let wasm = wat::parse_str(
            r#"(module
                (type (func (param i32 i64) (result i32)))
                (import "a" "b" (func (param f32)))
                (import "a" "m" (memory 1))
                (memory 1 2) (table 3 funcref) (tag (param f32)) (global (mut i32) (i32.const 7))
                (export "f" (func 1)) (start 2)
                (elem (i32.const 0) func 1) (data "abc")
                (func (type 0) (local i32 f64) local.get 0 (block (br_table 0 0 (i32.const 1))))
                (func (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 3))))"#,
        )
        .unwrap();
        let parts = Parts::read(&wasm).unwrap();
        assert_eq!((parts.memories_imported, parts.functions_imported), (1, 1));
        assert_eq!(parts.bodies.iter().map(|body| body.params).collect::<Vec<_>>(), [2, 0]);
        let again = parts.finish().unwrap();
        let print = |wasm: &[u8]| wasmprinter::print_bytes(wasm).unwrap();
        assert_eq!(print(&again), print(&wasm));
    }

    #[test]
    fn added_locals_follow_the_others() {
        let wasm = wat::parse_str("(module (func (param i32) (local i64 i64 f32)))").unwrap();
        let mut parts = Parts::read(&wasm).unwrap();
        assert_eq!(parts.bodies[0].add_local(ValType::V128), 4);
        assert_eq!(parts.bodies[0].add_local(ValType::V128), 5);
        assert!(crate::interface::is_valid(&parts.finish().unwrap()));
    }
}
