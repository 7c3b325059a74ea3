//! `wasmoor explore`: functions beside the machine code that they become, as text or as a page.
//!
//! What is shown is what `run` would make on this machine; nothing is run.

use crate::args::{Explore, ShownTier};
use crate::report::{self, Failure, near, printable};
use crate::validate;
use std::path::Path;
use std::sync::Arc;
use wasmoor::{Config, Engine};
use wasmoor_abi::{DefinedFuncIndex, FuncIndex, Tunables};
use wasmoor_baseline::BaselineCompiler;
use wasmoor_codegen::FunctionCompiler;
use wasmoor_explore::{Listing, Maker, html, list, operators, text};
use wasmoor_module::Module;
use wasmoor_optimizing::{OptimizingCompiler, Options};

/// Bytes of functions that are listed together; a listing is about a hundred times as large.
const LISTED_BYTES_MAX: usize = 128 << 10;
/// Operators of one function that are listed.
const OPERATORS_MAX: usize = 50_000;

/// Prints or writes the listing.
///
/// # Errors
/// The module cannot be read or is not valid, there is no such function, or OUT cannot be written.
pub(crate) fn run(args: &Explore) -> Result<(), Failure> {
    let module = Arc::new(validate::load(&args.file)?);
    let mut makers = makers(args.tier)?;
    let mut notes = Vec::new();
    let funcs = match &args.func {
        Some(name) => vec![find(&module, name)?],
        None => affordable(&module, &mut notes),
    };
    let mut texts = operators::read(&module, &funcs)
        .map_err(|error| Failure::error(format!("cannot print the operators: {error}")))?;
    let listings: Vec<Listing> = funcs
        .iter()
        .map(|func| {
            let mut operators = texts.remove(func).unwrap_or_default();
            let all = operators.len();
            if all > OPERATORS_MAX {
                operators.truncate(OPERATORS_MAX);
                let index = module.func_index(*func).as_u32();
                notes.push(format!(
                    "function {index}: {OPERATORS_MAX} of {all} operators are shown"
                ));
            }
            list(&module, *func, operators, &mut makers)
        })
        .collect();
    let out = if args.html {
        html::page(&printable(&args.file.display().to_string()), &notes, &listings)
    } else {
        listings.iter().map(text::table).collect::<Vec<_>>().join("\n")
    };
    notes.iter().for_each(report::note);
    match &args.output {
        Some(path) => write(path, &out),
        None => report::print(&out),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let shown = printable(&path.display().to_string());
    std::fs::write(path, text)
        .map_err(|error| Failure::error(format!("cannot write `{shown}`: {error}")))
}

/// The compilers, asked as `run` asks them.
fn makers(tier: ShownTier) -> Result<Vec<Maker>, Failure> {
    let engine = Engine::new(&Config::new()).map_err(Failure::error)?;
    let (memory_mode, clamped64) = (engine.memory_mode(), engine.clamps_memory64());
    let tunables = |poll| Tunables { memory_mode, clamped64, poll, ..Tunables::default() };
    let baseline = |poll| -> Result<Maker, Failure> {
        let compiler = BaselineCompiler::new().map_err(Failure::error)?.with_every_operator();
        Ok(maker(&compiler, tunables(poll)))
    };
    let optimizing = || -> Result<Maker, Failure> {
        let compiler = OptimizingCompiler::new(&Options::default()).map_err(Failure::error)?;
        Ok(maker(&compiler, tunables(false)))
    };
    Ok(match tier {
        ShownTier::Baseline => vec![baseline(false)?],
        ShownTier::Optimizing => vec![optimizing()?],
        ShownTier::Both => vec![baseline(true)?, optimizing()?],
    })
}

fn maker(compiler: &dyn FunctionCompiler, tunables: Tunables) -> Maker {
    Maker::new(compiler, tunables)
}

/// The first functions that together are small enough, and at least one.
fn affordable(module: &Module, notes: &mut Vec<String>) -> Vec<DefinedFuncIndex> {
    let mut bytes = 0usize;
    let mut funcs: Vec<_> = module.bodies.keys().collect();
    let fit = funcs.iter().take_while(|&&func| {
        bytes = bytes.saturating_add(module.body_bytes(func).len());
        bytes <= LISTED_BYTES_MAX
    });
    let (fit, all) = (fit.count().max(1), funcs.len());
    if fit < all {
        notes.push(format!("the first {fit} of {all} functions are shown; --func chooses another"));
        funcs.truncate(fit);
    }
    funcs
}

/// The function with this number or name.
fn find(module: &Module, wanted: &str) -> Result<DefinedFuncIndex, Failure> {
    let shown = printable(wanted);
    let number = wanted.parse().ok().map(FuncIndex::from_u32);
    let number = number.filter(|index| module.functions.get(*index).is_some());
    let named = || module.functions.keys().find(|&index| has_name(module, index, wanted));
    let Some(index) = number.or_else(named) else {
        let names: Vec<_> =
            module.functions.keys().map(|index| module.func_display_name(index)).collect();
        let near = near(wanted, names.iter().map(AsRef::as_ref));
        let near: Vec<String> = near.iter().map(|name| format!("`{}`", printable(name))).collect();
        return Err(Failure::error(match near.as_slice() {
            [] => format!("no function `{shown}`: there are {}", module.functions.len()),
            near => format!("no function `{shown}`; similar: {}", near.join(", ")),
        }));
    };
    module.defined_func(index).ok_or_else(|| {
        Failure::error(format!("function `{shown}` is imported: its code is not in the module"))
    })
}

fn has_name(module: &Module, index: FuncIndex, wanted: &str) -> bool {
    let exported = || module.export(wanted) == Some(wasmoor_module::EntityIndex::Func(index));
    module.func_name(index) == Some(wanted) || exported()
}
