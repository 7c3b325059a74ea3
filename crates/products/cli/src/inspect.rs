//! `wasmoor inspect`: what a module imports, exports, holds and needs, as text or JSON.
//!
//! The proposals that a module uses are found by validating it with WebAssembly 1.0 only and
//! switching on what the validator misses, until it is valid.

use crate::args::Inspect;
use crate::report::{self, Failure, printable};
use crate::units::show_bytes;
use crate::validate;
use serde::Serialize;
use std::fmt::Write;
use std::sync::Arc;
use wasmoor_module::{EntityIndex, Features, LoadError, Module};

/// What there is to say about a module. The names of the fields are those of the JSON form.
#[derive(Debug, Serialize)]
struct Summary {
    name: Option<String>,
    bytes: usize,
    code_bytes: usize,
    data_bytes: u64,
    functions: Count,
    tables: Count,
    memories: Count,
    globals: Count,
    tags: Count,
    element_segments: usize,
    data_segments: usize,
    start_function: Option<u32>,
    proposals: Vec<&'static str>,
    imports: Vec<Item>,
    exports: Vec<Item>,
    custom_sections: Vec<Section>,
}

#[derive(Debug, Serialize)]
struct Count {
    imported: usize,
    defined: usize,
}

#[derive(Debug, Serialize)]
struct Item {
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    name: String,
    kind: &'static str,
    r#type: String,
}

#[derive(Debug, Serialize)]
struct Section {
    name: String,
    bytes: u32,
}

/// Prints the summary of a module.
///
/// # Errors
/// The file cannot be read, or is no valid module.
pub(crate) fn run(args: &Inspect) -> Result<(), Failure> {
    let summary = summary(&validate::load(&args.file)?);
    if args.json {
        let json = serde_json::to_string_pretty(&summary).map_err(Failure::error)?;
        report::print(&(json + "\n"))
    } else {
        report::print(&text(&summary))
    }
}

fn summary(module: &Module) -> Summary {
    let counts = &module.counts;
    let count = |all: usize, imported: u32| Count {
        imported: imported as usize,
        defined: all.saturating_sub(imported as usize),
    };
    Summary {
        name: module.name.clone(),
        bytes: module.bytes().len(),
        code_bytes: module.code_bytes,
        data_bytes: module.data.values().map(|data| data.range.len() as u64).sum(),
        functions: count(module.functions.len(), counts.imported_funcs),
        tables: count(module.tables.len(), counts.imported_tables),
        memories: count(module.memories.len(), counts.imported_memories),
        globals: count(module.globals.len(), counts.imported_globals),
        tags: count(module.tags.len(), counts.imported_tags),
        element_segments: module.elements.len(),
        data_segments: module.data.len(),
        start_function: module.start.map(|index| index.as_u32()),
        proposals: proposals(module),
        imports: module
            .imports
            .iter()
            .map(|import| item(module, Some(&import.module), &import.name, import.entity))
            .collect(),
        exports: module
            .exports
            .iter()
            .map(|export| item(module, None, &export.name, export.entity))
            .collect(),
        custom_sections: module
            .custom_sections
            .iter()
            .map(|section| Section {
                name: section.name.clone(),
                bytes: section.range.end.saturating_sub(section.range.start),
            })
            .collect(),
    }
}

fn item(module: &Module, from: Option<&str>, name: &str, entity: EntityIndex) -> Item {
    let (kind, r#type) = describe(module, entity);
    Item { module: from.map(str::to_owned), name: name.to_owned(), kind, r#type }
}

/// The kind of an entity, and its type as text.
fn describe(module: &Module, entity: EntityIndex) -> (&'static str, String) {
    match entity {
        EntityIndex::Func(index) => ("func", format!("func {}", module.func_type(index))),
        EntityIndex::Table(index) => ("table", module.tables[index].to_string()),
        EntityIndex::Memory(index) => ("memory", module.memories[index].to_string()),
        EntityIndex::Global(index) => ("global", module.globals[index].to_string()),
        EntityIndex::Tag(index) => ("tag", format!("tag {}", module.signature(module.tags[index]))),
    }
}

/// The proposals beyond WebAssembly 1.0 that the module cannot do without, oldest first.
fn proposals(module: &Module) -> Vec<&'static str> {
    let mut features = Features::WASM1;
    loop {
        match Module::parse(Arc::clone(module.bytes()), &features, validate::threads()) {
            Err(LoadError::Unsupported { feature: Some(missing), .. })
                if !features.contains(missing) =>
            {
                features = features.with(missing);
            }
            Ok(_) => return names(features),
            // The validator's reason names no proposal: leave out one after the other instead.
            Err(_) => return names(by_elimination(module)),
        }
    }
}

fn by_elimination(module: &Module) -> Features {
    Features::default().iter().fold(Features::default(), |features, candidate| {
        let fewer = features.without(candidate);
        let valid = Module::parse(Arc::clone(module.bytes()), &fewer, validate::threads()).is_ok();
        if valid { fewer } else { features }
    })
}

fn names(features: Features) -> Vec<&'static str> {
    features
        .iter()
        .filter(|feature| !Features::WASM1.contains(*feature))
        .map(|feature| feature.name())
        .collect()
}

fn text(summary: &Summary) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:16} {value}");
    };
    if let Some(name) = &summary.name {
        row("name", &printable(name));
    }
    row("size", &show_bytes(summary.bytes as u64));
    let functions = counted(&summary.functions);
    row("functions", &format!("{functions}, {} of code", show_bytes(summary.code_bytes as u64)));
    row("tables", &counted(&summary.tables));
    row("memories", &counted(&summary.memories));
    row("globals", &counted(&summary.globals));
    if summary.tags.imported + summary.tags.defined > 0 {
        row("tags", &counted(&summary.tags));
    }
    row("elements", &format!("{} segments", summary.element_segments));
    let data = show_bytes(summary.data_bytes);
    row("data", &format!("{} segments, {data}", summary.data_segments));
    if let Some(start) = summary.start_function {
        row("start function", &start.to_string());
    }
    let proposals = summary.proposals.join(", ");
    row("proposals", if proposals.is_empty() { "none" } else { &proposals });
    list(&mut text, "imports", summary.imports.iter().map(line));
    list(&mut text, "exports", summary.exports.iter().map(line));
    let sections = summary.custom_sections.iter();
    let sections = sections.map(|s| format!("{:?}: {}", s.name, show_bytes(u64::from(s.bytes))));
    list(&mut text, "custom sections", sections);
    text
}

fn counted(count: &Count) -> String {
    match count.imported {
        0 => format!("{}", count.defined),
        imported => format!("{} and {imported} imported", count.defined),
    }
}

fn line(item: &Item) -> String {
    match &item.module {
        Some(module) => format!("{module:?} {:?}: {}", item.name, item.r#type),
        None => format!("{:?}: {}", item.name, item.r#type),
    }
}

fn list(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    if !lines.is_empty() {
        let _ = writeln!(text, "\n{title} ({})", lines.len());
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wat: &str) -> Summary {
        let buffer = wast::parser::ParseBuffer::new(wat).expect("tokens");
        let mut module = wast::parser::parse::<wast::Wat<'_>>(&buffer).expect("a module");
        let bytes = module.encode().expect("a module");
        summary(&Module::parse(bytes, &Features::default(), 1).expect("valid"))
    }

    #[test]
    fn proposals_are_found() {
        for (wat, expected) in [
            ("(module)", &[][..]),
            (
                "(module (func (param f32) (result i32) local.get 0 i32.trunc_sat_f32_s))",
                &["saturating-float-to-int"],
            ),
            ("(module (func (result i32 i32) i32.const 1 i32.const 2))", &["multi-value"]),
            ("(module (func (result v128) v128.const i64x2 1 2))", &["simd"]),
            ("(module (memory 1) (memory 1))", &["multi-memory"]),
            ("(module (memory i64 1))", &["memory64"]),
            ("(module (func (return_call 0)))", &["tail-call"]),
            (
                "(module (func (param i32) (result i32) local.get 0 i32.extend8_s))",
                &["sign-extension"],
            ),
        ] {
            assert_eq!(check(wat).proposals, expected, "{wat}");
        }
    }

    #[test]
    fn everything_is_counted() {
        let summary = check(
            r#"(module $m
                (import "env" "f" (func (param i32) (result i64)))
                (import "env" "\n" (memory 1 2))
                (global (mut i32) (i32.const 0))
                (table (export "t") 3 funcref)
                (func (export "go")) (start 1)
                (data (i32.const 0) "abc"))"#,
        );
        let text = text(&summary);
        for part in [
            "name             m\n",
            "functions        1 and 1 imported",
            "data             1 segments, 3 B",
            "start function   1",
            "\"env\" \"f\": func (i32) -> i64",
            "\"env\" \"\\n\": memory 1 2",
            "\"t\": table 3 funcref",
            "\"go\": func ()",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
        let json = serde_json::to_value(&summary).expect("JSON");
        assert_eq!(json["imports"][0]["type"], "func (i32) -> i64");
        assert_eq!(json["functions"]["imported"], 1);
    }
}
