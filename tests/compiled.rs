//! Programs that other compilers made: C++ that throws, in both forms of the exceptions' operators,
//! and C without a library that runs on threads of the host. On every tier.
//!
//! Sources, modules and how to rebuild them: `tests/guests`.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;
use wasmoor::*;
use wasmoor_tests::binary::{Finished, finish, wasmoor};

const LIMIT: Duration = Duration::from_secs(120);

fn guest(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "guests", name].iter().collect()
}

fn tiers() -> [Tier; 4] {
    [Tier::Auto, Tier::Baseline, Tier::Optimizing, raw::mixed_tier(raw::seed())]
}

/// What `exceptions.cpp` prints.
const CAUGHT: &str = "0: int 42
1: exception out of luck
2: object derived
3: string text
4: something
5: nothing
deep: 3 values, 1013 destroyed
nested: 1015
carried: 11
loop: 1666749999
in flight: none
";

fn run(module: &str, tier: &str, args: &[&str]) -> Finished {
    let mut command = Command::new(wasmoor());
    command.args(["run", "--no-cache", "--tier", tier]).arg(guest(module)).args(args);
    finish(command, b"", LIMIT).expect("it ends in time")
}

#[test]
fn a_cpp_program_catches_what_it_throws() {
    let mixed = format!("mixed:{}", raw::seed());
    for module in ["exceptions.wasm", "exceptions-older.wasm"] {
        for tier in ["auto", "baseline", "optimizing", &mixed] {
            let finished = run(module, tier, &[]);
            assert_eq!(finished.stdout(), CAUGHT, "{module}, {tier}: {finished:?}");
            assert_eq!(finished.status.code(), Some(7), "{module}, {tier}: {finished:?}");
            // With an argument it throws what nobody catches.
            let finished = run(module, tier, &["more"]);
            assert_eq!(finished.stdout(), CAUGHT, "{module}, {tier}");
            assert_eq!(finished.status.code(), Some(134), "{module}, {tier}: {finished:?}");
            assert!(finished.stderr.contains("uncaught wasm exception"), "{finished:?}");
        }
    }
}

/// The two modules do have different operators.
#[test]
fn the_cpp_program_is_there_in_both_forms() {
    let needs = |module: &str, without: Feature| {
        let features = Features::default().without(without);
        let engine = Engine::new(Config::new().features(features)).expect("an engine");
        Module::from_file(&engine, guest(module)).is_err()
    };
    assert!(!needs("exceptions.wasm", Feature::LegacyExceptions));
    assert!(needs("exceptions.wasm", Feature::Exceptions));
    assert!(needs("exceptions-older.wasm", Feature::LegacyExceptions));
}

/// An instance of `threads.c` with the stack and the own data of a thread.
fn start(engine: &Engine, module: &Module, memory: &SharedMemory, thread: i32) -> Result<Guest> {
    let mut store = Store::new(engine, ())?;
    let instance = Instance::new(&mut store, module, &[memory.clone().into()])?;
    let mut guest = Guest { store, instance };
    let top: i32 = guest.call("stack_top", thread)?;
    let Some(Extern::Global(stack)) = guest.instance.get_export(&guest.store, "__stack_pointer")
    else {
        panic!("the stack pointer is not exported")
    };
    stack.set(&mut guest.store, Val::I32(top))?;
    let data: i32 = guest.call("local_data", thread)?;
    guest.call::<i32, ()>("__wasm_init_tls", data)?;
    Ok(guest)
}

struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    fn call<P: WasmParams, R: WasmResults>(&mut self, name: &str, params: P) -> Result<R> {
        self.instance.get_typed_func::<P, R>(&self.store, name)?.call(&mut self.store, params)
    }
}

#[test]
fn a_c_program_runs_on_threads_of_the_host() -> Result<()> {
    const THREADS: i32 = 8;
    const ROUNDS: i32 = 500;
    // What every thread's own sum and the sum of all begin with.
    const OWN: i64 = 5;
    const TOTAL: i64 = 1000;
    for tier in tiers() {
        for memory in [MemoryChoice::Auto, MemoryChoice::Checked] {
            let way = format!("{tier:?}, {memory:?}");
            let engine = Engine::new(Config::new().tier(tier).memory(memory))?;
            let module = Module::from_file(&engine, guest("threads.wasm"))?;
            let Some(ExternType::Memory(ty)) = module.imports().next().map(|import| import.ty)
            else {
                panic!("the memory is not imported")
            };
            let memory = SharedMemory::new(&engine, ty)?;
            let sums: Result<Vec<i64>> = thread::scope(|scope| {
                let (engine, module, memory) = (&engine, &module, &memory);
                let threads: Vec<_> = (0..THREADS)
                    .map(|thread| {
                        scope.spawn(move || {
                            let mut guest = start(engine, module, memory, thread)?;
                            // A lost wake-up must not hang the test.
                            let handle = guest.store.interrupt_handle();
                            let _deadline = Deadline::after(LIMIT, handle);
                            guest.call("run", (thread, THREADS, ROUNDS))
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
            });
            let sums = sums.map_err(|error| Error::host(format!("{way}: {error:?}")))?;
            let passed = i64::from(THREADS / 2) * i64::from(ROUNDS * (ROUNDS + 1) / 2);
            let own = OWN * i64::from(THREADS);
            assert_eq!(sums.iter().sum::<i64>(), passed + own, "{way}: {sums:?}");
            assert!(sums.iter().step_by(2).all(|&sum| sum == OWN), "{way}: {sums:?}");
            let mut guest = start(&engine, &module, &memory, 0)?;
            assert_eq!(guest.call::<_, i64>("sum", ())?, TOTAL + passed + own, "{way}");
        }
    }
    Ok(())
}
