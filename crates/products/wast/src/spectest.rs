//! The host module `spectest` that the official suite imports from.
//!
//! As in the reference interpreter, with the sizes of `interpreter/host/spectest.ml`: globals of
//! every number type, a table of 10 to 20 elements, a memory of 1 to 2 pages, and functions that
//! print. Nothing is printed here: scripts demand no output, and it would drown reports.

use wasmoor::{Extern, ValType};
use wasmoor::{
    Features, Global, GlobalType, Linker, Memory, MemoryType, RefType, Result, SharedMemory, Store,
    Table, TableType, Val,
};

const MODULE: &str = "spectest";

/// Defines the module in a linker.
pub(crate) fn define(
    linker: &mut Linker<()>,
    store: &mut Store<()>,
    features: Features,
) -> Result<()> {
    functions(linker)?;
    for value in
        [Val::I32(666), Val::I64(666), Val::F32(666.6_f32.to_bits()), Val::F64(666.6_f64.to_bits())]
    {
        global(linker, store, value)?;
    }
    table(linker, store, "table", false)?;
    if features.contains(wasmoor::Feature::Memory64) {
        table(linker, store, "table64", true)?;
    }
    let memory = MemoryType {
        minimum: 1,
        maximum: Some(2),
        index64: false,
        shared: false,
        page_size_log2: 16,
    };
    let memory = Memory::new(&mut *store, memory)?;
    linker.define(&*store, MODULE, "memory", memory)?;
    if features.contains(wasmoor::Feature::Threads) {
        let ty = MemoryType {
            minimum: 1,
            maximum: Some(2),
            index64: false,
            shared: true,
            page_size_log2: 16,
        };
        let memory = SharedMemory::new(linker.engine(), ty)?;
        linker.define(&*store, MODULE, "shared_memory", memory)?;
    }
    Ok(())
}

fn functions(linker: &mut Linker<()>) -> Result<()> {
    linker.func_wrap(MODULE, "print", || {})?;
    linker.func_wrap(MODULE, "print_i32", |_: i32| {})?;
    linker.func_wrap(MODULE, "print_i64", |_: i64| {})?;
    linker.func_wrap(MODULE, "print_f32", |_: f32| {})?;
    linker.func_wrap(MODULE, "print_f64", |_: f64| {})?;
    linker.func_wrap(MODULE, "print_i32_f32", |_: i32, _: f32| {})?;
    linker.func_wrap(MODULE, "print_f64_f64", |_: f64, _: f64| {})?;
    Ok(())
}

fn global(linker: &mut Linker<()>, store: &mut Store<()>, value: Val) -> Result<()> {
    let content: ValType = value.ty();
    let global = Global::new(&mut *store, GlobalType { content, mutable: false }, value)?;
    linker.define(&*store, MODULE, &format!("global_{content}"), Extern::Global(global))?;
    Ok(())
}

fn table(linker: &mut Linker<()>, store: &mut Store<()>, name: &str, index64: bool) -> Result<()> {
    let ty = TableType { element: RefType::FUNCREF, minimum: 10, maximum: Some(20), index64 };
    let table = Table::new(&mut *store, ty, Val::FuncRef(None))?;
    linker.define(&*store, MODULE, name, table)?;
    Ok(())
}
