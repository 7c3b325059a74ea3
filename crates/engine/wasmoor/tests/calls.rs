//! Every shape of call, both ways: host to wasm, wasm to wasm in one instance, across instances
//! and through tables, wasm to host. The values must arrive unchanged whatever their number and
//! types, which holds the stubs, the compilers and `wasmoor_abi::call` together.

use std::fmt::Write as _;
use wasmoor::*;

/// A small generator of pseudo-random numbers (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % below
    }

    fn types(&mut self, most: u64) -> Vec<ValType> {
        let choice = [ValType::I32, ValType::I64, ValType::F32, ValType::F64, ValType::V128];
        (0..self.next(most + 1)).map(|_| choice[self.next(5) as usize]).collect()
    }

    fn value(&mut self, ty: ValType) -> Val {
        let bits =
            (u128::from(self.next(1 << 31)) << 64) | (u128::from(self.next(1 << 31)) * 0x1_0001);
        match ty {
            ValType::I32 => Val::I32(bits as i32),
            ValType::I64 => Val::I64(bits as i64),
            ValType::F32 => Val::F32(bits as u32 & 0x3fff_ffff),
            ValType::F64 => Val::F64(bits as u64 & 0x3fff_ffff_ffff_ffff),
            _ => Val::V128(bits),
        }
    }
}

fn list(keyword: &str, types: &[ValType]) -> String {
    if types.is_empty() {
        return String::new();
    }
    let mut text = format!("({keyword}");
    types.iter().for_each(|ty| write!(text, " {ty}").expect("a string"));
    text + ")"
}

/// A module whose functions all return their parameters at the positions in `picks`.
fn module(params: &[ValType], picks: &[usize]) -> String {
    let results: Vec<ValType> = picks.iter().map(|&pick| params[pick]).collect();
    let ty = format!("{} {}", list("param", params), list("result", &results));
    let gets: String = picks.iter().map(|pick| format!("local.get {pick} ")).collect();
    let args: String = (0..params.len()).map(|at| format!("local.get {at} ")).collect();
    format!(
        r#"(module
            (type $t (func {ty}))
            (import "host" "pick" (func $host (type $t)))
            (table (export "table") 2 funcref)
            (elem (i32.const 0) $pick $host)
            (func $pick (export "pick") (type $t) {gets})
            (func (export "direct") (type $t) {args} call $pick)
            (func (export "import") (type $t) {args} call $host)
            (func (export "indirect") (type $t) {args} i32.const 0 call_indirect (type $t))
            (func (export "indirect-import") (type $t) {args} i32.const 1 call_indirect (type $t)))"#
    )
}

fn same(left: &Val, right: &Val) -> bool {
    match (left, right) {
        (Val::I32(a), Val::I32(b)) => a == b,
        (Val::I64(a), Val::I64(b)) => a == b,
        (Val::F32(a), Val::F32(b)) => a == b,
        (Val::F64(a), Val::F64(b)) => a == b,
        (Val::V128(a), Val::V128(b)) => a == b,
        _ => false,
    }
}

fn check_shape(random: &mut Random, tier: Tier, eager: bool) {
    let params = random.types(20);
    let picks: Vec<usize> = if params.is_empty() {
        Vec::new()
    } else {
        (0..random.next(21)).map(|_| random.next(params.len() as u64) as usize).collect()
    };
    let text = module(&params, &picks);
    let engine = Engine::new(Config::new().tier(tier).eager(eager)).expect("an engine");
    let module = Module::new(&engine, &text).expect("a valid module");
    let mut store = Store::new(&engine, ()).expect("a store");
    let ExternType::Func(ty) = module.get_export("pick").expect("the export") else {
        panic!("not a function")
    };
    let host_picks = picks.clone();
    let host = Func::new(&mut store, ty.clone(), move |_, params, results| {
        for (result, &pick) in results.iter_mut().zip(&host_picks) {
            *result = params[pick];
        }
        Ok(())
    });
    let inner = Instance::new(&mut store, &module, &[host.into()]).expect("an instance");
    // The second instance imports the first one's function in place of the host's.
    let pick = inner.get_func(&store, "pick").expect("the export");
    let outer = Instance::new(&mut store, &module, &[pick.into()]).expect("an instance");
    let args: Vec<Val> = params.iter().map(|&ty| random.value(ty)).collect();
    let expected: Vec<Val> = picks.iter().map(|&pick| args[pick]).collect();
    for instance in [inner, outer] {
        for name in ["pick", "direct", "import", "indirect", "indirect-import"] {
            let func = instance.get_func(&store, name).expect("the export");
            let mut results = vec![Val::I32(0); picks.len()];
            func.call(&mut store, &args, &mut results).expect("no trap");
            let right = expected.iter().zip(&results).all(|(a, b)| same(a, b));
            assert!(
                right,
                "{name} of {ty} ({tier:?}, eager: {eager})\n{args:?}\n{expected:?}\n{results:?}"
            );
        }
    }
}

#[test]
fn values_arrive_unchanged_in_every_shape() {
    let mut random = Random(1);
    for round in 0..120 {
        let tier = [Tier::Auto, Tier::Baseline, Tier::Optimizing][round % 3];
        check_shape(&mut random, tier, round % 2 == 0);
    }
}

#[test]
fn typed_calls_have_the_same_places() -> Result<()> {
    let engine = Engine::default();
    let text = r#"(module
        (import "host" "f" (func $f
            (param i32 f64 i64 f32 v128 i32 i32 i32 i64) (result i64 v128 f32 i32)))
        (func (export "f") (param i32 f64 i64 f32 v128 i32 i32 i32 i64) (result i64 v128 f32 i32)
            local.get 0 local.get 1 local.get 2 local.get 3 local.get 4
            local.get 5 local.get 6 local.get 7 local.get 8 call $f)
        (func (export "many") (param i64) (result i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
            local.get 0 local.get 0 local.get 0 local.get 0 local.get 0
            local.get 0 local.get 0 local.get 0 local.get 0 local.get 0 i64.const 1 i64.add))"#;
    let module = Module::new(&engine, text)?;
    let mut store = Store::new(&engine, ())?;
    let mut linker = Linker::new(&engine);
    #[allow(clippy::too_many_arguments)]
    fn f(
        a: i32,
        b: f64,
        c: i64,
        d: f32,
        e: V128,
        f: u32,
        g: u32,
        h: u32,
        i: u64,
    ) -> (i64, V128, f32, i32) {
        assert_eq!((a, b, c, d, e), (-1, 2.5, -3, 4.5, V128(5)));
        assert_eq!((f, g, h, i), (6, 7, 8, 9));
        (c, e, d, a)
    }
    linker.func_wrap("host", "f", f)?;
    let instance = linker.instantiate(&mut store, &module)?;
    type Params = (i32, f64, i64, f32, V128, u32, u32, u32, u64);
    let func = instance.get_typed_func::<Params, (i64, V128, f32, i32)>(&store, "f")?;
    let results = func.call(&mut store, (-1, 2.5, -3, 4.5, V128(5), 6, 7, 8, 9))?;
    assert_eq!(results, (-3, V128(5), 4.5, -1));
    type Ten = (i64, i64, i64, i64, i64, i64, i64, i64, i64, i64);
    let many = instance.get_typed_func::<i64, Ten>(&store, "many")?;
    assert_eq!(many.call(&mut store, 7)?, (7, 7, 7, 7, 7, 7, 7, 7, 7, 8));
    assert!(instance.get_typed_func::<i32, Ten>(&store, "many").is_err());
    Ok(())
}

#[test]
fn host_functions_see_the_instance_that_called_them() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, Vec::new())?;
    let mut linker: Linker<Vec<i32>> = Linker::new(&engine);
    linker.func_wrap("host", "who", |mut caller: Caller<'_, Vec<i32>>| {
        let id = caller.get_export("id").and_then(Extern::into_global).expect("the export");
        let id = id.get(&caller).i32().expect("an i32");
        caller.data_mut().push(id);
    })?;
    let text = |id: i32| {
        format!(
            r#"(module
                (import "host" "who" (func $who))
                (global (export "id") i32 (i32.const {id}))
                (table (export "table") 1 funcref)
                (elem (i32.const 0) $who)
                (func (export "call") call $who)
                (func (export "indirect") i32.const 0 call_indirect))"#
        )
    };
    for id in [1, 2] {
        let module = Module::new(&engine, text(id))?;
        let instance = linker.instantiate(&mut store, &module)?;
        for name in ["call", "indirect"] {
            instance.get_typed_func::<(), ()>(&store, name)?.call(&mut store, ())?;
        }
    }
    assert_eq!(store.data(), &[1, 1, 2, 2]);
    Ok(())
}

#[test]
fn panics_and_errors_of_host_functions_cross_wasm() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ())?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "panic", || -> () { panic!("of the host") })?;
    linker.func_wrap("host", "fail", || -> Result<(), Error> {
        Err(Error::host(std::io::Error::other("the disk is on fire")))
    })?;
    let text = r#"(module
        (import "host" "panic" (func $panic)) (import "host" "fail" (func $fail))
        (func (export "panic") call $panic)
        (func $inner call $fail) (func $outer (export "fail") call $inner))"#;
    let instance = linker.instantiate(&mut store, &Module::new(&engine, text)?)?;
    let fail = instance.get_typed_func::<(), ()>(&store, "fail")?;
    let panic = instance.get_typed_func::<(), ()>(&store, "panic")?;
    for _ in 0..3 {
        let error = fail.call(&mut store, ()).expect_err("it fails");
        assert_eq!(error.to_string(), "the disk is on fire");
        assert!(error.downcast_ref::<std::io::Error>().is_some());
        let names: Vec<_> = error.backtrace().expect("frames").frames().to_vec();
        let names: Vec<_> = names.iter().map(|frame| frame.func_name()).collect();
        assert_eq!(names, [Some("inner"), Some("outer")]);
        let call = std::panic::AssertUnwindSafe(|| panic.call(&mut store, ()));
        let payload = std::panic::catch_unwind(call).expect_err("it panics");
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"of the host"));
    }
    Ok(())
}

/// RT-19: a clone of a linker, or of what it has found, needs nothing of the original.
#[test]
fn cloned_linkers_stand_alone() -> Result<()> {
    let text = r#"(module
        (import "host" "first" (func $first (result i32)))
        (import "host" "second" (func $second (result i32)))
        (func (export "run") (result i32) (i32.add (call $first) (call $second))))"#;
    for tier in [Tier::Auto, Tier::Baseline, Tier::Optimizing] {
        let engine = Engine::new(Config::new().tier(tier))?;
        let module = Module::new(&engine, text)?;
        let mut original = Linker::new(&engine);
        original.func_wrap(&String::from("host"), &String::from("first"), || 40)?;
        let mut clone = original.clone();
        // The names are free for the original, which goes before the clone is used.
        original.func_wrap("host", "second", || 60)?;
        let found = original.instantiate_pre(&module)?;
        let found_clone = found.clone();
        drop((original, found));
        clone.func_wrap("host", "second", || 2)?;
        let mut names: Vec<_> = clone.names().collect();
        names.sort_unstable();
        assert_eq!(names, [("host", "first"), ("host", "second")]);
        let mut store = Store::new(&engine, ())?;
        for (instance, sum) in [
            (clone.instantiate(&mut store, &module)?, 42),
            (found_clone.instantiate(&mut store)?, 100),
        ] {
            drop(clone.clone());
            let run = instance.get_typed_func::<(), i32>(&store, "run")?;
            assert_eq!(run.call(&mut store, ())?, sum, "{tier:?}");
        }
    }
    Ok(())
}

/// A linker for one module keeps what that can import, by whatever way it was defined.
#[test]
fn linkers_for_a_module_keep_what_it_names() -> Result<()> {
    let text = r#"(module
        (import "old" "wrapped" (func $wrapped (result i32)))
        (import "new" "wrapped" (func $alias (result i32)))
        (import "host" "replaced" (func $replaced (result i32)))
        (import "host" "untyped" (func $untyped))
        (func (export "run") (result i32)
            (call $untyped)
            (i32.add (call $replaced) (i32.add (call $wrapped) (call $alias)))))"#;
    let ty = || FuncType::new([], []);
    for tier in [Tier::Auto, Tier::Baseline, Tier::Optimizing] {
        let engine = Engine::new(Config::new().tier(tier))?;
        let module = Module::new(&engine, text)?;
        let mut linker = Linker::for_module(&module);
        for name in ["wrapped", "unknown", "unknown"] {
            linker.func_wrap("old", name, || 1)?;
        }
        linker.alias_module("old", "new")?;
        for (name, value) in [("replaced", 40), ("replaced", 5), ("absent", 6)] {
            linker.func_replace("host", name, move || value)?;
        }
        for name in ["untyped", "unwanted"] {
            linker.func_new("host", name, ty(), |_, _, _| Ok(()))?;
        }
        assert!(linker.func_wrap("old", "wrapped", || 2).is_err(), "{tier:?}: defined twice");
        let mut names: Vec<_> = linker.names().collect();
        names.sort_unstable();
        let kept =
            [("host", "replaced"), ("host", "untyped"), ("new", "wrapped"), ("old", "wrapped")];
        assert_eq!(names, kept, "{tier:?}");
        let mut store = Store::new(&engine, ())?;
        let instance = linker.clone().instantiate(&mut store, &module)?;
        let run = instance.get_typed_func::<(), i32>(&store, "run")?;
        assert_eq!(run.call(&mut store, ())?, 7, "{tier:?}");
        // Of another module it finds nothing.
        let other =
            Module::new(&engine, r#"(module (import "host" "absent" (func (result i32))))"#)?;
        let error = linker.instantiate(&mut store, &other).expect_err("not kept");
        assert!(error.to_string().contains("absent"), "{tier:?}: {error}");
    }
    Ok(())
}
