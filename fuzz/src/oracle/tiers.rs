//! Wasmoor's configurations: everything that makes other code of the same module.

use super::Wasmoor;
use super::misplaced::{Misplaced, Misplacement};
use super::mixed::Mixed;
use wasmoor::raw::codegen::FunctionCompiler;
use wasmoor::raw::runtime::{Compilers, Creators, EngineConfig};
use wasmoor::{Config, Engine, Error, Features, MemoryChoice, Result, Tier};
use wasmoor_abi::Tunables;
use wasmoor_baseline::{BaselineCompiler, Cpu};
use wasmoor_optimizing::{OptLevel, OptimizingCompiler, Options, Target};

/// Bytes of stack for guests: enough for the recursion of most cases, too little for tail calls
/// that are none.
const STACK_BYTES: usize = 2 << 20;

/// Seed of the choices between the tiers at each call.
const CHOICES: u64 = 1;

/// All configurations, with their names in reports.
///
/// # Errors
/// When the machine cannot run Wasmoor.
pub fn tiers() -> Result<Vec<(&'static str, Wasmoor)>> {
    let mut all = vec![
        tier("optimizing", |it| it.tier(Tier::Optimizing))?,
        tier("baseline", |it| it.tier(Tier::Baseline))?,
        tier("auto", |it| it)?,
        tier("optimizing, eager", |it| it.tier(Tier::Optimizing).eager(true))?,
        tier("baseline, eager", |it| it.tier(Tier::Baseline).eager(true))?,
        tier("optimizing, checked", |it| checked(it.tier(Tier::Optimizing)))?,
        tier("baseline, checked", |it| checked(it.tier(Tier::Baseline)))?,
        counting("optimizing, fuel", Tier::Optimizing)?,
        counting("baseline, fuel", Tier::Baseline)?,
        with_compiler("not optimizing", optimizing(OptLevel::None, Target::Host)?, false)?,
        with_compiler("mixed", mixed()?, false)?,
        with_compiler("mixed, eager", mixed()?, true)?,
        tier("a tier for each call", |it| it.tier(Tier::Mixed { seed: CHOICES }))?,
    ];
    if cfg!(target_arch = "x86_64") {
        all.extend(old_cpu()?);
    }
    Ok(all)
}

/// The configuration with only this tier.
///
/// # Errors
/// When the machine cannot run Wasmoor.
pub fn single(tier: Tier) -> Result<Wasmoor> {
    Ok(Wasmoor::new(Engine::new(base().tier(tier))?, false))
}

/// A tier (`Tier::Baseline`, or else the optimizing one) whose code has a wrong address map.
///
/// # Errors
/// When the machine cannot run Wasmoor.
pub fn misplaced(tier: Tier, misplacement: Misplacement) -> Result<Wasmoor> {
    let inner: Box<dyn FunctionCompiler> = match tier {
        Tier::Baseline => Box::new(baseline()?),
        _ => optimizing(OptLevel::Speed, Target::Host)?,
    };
    let compiler = Misplaced { inner, misplacement };
    Ok(with_compiler("misplaced", Box::new(compiler), false)?.1)
}

fn baseline() -> Result<BaselineCompiler> {
    BaselineCompiler::new().map_err(|error| Error::usage(error.to_string()))
}

fn base() -> Config {
    let mut config = Config::new();
    // Modules are small: threads would cost more than they give.
    config.threads(1).max_stack(STACK_BYTES);
    config
}

type Named = (&'static str, Wasmoor);

fn tier(name: &'static str, change: fn(&mut Config) -> &mut Config) -> Result<Named> {
    Ok((name, Wasmoor::new(Engine::new(change(&mut base()))?, false)))
}

fn checked(config: &mut Config) -> &mut Config {
    config.memory(MemoryChoice::Checked)
}

fn counting(name: &'static str, tier: Tier) -> Result<Named> {
    Ok((name, Wasmoor::new(Engine::new(base().tier(tier).fuel(true))?, true)))
}

/// Code for CPUs that have what is always needed and nothing more: other instructions are chosen
/// for the same operators.
fn old_cpu() -> Result<[Named; 2]> {
    let target = Target::Named { triple: "x86_64-unknown-linux-gnu".into(), features: vec![] };
    let optimizing = optimizing(OptLevel::Speed, target)?;
    let baseline = Box::new(BaselineCompiler::for_cpu(Cpu::default()));
    Ok([
        with_compiler("optimizing, old CPU", optimizing, false)?,
        with_compiler("baseline, old CPU", baseline, false)?,
    ])
}

fn optimizing(opt_level: OptLevel, target: Target) -> Result<Box<dyn FunctionCompiler>> {
    let options = Options { opt_level, target, ..Options::default() };
    let compiler =
        OptimizingCompiler::new(&options).map_err(|error| Error::usage(error.to_string()))?;
    Ok(Box::new(compiler))
}

fn mixed() -> Result<Box<dyn FunctionCompiler>> {
    let optimizing = optimizing(OptLevel::Speed, Target::Host)?;
    Ok(Box::new(Mixed([Box::new(baseline()?), optimizing])))
}

fn with_compiler(
    name: &'static str,
    compiler: Box<dyn FunctionCompiler>,
    eager: bool,
) -> Result<Named> {
    let config = EngineConfig {
        tunables: Tunables::default(),
        features: Features::default(),
        compilers: Compilers::One(compiler),
        eager,
        threads: 1,
        stack_bytes_max: STACK_BYTES,
        pool: None,
        creators: Creators::default(),
    };
    let engine = wasmoor::raw::engine(config).map_err(Error::host)?;
    Ok((name, Wasmoor::new(engine, false)))
}
