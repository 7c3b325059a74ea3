//! Compiling ahead: what a called function may call gets code before it is called.

use std::fmt::Write;
use std::time::{Duration, Instant};
use wasmoor::{Config, Engine, Instance, Module, Store, Tier};

/// Functions of the module that calls them: enough that it is worth it.
const FUNCTIONS: usize = 700;

/// `go(n)` calls `f0`, and `fi` calls `fj` for the ten j from 10 i + 1 on, but only if n > 0.
fn module_text() -> String {
    let mut text = String::from("(module ");
    for i in 0..FUNCTIONS {
        let _ = write!(text, "(func $f{i} (param i32) (result i32) (local $sum i32)");
        text.push_str("(if (i32.gt_s (local.get 0) (i32.const 0)) (then ");
        for callee in (10 * i + 1..=10 * i + 10).filter(|&callee| callee < FUNCTIONS) {
            let _ = write!(
                text,
                "(local.set $sum (i32.add (local.get $sum) (call $f{callee} (i32.sub \
                 (local.get 0) (i32.const 1)))))"
            );
        }
        text.push_str(")) (i32.add (local.get $sum) (i32.const 1)))");
    }
    text + "(func (export \"go\") (param i32) (result i32) (call $f0 (local.get 0))))"
}

fn instance(config: &mut Config) -> (Module, Store<()>, Instance) {
    let engine = Engine::new(config).expect("an engine");
    let module = Module::new(&engine, module_text()).expect("a module");
    let mut store = Store::new(&engine, ()).expect("a store");
    let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
    (module, store, instance)
}

fn go(store: &mut Store<()>, instance: &Instance, depth: i32) -> i32 {
    let go = instance.get_typed_func::<i32, i32>(&*store, "go").expect("the function");
    go.call(store, depth).expect("a result")
}

/// Waits until the module has more than `count` functions with code.
fn more_than(module: &Module, count: usize) -> bool {
    let until = Instant::now() + Duration::from_secs(30);
    while module.compile_stats().functions <= count {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

#[test]
fn callees_have_code_before_they_are_called() {
    for tier in [Tier::Auto, Tier::Baseline, Tier::Optimizing] {
        let (module, mut store, instance) = instance(Config::new().tier(tier).threads(2));
        // `go` and `f0`, which calls nothing.
        assert_eq!(go(&mut store, &instance, 0), 1);
        assert!(more_than(&module, 2), "{tier:?}");
        // What is compiled ahead computes the same, while more is compiled.
        assert_eq!(go(&mut store, &instance, 9), FUNCTIONS as i32, "{tier:?}");
    }
}

#[test]
fn what_nobody_calls_is_compiled_only_in_part() {
    let (module, mut store, instance) = instance(Config::new().tier(Tier::Baseline).threads(2));
    assert_eq!(go(&mut store, &instance, 0), 1);
    assert!(more_than(&module, 100), "most of what is granted at first");
    std::thread::sleep(Duration::from_millis(50));
    let functions = module.compile_stats().functions;
    assert!(functions < 200, "{functions} of {FUNCTIONS} functions, two of which were called");
}

#[test]
fn with_one_thread_only_what_is_called_is_compiled() {
    let (module, mut store, instance) = instance(Config::new().tier(Tier::Baseline).threads(1));
    assert_eq!(go(&mut store, &instance, 1), 11);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(module.compile_stats().functions, 12);
}
