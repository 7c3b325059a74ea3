//! The mixed tier: every call chooses between the compilers, by the seed and nothing else.

#![cfg(all(feature = "baseline", feature = "optimizing"))]

use wasmoor::raw::codegen::{
    CompileError, CompileJob, CompiledFunction, FunctionCompiler, FunctionWorker,
};
use wasmoor::raw::runtime::{Compilers, Creators, EngineConfig, Plan};
use wasmoor::*;
use wasmoor_abi::{DefinedFuncIndex, Tunables};
use wasmoor_baseline::BaselineCompiler;

/// Makes the code of the next function in place of each function whose index is even: so results
/// tell which compiler made the code that ran.
struct Neighbour(BaselineCompiler);

struct Worker(Box<dyn FunctionWorker>);

impl FunctionCompiler for Neighbour {
    fn name(&self) -> &'static str {
        "neighbour"
    }

    fn fingerprint(&self) -> String {
        self.0.fingerprint()
    }

    fn worker(&self) -> Box<dyn FunctionWorker> {
        Box::new(Worker(self.0.worker()))
    }
}

impl FunctionWorker for Worker {
    fn compile(&mut self, job: &CompileJob<'_>) -> Result<CompiledFunction, CompileError> {
        let func = DefinedFuncIndex::from_u32(job.func.as_u32() | 1);
        self.0.compile(&CompileJob { func, ..*job })
    }
}

fn baseline() -> BaselineCompiler {
    BaselineCompiler::new().expect("this CPU has what is needed")
}

/// An engine whose second compiler makes other code than it should.
fn engine(seed: u64, eager: bool) -> Engine {
    let compilers = Compilers::Both {
        first: Box::new(baseline()),
        second: Box::new(Neighbour(baseline())),
        plan: Plan::Mixed { seed },
        budget: TierUpBudget::default(),
    };
    let config = EngineConfig {
        tunables: Tunables::default(),
        features: Features::default(),
        compilers,
        eager,
        threads: 1,
        stack_bytes_max: Config::STACK_BYTES_MAX,
        pool: None,
        creators: Creators::default(),
    };
    raw::engine(config).expect("an engine")
}

/// `run` calls, tail-calls and calls through a table what gives 0 by the first compiler and 1 by
/// the second, and collects 48 bits.
const TEXT: &str = r#"(module
    (type $bit (func (result i64)))
    (type $add (func (param i64)))
    (table funcref (elem $zero))
    (func $zero (type $bit) (i64.const 0))
    (func $one (type $bit) (i64.const 1))
    (func (type $bit) (return_call $one))
    (func $tail (type $bit) (return_call $zero))
    (func (type $add))
    (func $add (type $add)
        (global.set $bits (i64.or (i64.shl (global.get $bits) (i64.const 1)) (local.get 0))))
    (func)
    (func $run (export "run") (result i64) (local $n i32)
        (loop $l
            (call $add (call $zero))
            (call $add (call $tail))
            (call $add (call_indirect (type $bit) (i32.const 0)))
            (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 16))))
        (global.get $bits))
    (global $bits (mut i64) (i64.const 0)))"#;

/// What one call of `run` collects in a new module and store of the engine.
fn bits(engine: &Engine) -> i64 {
    let module = Module::new(engine, TEXT).expect("a valid module");
    let mut store = Store::new(engine, ()).expect("a store");
    let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
    let run = instance.get_typed_func::<(), i64>(&store, "run").expect("the export");
    run.call(&mut store, ()).expect("no trap")
}

#[test]
fn each_call_chooses_by_the_seed() {
    for eager in [false, true] {
        for seed in 0..20 {
            let [one, same, other] = [seed, seed, seed + 1].map(|seed| bits(&engine(seed, eager)));
            assert_eq!(one, same, "the seed decides (seed {seed}, eager: {eager})");
            assert_ne!(one, other, "seeds differ (seed {seed}, eager: {eager})");
            let ones = one.count_ones();
            assert!((8..=40).contains(&ones), "{ones} of 48 (seed {seed}, eager: {eager})");
        }
    }
}

#[test]
fn modules_of_an_engine_differ() {
    let engine = engine(7, false);
    assert_ne!(bits(&engine), bits(&engine));
}

#[test]
fn both_versions_of_what_is_called_are_compiled_and_no_others() -> Result<()> {
    let engine = Engine::new(Config::new().tier(raw::mixed_tier(raw::seed())))?;
    let text = r#"(module
        (func $never)
        (func (export "add") (param i32 f64) (result f64)
            (f64.add (f64.convert_i32_u (local.get 0)) (local.get 1))))"#;
    let module = Module::new(&engine, text)?;
    let mut store = Store::new(&engine, ())?;
    let instance = Instance::new(&mut store, &module, &[])?;
    let add = instance.get_typed_func::<(i32, f64), f64>(&store, "add")?;
    for n in 0..200 {
        assert_eq!(add.call(&mut store, (n, 0.5))?, f64::from(n) + 0.5);
    }
    let stats = module.compile_stats();
    assert_eq!((stats.functions, stats.functions_optimized), (1, 1), "{stats:?}");
    Ok(())
}
