//! WebAssembly beside the machine code that it became.
//!
//! ```text
//! module, function -> operators (text, offsets) -----------------------+-> Listing -> text, html
//!                  -> compiler -> code, address map, traps -> machine -+
//! ```
//!
//! The address map, which backtraces use too, tells which operator an instruction belongs to.
//! Machine code is decoded by following control flow from the entry and from everything the
//! tables name, so that jump tables and constants between instructions are told apart
//! ([`machine`]). Nothing is executed.
//!
//! What it does not do: decode code of other architectures than x86-64.

pub mod html;
pub mod machine;
mod notes;
pub mod operators;
mod reach;
pub mod text;

use machine::Machine;
use operators::Operator;
use std::sync::Arc;
use wasmoor_abi::{DefinedFuncIndex, Tunables};
use wasmoor_codegen::{CallMode, CompileError, CompileJob, FunctionCompiler, FunctionWorker};
use wasmoor_module::Module;

/// A compiler whose code is shown, and how it is asked for it.
pub struct Maker {
    name: &'static str,
    worker: Box<dyn FunctionWorker>,
    tunables: Tunables,
}

impl Maker {
    /// A compiler under its own name.
    #[must_use]
    pub fn new(compiler: &dyn FunctionCompiler, tunables: Tunables) -> Self {
        Maker { name: compiler.name(), worker: compiler.worker(), tunables }
    }
}

/// One function: its operators, and its code by each maker.
#[derive(Debug)]
pub struct Listing {
    /// Index among all functions of the module.
    pub index: u32,
    /// A name for people, without control characters.
    pub name: String,
    /// Its type.
    pub ty: String,
    /// Bytes of its body.
    pub wasm_bytes: usize,
    /// Its operators, in order.
    pub operators: Vec<Operator>,
    /// Its code by each maker, under the maker's name; or why there is none.
    pub tiers: Vec<(&'static str, Result<Machine, CompileError>)>,
}

/// Lists one function. `operators` come from [`operators::read`].
pub fn list(
    module: &Arc<Module>,
    func: DefinedFuncIndex,
    operators: Vec<Operator>,
    makers: &mut [Maker],
) -> Listing {
    let index = module.func_index(func);
    let tiers = makers.iter_mut().map(|maker| {
        let Maker { name, worker, tunables } = maker;
        let job = CompileJob { module, func, tunables, calls: CallMode::Slots };
        let compiled = worker.compile(&job);
        (*name, compiled.map(|compiled| machine::read(module, &operators, &compiled)))
    });
    let tiers = tiers.collect();
    Listing {
        index: index.as_u32(),
        name: printable(&module.func_display_name(index)),
        ty: module.func_type(index).to_string(),
        wasm_bytes: module.body_bytes(func).len(),
        operators,
        tiers,
    }
}

/// The text with everything escaped that would change how the text around it is shown: control
/// characters, and those that turn the direction of writing.
#[must_use]
pub fn printable(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns(c) { safe.extend(c.escape_unicode()) } else { safe.push(c) }
    }
    safe
}
