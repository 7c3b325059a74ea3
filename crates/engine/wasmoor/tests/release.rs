//! Instances that are let go: freed when nothing needs them, kept while something does. Each case
//! runs on every tier, without a pool and with two kinds of pools.

#![cfg(all(feature = "baseline", feature = "optimizing"))]

#[path = "common/allocators.rs"]
mod allocators;
mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmoor::*;

/// What others import, or refer to.
const LIBRARY: &str = r#"(module
    (memory (export "m") 2 9) (data (i32.const 8) "*")
    (table (export "t") 5 funcref) (elem (i32.const 1) func $f)
    (global (export "g") (mut funcref) (ref.null func))
    (tag (export "e") (param funcref))
    (func $f (export "f") (result i32) (i32.load8_u (i32.const 8)))
    (func (export "grow") (drop (memory.grow (i32.const 1)))
        (drop (table.grow 0 (ref.null func) (i32.const 2))))
    (func (export "put") (param i32 funcref) (table.set (local.get 0) (local.get 1)))
    (func (export "set") (param funcref) (global.set 0 (local.get 0)))
    (func (export "throw") (throw 0 (ref.func $f))))"#;

struct Case {
    engine: Engine,
    store: Store<()>,
    library: Module,
}

impl Case {
    fn instance(&mut self) -> Instance {
        Instance::new(&mut self.store, &self.library, &[]).expect("an instance")
    }

    fn importer(&mut self, text: &str, imports: &[Extern]) -> Instance {
        let module = Module::new(&self.engine, text).expect("a module");
        Instance::new(&mut self.store, &module, imports).expect("an instance")
    }

    fn export(&self, instance: Instance, name: &str) -> Extern {
        instance.get_export(&self.store, name).expect("an export")
    }

    fn func(&self, instance: Instance, name: &str) -> Func {
        instance.get_func(&self.store, name).expect("an export")
    }

    fn call(&mut self, instance: Instance, name: &str) -> i32 {
        let func = instance.get_typed_func::<(), i32>(&self.store, name).expect("an export");
        func.call(&mut self.store, ()).expect("a result")
    }

    fn host_table(&mut self, element: RefType, init: Val) -> Table {
        let ty = TableType { element, minimum: 1, maximum: None, index64: false };
        Table::new(&mut self.store, ty, init).expect("a table")
    }

    /// Lets an instance go that is needed until `stop` has run.
    #[track_caller]
    fn kept_until(&mut self, instance: Instance, stop: impl FnOnce(&mut Self)) {
        instance.release(&mut self.store).expect("it is alive");
        assert_eq!(self.store.free_released(), 0);
        assert!(instance.is_alive(&self.store));
        assert_eq!(self.call(instance, "f"), 42, "handles go on while it lives");
        stop(self);
        self.store.free_released();
        assert!(!instance.is_alive(&self.store));
    }

    /// Nothing is left but what the host has made: so many table elements.
    #[track_caller]
    fn nothing_is_left(&self, host_elements: u64) {
        let (meter, stats) = (self.store.meter(), self.engine.stats());
        assert_eq!((meter.memory_bytes, meter.table_elements), (0, host_elements));
        assert_eq!((self.store.instances_living(), stats.instances, stats.memories), (0, 0, 0));
        assert!(stats.tables <= host_elements);
        assert_eq!(stats.pool.map_or((0, 0), |pool| (pool.used, pool.lost)), (0, 0));
    }
}

/// Runs a test on every tier with every allocator; failures name them.
fn everywhere(test: impl Fn(&mut Case)) {
    for (name, engine) in common::tiers().into_iter().flat_map(allocators::allocators) {
        let library = Module::new(&engine, LIBRARY).expect("a module");
        let store = Store::new(&engine, ()).expect("a store");
        let mut case = Case { engine, store, library };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(&mut case))) {
            eprintln!("with {name}:");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn what_nothing_needs_is_freed_at_once() {
    everywhere(|case| {
        for _ in 0..3 {
            let instance = case.instance();
            assert_eq!(case.call(instance, "f"), 42);
            let grow = case.func(instance, "grow");
            grow.call(&mut case.store, &[], &mut []).expect("it grows");
            let meter = case.store.meter();
            assert_eq!((meter.memory_bytes, meter.table_elements), (3 << 16, 7));
            instance.release(&mut case.store).expect("it is alive");
            assert!(!instance.is_alive(&case.store));
            case.nothing_is_left(0);
        }
    });
}

/// A new instance begins as all do, whatever the one had whose place and parts it takes.
#[test]
fn nothing_is_left_for_the_next() {
    everywhere(|case| {
        for _ in 0..4 {
            let instance = case.instance();
            let own = Val::FuncRef(Some(case.func(instance, "f")));
            let memory = instance.get_memory(&case.store, "m").expect("a memory");
            let bytes = memory.data(&case.store);
            assert!(
                bytes.len() == 2 << 16
                    && bytes
                        .iter()
                        .enumerate()
                        .all(|(at, &byte)| byte == if at == 8 { b'*' } else { 0 })
            );
            memory.data_mut(&mut case.store).fill(0xAA);
            let table = instance.get_table(&case.store, "t").expect("a table");
            let global = instance.get_global(&case.store, "g").expect("a global");
            let is_null = |value| matches!(value, Val::FuncRef(None));
            assert!(is_null(global.get(&case.store)));
            assert_eq!(table.size(&case.store), 5);
            for index in [0, 2, 3, 4] {
                assert!(is_null(table.get(&case.store, index).expect("an element")));
                table.set(&mut case.store, index, own).expect("an element");
            }
            global.set(&mut case.store, own).expect("a function");
            table.grow(&mut case.store, 10, own).expect("room");
            memory.grow(&mut case.store, 3).expect("room");
            instance.release(&mut case.store).expect("it is alive");
        }
        case.nothing_is_left(0);
    });
}

fn panics<R>(body: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(|| drop(body()))).is_err()
}

/// Handles of each kind are refused, also when an instance of the same module is in their place.
#[test]
fn stale_handles_are_refused() {
    everywhere(|case| {
        let instance = case.instance();
        let func = case.func(instance, "f");
        let typed = func.typed::<(), i32>(&case.store).expect("its type");
        let memory = instance.get_memory(&case.store, "m").expect("a memory");
        let table = instance.get_table(&case.store, "t").expect("a table");
        let global = instance.get_global(&case.store, "g").expect("a global");
        let tag = instance.get_tag(&case.store, "e").expect("a tag");
        let exports: Vec<_> =
            instance.exports(&case.store).into_iter().map(|(_, item)| item).collect();
        let host = case.host_table(RefType::FUNCREF, Val::FuncRef(None));
        let taker = Func::wrap(&mut case.store, |_: Option<Func>| ());
        instance.release(&mut case.store).expect("it is alive");
        let is_refused = |case: &mut Case| {
            let store = &mut case.store;
            let own = Val::FuncRef(Some(func));
            let mut linker = Linker::new(&case.engine);
            let text = r#"(module (import "" "" (func)))"#;
            let importer = Module::new(&case.engine, text).expect("a module");
            let errors = [
                instance.release(&mut *store).is_err(),
                instance.get_typed_func::<(), i32>(&*store, "f").is_err(),
                func.call(&mut *store, &[], &mut [Val::I32(0)]).is_err(),
                func.typed::<(), i32>(&*store).is_err(),
                typed.call(&mut *store, ()).is_err(),
                memory.read(&*store, 0, &mut [0]).is_err(),
                memory.write(&mut *store, 0, &[0]).is_err(),
                memory.grow(&mut *store, 0).is_err(),
                table.set(&mut *store, 0, Val::FuncRef(None)).is_err(),
                table.grow(&mut *store, 0, Val::FuncRef(None)).is_err(),
                global.set(&mut *store, Val::FuncRef(None)).is_err(),
                ExnRef::new(&mut *store, tag, &[Val::FuncRef(None)]).is_err(),
                host.set(&mut *store, 0, own).is_err(),
                host.grow(&mut *store, 1, own).is_err(),
                taker.call(&mut *store, &[own], &mut []).is_err(),
                taker
                    .typed::<Option<Func>, ()>(&*store)
                    .unwrap()
                    .call(&mut *store, Some(func))
                    .is_err(),
                linker.instance(&*store, "", instance).is_err(),
                exports.iter().all(|item| linker.define(&*store, "", "", item.clone()).is_err()),
                exports.iter().all(|item| {
                    Instance::new(&mut *store, &importer, std::slice::from_ref(item)).is_err()
                }),
            ];
            assert_eq!(errors, [true; 19]);
            let panics = [
                panics(|| instance.get_export(&*store, "f")),
                panics(|| instance.exports(&*store)),
                panics(|| func.ty(&*store)),
                panics(|| memory.size(&*store)),
                panics(|| memory.ty(&*store)),
                panics(|| memory.data(&*store).len()),
                panics(|| memory.data_mut(&mut *store).len()),
                panics(|| table.get(&*store, 0)),
                panics(|| table.size(&*store)),
                panics(|| global.get(&*store)),
                panics(|| global.ty(&*store)),
                panics(|| tag.ty(&*store)),
            ];
            assert_eq!(panics, [true; 12]);
        };
        is_refused(case);
        let next = case.instance();
        is_refused(case);
        let next_func = case.func(next, "f");
        assert!(next_func != func && next != instance);
        assert_eq!(case.call(next, "f"), 42);
        next.release(&mut case.store).expect("it is alive");
        case.nothing_is_left(1);
    });
}

#[test]
fn imports_keep_whose_they_are() {
    let importers = [
        (
            "f",
            r#"(func $f (import "" "") (result i32)) (func (export "use") (result i32) (call $f))"#,
        ),
        (
            "m",
            r#"(memory (import "" "") 1)
            (func (export "use") (result i32) (i32.load8_u (i32.const 8)))"#,
        ),
        (
            "t",
            r#"(table (import "" "") 1 funcref)
            (func (export "use") (result i32) (call_indirect (result i32) (i32.const 1)))"#,
        ),
        (
            "g",
            r#"(global (import "" "") (mut funcref))
            (func (export "use") (result i32) (ref.is_null (global.get 0)) (i32.mul (i32.const 42)))"#,
        ),
        (
            "e",
            r#"(tag (import "" "") (param funcref))
            (func (export "use") (result i32)
                (block $caught (result funcref)
                    (try_table (catch 0 $caught) (throw 0 (ref.null func))) (unreachable))
                (i32.mul (ref.is_null) (i32.const 42)))"#,
        ),
    ];
    everywhere(|case| {
        for (name, text) in importers {
            let library = case.instance();
            let import = case.export(library, name);
            let importer = case.importer(&format!("(module {text})"), &[import]);
            case.kept_until(library, |case| {
                assert_eq!(case.call(importer, "use"), 42, "{name}");
                importer.release(&mut case.store).expect("it is alive");
            });
            assert!(!importer.is_alive(&case.store), "{name}");
            case.nothing_is_left(0);
        }
    });
}

/// Cells of tables and globals, of the host and of instances, set by the host and by guests.
#[test]
fn references_keep_whose_they_are() {
    everywhere(|case| {
        let (null, store_type) = (Val::FuncRef(None), RefType::FUNCREF);
        let table = case.host_table(store_type, null);
        let ty = GlobalType { content: ValType::FUNCREF, mutable: true };
        let global = Global::new(&mut case.store, ty, null).expect("a global");
        let holder = case.instance();
        for way in 0..4 {
            let library = case.instance();
            let set = |case: &mut Case, value: Val| match way {
                0 => table.set(&mut case.store, 0, value),
                1 => global.set(&mut case.store, value),
                2 => {
                    let put = case.func(holder, "put");
                    put.call(&mut case.store, &[Val::I32(4), value], &mut [])
                }
                _ => case.func(holder, "set").call(&mut case.store, &[value], &mut []),
            };
            let func = Val::FuncRef(Some(case.func(library, "f")));
            set(case, func).expect("a cell");
            case.kept_until(library, |case| {
                set(case, null).expect("a cell");
            });
        }
        // With the holder goes what it holds.
        let library = case.instance();
        let func = Val::FuncRef(Some(case.func(library, "f")));
        case.func(holder, "set").call(&mut case.store, &[func], &mut []).expect("a cell");
        case.kept_until(library, |case| holder.release(&mut case.store).expect("it is alive"));
        case.nothing_is_left(1);
    });
}

#[test]
fn exceptions_keep_whose_they_are() {
    everywhere(|case| {
        let cell = case.host_table(RefType::EXNREF, Val::ExnRef(None));
        for by_tag in [false, true] {
            let make = |case: &mut Case, library: Instance| {
                let tag = match by_tag {
                    true => library.get_tag(&case.store, "e").expect("a tag"),
                    false => {
                        let ty = FuncType::new([ValType::FUNCREF], []);
                        Tag::new(&mut case.store, ty).expect("a tag")
                    }
                };
                let func = case.func(library, "f");
                let value = Val::FuncRef((!by_tag).then_some(func));
                ExnRef::new(&mut case.store, tag, &[value]).expect("an exception")
            };
            let library = case.instance();
            let exception = make(case, library);
            case.kept_until(library, |case| exception.release(&case.store));
            assert!(exception.tag(&case.store).is_err(), "it is gone too");

            let library = case.instance();
            let exception = make(case, library);
            cell.set(&mut case.store, 0, Val::ExnRef(Some(exception))).expect("a cell");
            exception.release(&case.store);
            case.kept_until(library, |case| {
                cell.set(&mut case.store, 0, Val::ExnRef(None)).expect("a cell");
            });
        }
        let library = case.instance();
        let throw = case.func(library, "throw");
        let error = throw.call(&mut case.store, &[], &mut []).expect_err("it throws");
        case.kept_until(library, |_| drop(error));
        case.nothing_is_left(1);
    });
}

#[test]
fn circles_are_freed_together() {
    everywhere(|case| {
        let (first, second) = (case.instance(), case.instance());
        for (holder, held) in [(first, second), (second, first)] {
            let func = Val::FuncRef(Some(case.func(held, "f")));
            let put = case.func(holder, "put");
            put.call(&mut case.store, &[Val::I32(0), func], &mut []).expect("a cell");
        }
        case.kept_until(first, |case| second.release(&mut case.store).expect("it is alive"));
        case.nothing_is_left(0);
    });
}

/// A function of an instance that could not be finished stays where it was put.
#[test]
fn failed_instantiations_are_freed_unless_needed() {
    everywhere(|case| {
        case.store.set_limits(StoreLimits { instances_max: 2, ..StoreLimits::default() });
        let table = case.host_table(RefType::FUNCREF, Val::FuncRef(None));
        let text = |body: &str| format!("(module (memory 1) (table 3 funcref) {body})");
        let needed = text(
            r#"(table (import "" "") 1 funcref) (memory 1)
            (func $f (result i32) (i32.load8_u (i32.const 3)))
            (elem (table 0) (i32.const 0) func $f)
            (data (i32.const 3) "*") (data (i32.const 65536) "-")"#,
        );
        let needed = needed.replacen("(memory 1) (table 3 funcref)", "", 1);
        let module = Module::new(&case.engine, needed).expect("a module");
        let error = Instance::new(&mut case.store, &module, &[table.into()]).expect_err("a trap");
        assert_eq!(error.trap_code(), Some(TrapCode::MemoryOutOfBounds));
        assert_eq!(case.store.instances_living(), 1);
        let Some(Val::FuncRef(Some(func))) = table.get(&case.store, 0) else {
            panic!("a function")
        };
        let mut results = [Val::I32(0)];
        func.call(&mut case.store, &[], &mut results).expect("it lives");
        assert_eq!(results[0].i32(), Some(i32::from(b'*')));

        let unneeded = [
            text(r#"(data (i32.const 65536) "-")"#),
            text("(func unreachable) (start 0)"),
            text("(func $f) (elem (i32.const 3) func $f)"),
        ];
        for body in unneeded {
            let module = Module::new(&case.engine, body).expect("a module");
            for _ in 0..5 {
                let error = Instance::new(&mut case.store, &module, &[]).expect_err("a trap");
                assert!(error.trap_code().is_some(), "{error}");
                assert_eq!(case.store.instances_living(), 1);
            }
        }
        let panicking = Func::wrap(&mut case.store, || -> () { panic!("of the host's") });
        let text = text("").replacen("(memory", r#"(import "" "" (func)) (start 0) (memory"#, 1);
        let module = Module::new(&case.engine, text).expect("a module");
        let imports = [panicking.into()];
        assert!(panics(|| Instance::new(&mut case.store, &module, &imports)));
        assert_eq!(case.store.instances_living(), 1);
        table.set(&mut case.store, 0, Val::FuncRef(None)).expect("a cell");
        assert_eq!(case.store.free_released(), 1);
        assert!(func.call(&mut case.store, &[], &mut results).is_err());
        case.nothing_is_left(1);
    });
}

/// A host function lets the instance go that has called it: it runs on, and goes later.
#[test]
fn what_runs_is_freed_later() {
    for (name, engine) in common::tiers().into_iter().flat_map(allocators::allocators) {
        let text = r#"(module (import "" "" (func $host)) (memory (export "memory") 1)
            (func (export "run") (result i32)
                (i32.store (i32.const 0) (i32.const 7)) (call $host) (i32.load (i32.const 0))))"#;
        let module = Module::new(&engine, text).expect("a module");
        let failing = "(module (memory 1) (func unreachable) (start 0))";
        let failing = Module::new(&engine, failing).expect("a module");
        let host = move |mut caller: Caller<'_, Option<Instance>>| -> Result<()> {
            let instance = caller.data().expect("an instance");
            for _ in 0..2 {
                instance.release(&mut caller)?;
            }
            assert!(instance.is_alive(&caller) && caller.get_export("memory").is_some());
            // One that is not finished waits too.
            Instance::new(&mut caller, &failing, &[]).expect_err("a trap");
            Ok(())
        };
        let mut linker = Linker::new(&engine);
        linker.func_wrap("", "", host).expect("a name");
        let mut store = Store::new(&engine, None).expect("a store");
        store.set_limits(StoreLimits { instances_max: 2, ..StoreLimits::default() });
        for round in 0..5 {
            // The former ones make room here: they are at the limit.
            let instance = linker.instantiate(&mut store, &module).expect("an instance");
            *store.data_mut() = Some(instance);
            let run = instance.get_typed_func::<(), i32>(&store, "run").expect("an export");
            assert_eq!(run.call(&mut store, ()).expect("a result"), 7, "{name} {round}");
            assert!(instance.is_alive(&store), "{name}");
            assert_eq!(store.instances_living(), 2, "{name}");
        }
        assert_eq!((store.free_released(), store.free_released()), (2, 0), "{name}");
        assert_eq!(store.meter().memory_bytes, 0, "{name}");
    }
}

/// At the limit nothing is freed that the imports of the new instance need.
#[test]
fn imports_of_the_instance_to_be_are_kept() {
    everywhere(|case| {
        case.store.set_limits(StoreLimits { instances_max: 1, ..StoreLimits::default() });
        let library = case.instance();
        let module = |text| Module::new(&case.engine, text).expect("a module");
        let importer = module(r#"(module (import "" "" (func (result i32))))"#);
        let import = case.export(library, "f");
        let releaser = Func::wrap(&mut case.store, move |mut caller: Caller<'_, ()>| {
            library.release(&mut caller).expect("it is alive");
        });
        // Called by the host, a host function runs in the store too.
        releaser.call(&mut case.store, &[], &mut []).expect("no trap");
        assert!(library.is_alive(&case.store));
        let error = Instance::new(&mut case.store, &importer, &[import]).expect_err("the limit");
        assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
        assert!(!library.is_alive(&case.store), "which has failed, so that it is not needed");
        case.instance().release(&mut case.store).expect("it is alive");
        case.nothing_is_left(0);
    });
}

/// The store's part in a shared memory goes with the last instance that imports it.
#[test]
fn shared_memories_go_from_the_meter() {
    everywhere(|case| {
        let ty = MemoryType {
            minimum: 2,
            maximum: Some(9),
            index64: false,
            shared: true,
            page_size_log2: 16,
        };
        let memory = SharedMemory::new(&case.engine, ty).expect("a memory");
        let text = r#"(module (memory (import "" "") 1 9 shared)
            (func (export "grow") (drop (memory.grow (i32.const 1))))
            (func (export "f") (result i32) (i32.store8 (i32.const 0) (i32.const 42))
                (i32.load8_u (i32.const 0))))"#;
        let import = [memory.clone().into()];
        let first = case.importer(text, &import);
        let second = case.importer(text, &import);
        let grow = case.func(first, "grow");
        grow.call(&mut case.store, &[], &mut []).expect("it grows");
        assert_eq!(case.store.meter().memory_bytes, 3 << 16);
        first.release(&mut case.store).expect("it is alive");
        assert_eq!(case.store.meter().memory_bytes, 3 << 16);
        assert_eq!(case.call(second, "f"), 42);
        second.release(&mut case.store).expect("it is alive");
        case.nothing_is_left(0);
        assert_eq!((memory.size(), memory.load_u32(0)), (3, Ok(42)));

        // One that an instance defines lives by its handles.
        let text = r#"(module (memory (export "m") 1 2 shared)
            (func (export "f") (result i32) (i32.load8_u (i32.const 0))))"#;
        let definer = case.importer(text, &[]);
        let memory = definer.get_shared_memory(&case.store, "m").expect("a memory");
        memory.store_u32(0, 42).expect("in bounds");
        assert_eq!(case.call(definer, "f"), 42);
        definer.release(&mut case.store).expect("it is alive");
        case.nothing_is_left(0);
        assert_eq!(memory.load_u32(0), Ok(42));

        // Imports that do not fit leave nothing either.
        let module = r#"(module (memory (import "" "") 9 9 shared))"#;
        let module = Module::new(&case.engine, module).expect("a module");
        Instance::new(&mut case.store, &module, &import).expect_err("too small");
        case.nothing_is_left(0);
    });
}
