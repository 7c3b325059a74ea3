//! After `fork(2)` parent and child each compile, and neither sees the other's code.
//!
//! # Safety
//! Forks the test process through the one fork there is; the child only computes and exits.

#![allow(unsafe_code)]

use wasmoor::*;

#[test]
fn parent_and_child_compile_on_their_own() -> Result<()> {
    let engine = Engine::default();
    let text = r#"(module
        (func (export "before") (result i32) i32.const 1)
        (func (export "child") (param i32) (result i32) local.get 0 i32.const 3 i32.mul)
        (func (export "parent") (param i32) (result i32) local.get 0 i32.const 5 i32.add)
        (func (export "both") (param i32) (result i32) local.get 0 i32.const 7 i32.sub))"#;
    let module = Module::new(&engine, text)?;
    let mut store = Store::new(&engine, ())?;
    let instance = Instance::new(&mut store, &module, &[])?;
    let mut call = |name: &str, arg: Option<i32>| -> Result<i32> {
        match arg {
            None => instance.get_typed_func::<(), i32>(&store, name)?.call(&mut store, ()),
            Some(arg) => instance.get_typed_func::<i32, i32>(&store, name)?.call(&mut store, arg),
        }
    };
    assert_eq!(call("before", None)?, 1);
    let pid = match wasmoor_sys::fork::fork().expect("fork") {
        wasmoor_sys::fork::Fork::Child => {
            // The first code that each process makes after the fork lies at the same address.
            let right = call("child", Some(14)).is_ok_and(|x| x == 42)
                && call("both", Some(50)).is_ok_and(|x| x == 43)
                && call("before", None).is_ok_and(|x| x == 1)
                && module.compile_stats().functions == 3;
            // SAFETY: leaves without running the parent's destructors and test harness.
            unsafe { libc::_exit(if right { 0 } else { 1 }) }
        }
        wasmoor_sys::fork::Fork::Parent(pid) => pid,
    };
    let mine = (call("parent", Some(37))?, call("both", Some(50))?, call("before", None)?);
    let mut status = 0;
    // SAFETY: waits for the child that was made above.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert!(waited > 0);
    assert_eq!(mine, (42, 43, 1));
    assert_eq!(status, 0, "the child's calls went wrong");
    assert_eq!(module.compile_stats().functions, 3);
    // Now the parent compiles what the child had compiled for itself.
    let child = instance.get_typed_func::<i32, i32>(&store, "child")?;
    assert_eq!(child.call(&mut store, 14)?, 42);
    Ok(())
}

/// Functions that get hot one after another.
fn hot_module(functions: usize) -> String {
    let step = "(local.set 1 (i64.rotl (i64.add (local.get 1) (local.get 0)) (i64.const 7)))";
    let one = |n: usize| {
        format!(
            r#"(func (export "f{n}") (param i64) (result i64) (local i64)
                (loop $l {}
                    (br_if $l (i64.ne (i64.const {n})
                        (local.tee 0 (i64.sub (local.get 0) (i64.const 1))))))
                (local.get 1))"#,
            step.repeat(200)
        )
    };
    format!("(module {})", (0..functions).map(one).collect::<String>())
}

#[test]
fn children_made_while_code_gets_better_run_on() -> Result<()> {
    const FUNCTIONS: usize = 12;
    const ROUNDS: i64 = 100_000;
    let text = hot_module(FUNCTIONS);
    let results = |engine: &Engine| -> Result<Vec<i64>> {
        let module = Module::new(engine, &text)?;
        let mut store = Store::new(engine, ())?;
        let instance = Instance::new(&mut store, &module, &[])?;
        let run = |n| {
            let func = instance.get_typed_func::<i64, i64>(&store, &format!("f{n}"))?;
            Ok(func)
        };
        let funcs: Vec<TypedFunc<i64, i64>> = (0..FUNCTIONS).map(run).collect::<Result<_>>()?;
        funcs.iter().map(|func| func.call(&mut store, ROUNDS)).collect()
    };
    let expected = results(&Engine::new(Config::new().tier(Tier::Baseline))?)?;
    let engine = Engine::default();
    let module = Module::new(&engine, &text)?;
    let mut store = Store::new(&engine, ())?;
    let instance = Instance::new(&mut store, &module, &[])?;
    let mut call = |n: usize| -> Result<i64> {
        instance.get_typed_func::<i64, i64>(&store, &format!("f{n}"))?.call(&mut store, ROUNDS)
    };
    let mut children = Vec::new();
    for n in 0..FUNCTIONS {
        assert_eq!(call(n)?, expected[n]);
        match wasmoor_sys::fork::fork().expect("fork") {
            wasmoor_sys::fork::Fork::Child => {
                // What was hot, what gets hot now, and what has no code yet.
                let right = (0..FUNCTIONS).all(|n| call(n).is_ok_and(|x| x == expected[n]));
                // SAFETY: leaves without running the parent's destructors and test harness.
                unsafe { libc::_exit(if right { 0 } else { 1 }) }
            }
            wasmoor_sys::fork::Fork::Parent(pid) => children.push(pid),
        }
    }
    for pid in children {
        let mut status = 0;
        // SAFETY: waits for a child that was made above.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert!(waited > 0);
        assert_eq!(status, 0, "a child's calls went wrong");
    }
    for (n, expected) in expected.iter().enumerate() {
        assert_eq!(call(n)?, *expected);
    }
    assert!(module.compile_stats().functions_optimized > 0, "{:?}", module.compile_stats());
    Ok(())
}

#[test]
fn a_child_makes_instances_without_its_parents_pool() -> Result<()> {
    for dense in [None, Some(1 << 20)] {
        let mut pool = Pool::new();
        pool.slots_max(1).dense(dense).strict(true);
        let mut config = Config::new();
        config.memory(MemoryChoice::Checked).allocation(Allocation::Pool(pool));
        let engine = Engine::new(&config)?;
        let text = r#"(module (memory 1) (func (export "f") (param i32) (result i32)
            (i32.store (i32.const 8) (local.get 0)) (i32.load (i32.const 8))))"#;
        let module = Module::new(&engine, text)?;
        let call = || -> Result<i32> {
            let mut store = Store::new(&engine, ())?;
            let instance = Instance::new(&mut store, &module, &[])?;
            instance.get_typed_func::<i32, i32>(&store, "f")?.call(&mut store, 7)
        };
        // The only slot, and a piece, are in use when the process is forked.
        let mut store = Store::new(&engine, ())?;
        let _used = Instance::new(&mut store, &module, &[])?;
        assert!(call().is_err(), "the parent has no other slot");
        let pid = match wasmoor_sys::fork::fork().expect("fork") {
            wasmoor_sys::fork::Fork::Child => {
                let right = (0..3).all(|_| call().is_ok_and(|x| x == 7));
                drop(store);
                // SAFETY: leaves without running the parent's destructors and test harness.
                unsafe { libc::_exit(if right { 0 } else { 1 }) }
            }
            wasmoor_sys::fork::Fork::Parent(pid) => pid,
        };
        let mut status = 0;
        // SAFETY: waits for the child that was made above.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert!(waited > 0);
        assert_eq!(status, 0, "dense {dense:?}");
    }
    Ok(())
}
