//! Types of an engine as embedders see them: identity, what belongs to which type, what is refused.

use std::time::{Duration, Instant};
use wasmoor::*;

fn nullable(heap: HeapType) -> ValType {
    ValType::Ref(RefType { nullable: true, heap })
}

fn non_null(heap: HeapType) -> ValType {
    ValType::Ref(RefType { nullable: false, heap })
}

fn table_type(element: RefType) -> TableType {
    TableType { element, minimum: 1, maximum: Some(4), index64: false }
}

/// All references that the host can have, offered to all types of globals.
#[test]
fn references_belong_to_their_types_and_to_no_others() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ())?;
    let number = RegisteredType::func(&engine, &FuncType::new([ValType::I32], []))?;
    let nothing = RegisteredType::func(&engine, &FuncType::new([], []))?;
    let takes_number = Val::FuncRef(Some(Func::wrap(&mut store, |_: i32| ())));
    let takes_nothing = Val::FuncRef(Some(Func::wrap(&mut store, || ())));
    let object = Val::ExternRef(Some(ExternRef::new(&mut store, 1u32)?));
    let (no_func, no_extern) = (Val::FuncRef(None), Val::ExternRef(None));
    let (no_exn, no_any) = (Val::ExnRef(None), Val::AnyRef(None));
    let values = [takes_number, takes_nothing, no_func, object, no_extern, no_exn, no_any];
    // A `1` for each value, in order, that belongs to the type; the last four columns are nulls.
    let cases = [
        (nullable(HeapType::Func), "1110000"),
        (non_null(HeapType::Func), "1100000"),
        (nullable(HeapType::NoFunc), "0010000"),
        (non_null(HeapType::NoFunc), "0000000"),
        (nullable(number.heap_type()), "1010000"),
        (non_null(number.heap_type()), "1000000"),
        (nullable(nothing.heap_type()), "0110000"),
        (non_null(nothing.heap_type()), "0100000"),
        (nullable(HeapType::Extern), "0001100"),
        (non_null(HeapType::Extern), "0001000"),
        (nullable(HeapType::NoExtern), "0000100"),
        (nullable(HeapType::Exn), "0000010"),
        (non_null(HeapType::Exn), "0000000"),
        (nullable(HeapType::NoExn), "0000010"),
        (nullable(HeapType::Any), "0000001"),
        (nullable(HeapType::Eq), "0000001"),
        (nullable(HeapType::I31), "0000001"),
        (nullable(HeapType::Struct), "0000001"),
        (nullable(HeapType::Array), "0000001"),
        (nullable(HeapType::None), "0000001"),
        (non_null(HeapType::Any), "0000000"),
        (ValType::I32, "0000000"),
    ];
    for (content, expected) in cases {
        let ty = GlobalType { content, mutable: true };
        let mut found = String::new();
        for value in values {
            match Global::new(&mut store, ty, value) {
                Ok(global) => {
                    found.push('1');
                    assert_eq!(global.get(&store).ty(), value.ty());
                    global.set(&mut store, value)?;
                }
                Err(error) => {
                    found.push('0');
                    let kind = error.kind();
                    assert!(matches!(kind, ErrorKind::TypeMismatch { .. }), "{content}: {error}");
                }
            }
        }
        assert_eq!(found, expected, "{content}");
    }
    Ok(())
}

#[test]
fn tables_keep_to_their_elements_type() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ())?;
    let fits = Func::wrap(&mut store, |x: i32| x);
    let other = Func::wrap(&mut store, |x: i64| x);
    let ty = fits.registered_type(&store);
    assert_eq!(ty, RegisteredType::func(&engine, &FuncType::new([ValType::I32], [ValType::I32]))?);
    assert!(ty != other.registered_type(&store) && ty.is_final());
    assert_eq!(ty.as_func(), Some(&fits.ty(&store)));
    let element = RefType { nullable: false, heap: ty.heap_type() };
    drop(ty);
    let table = Table::new(&mut store, table_type(element), Val::FuncRef(Some(fits)))?;
    assert_eq!(table.ty(&store).element, element);
    for wrong in [Val::FuncRef(None), Val::FuncRef(Some(other)), Val::ExternRef(None)] {
        assert!(table.set(&mut store, 0, wrong).is_err());
        assert!(table.grow(&mut store, 1, wrong).is_err());
        assert!(Table::new(&mut store, table_type(element), wrong).is_err());
    }
    assert_eq!(table.grow(&mut store, 1, Val::FuncRef(Some(fits)))?, 1);
    let Some(Val::FuncRef(Some(found))) = table.get(&store, 1) else { panic!("a function") };
    assert_eq!(found, fits);
    Ok(())
}

/// Types of one engine mean nothing in another, even where their numbers are the same.
#[test]
fn types_of_other_engines_are_refused() -> Result<()> {
    let (home, abroad) = (Engine::default(), Engine::default());
    // Numbers that mean different types.
    let _first = RegisteredType::func(&home, &FuncType::new([ValType::F32], []))?;
    let foreign = RegisteredType::func(&abroad, &FuncType::new([ValType::I64], []))?;
    let unknown = |result: Result<()>| {
        let error = result.expect_err("a refusal");
        assert!(matches!(error.kind(), ErrorKind::UnknownType(_)), "{error}");
    };
    let mut store = Store::new(&home, ())?;
    let mention = FuncType::new([ValType::Ref(foreign.ref_type())], []);
    unknown(RegisteredType::func(&home, &mention).map(drop));
    unknown(RegisteredType::of_ref(&home, foreign.ref_type()).map(drop));
    unknown(Linker::<()>::new(&home).func_new("a", "b", mention, |_, _, _| Ok(())).map(drop));
    let null = Val::FuncRef(None);
    unknown(Table::new(&mut store, table_type(foreign.ref_type()), null).map(drop));
    let ty = GlobalType { content: ValType::Ref(foreign.ref_type()), mutable: false };
    unknown(Global::new(&mut store, ty, null).map(drop));
    assert!(!home.type_matches(ValType::Ref(foreign.ref_type()), nullable(HeapType::NoFunc)));
    // Whole things of the other engine.
    let linker = Linker::<()>::new(&abroad);
    let module = Module::new(&abroad, "(module)")?;
    assert!(linker.instantiate(&mut store, &module).is_err());
    assert!(Linker::<()>::new(&home).instantiate(&mut store, &module).is_err());
    assert!(Instance::new(&mut store, &module, &[]).is_err());
    // A name outlives its type, but means nothing then.
    let heap = RegisteredType::func(&home, &FuncType::new([ValType::V128], []))?.heap_type();
    unknown(RegisteredType::of_ref(&home, RefType { nullable: true, heap }).map(drop));
    Ok(())
}

#[test]
#[should_panic(expected = "is no type of this engine")]
fn a_host_function_of_a_foreign_type_panics() {
    let (home, abroad) = (Engine::default(), Engine::default());
    let foreign = RegisteredType::func(&abroad, &FuncType::new([], [])).unwrap();
    let mut store = Store::new(&home, ()).unwrap();
    let ty = FuncType::new([], [ValType::Ref(foreign.ref_type())]);
    let _ = Func::new(&mut store, ty, |_, _, _| Ok(()));
}

#[test]
fn imports_match_by_subtyping() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ())?;
    let exporter = Module::new(
        &engine,
        r#"(module
            (type $f (func (param i32)))
            (func $f (export "f") (type $f))
            (global (export "const") (ref $f) (ref.func $f))
            (global (export "var") (mut (ref null $f)) (ref.null $f))
            (table (export "table") 1 (ref $f) (ref.func $f)))"#,
    )?;
    let exporter = Instance::new(&mut store, &exporter, &[])?;
    let mut linker = Linker::new(&engine);
    linker.instance(&store, "m", exporter)?;
    let cases = [
        (r#"(import "m" "const" (global (ref $f)))"#, true),
        (r#"(import "m" "const" (global (ref null $f)))"#, true),
        (r#"(import "m" "const" (global funcref))"#, true),
        (r#"(import "m" "const" (global (ref $g)))"#, false),
        (r#"(import "m" "const" (global externref))"#, false),
        (r#"(import "m" "var" (global (mut (ref null $f))))"#, true),
        (r#"(import "m" "var" (global (mut funcref)))"#, false),
        (r#"(import "m" "var" (global (mut (ref null $g))))"#, false),
        (r#"(import "m" "var" (global (ref null $f)))"#, false),
        (r#"(import "m" "table" (table 1 (ref $f)))"#, true),
        (r#"(import "m" "table" (table 1 (ref null $f)))"#, false),
        (r#"(import "m" "table" (table 1 funcref))"#, false),
        (r#"(import "m" "f" (func (param i32)))"#, true),
        (r#"(import "m" "f" (func (param (ref $g))))"#, false),
    ];
    for (import, fits) in cases {
        let text = format!("(module (type $g (func)) (type $f (func (param i32))) {import})");
        let result = linker.instantiate(&mut store, &Module::new(&engine, text)?);
        match result {
            Ok(_) => assert!(fits, "{import}"),
            Err(error) => {
                assert!(!fits, "{import}: {error}");
                assert!(error.to_string().starts_with("incompatible import type"), "{error}");
            }
        }
    }
    Ok(())
}

/// RT-05: modules with equal and with different types come and go on many threads, while functions
/// are called through the types that they share. `$RACE_SECONDS` makes it last longer.
#[test]
fn modules_come_and_go_on_many_threads() -> Result<()> {
    const THREADS: usize = 16;
    const ROUNDS: usize = 25;
    let seconds = std::env::var("RACE_SECONDS").ok().and_then(|text| text.parse().ok());
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(0));
    let engine = Engine::default();
    let text = |unlike: usize| {
        format!(
            r#"(module
            (type (func (param {unlike}) ))
            (type $shared (func (param i32 f64) (result i32)))
            (table (export "table") 1 funcref)
            (func (export "f") (type $shared) (i32.add (local.get 0) (i32.const 1)))
            (func (export "call") (param i32) (result i32)
                (call_indirect (type $shared) (local.get 0) (f64.const 0) (i32.const 0))))"#,
            unlike = "i64 ".repeat(unlike)
        )
        .replace(&format!("(param {})", "i64 ".repeat(0)), "")
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (engine, text) = (&engine, &text);
                scope.spawn(move || -> Result<()> {
                    let rounds = (0..).take_while(|&it| it < ROUNDS || Instant::now() < until);
                    for round in rounds {
                        let mut store = Store::new(engine, ())?;
                        let one = Module::new(engine, text((thread + round) % 7))?;
                        let other = Module::new(engine, text(round % 5))?;
                        let one = Instance::new(&mut store, &one, &[])?;
                        let other = Instance::new(&mut store, &other, &[])?;
                        let table = one.get_export(&store, "table").and_then(Extern::into_table);
                        let func = other.get_func(&store, "f");
                        table.expect("an export").set(&mut store, 0, Val::FuncRef(func))?;
                        let call = one.get_typed_func::<i32, i32>(&store, "call")?;
                        assert_eq!(call.call(&mut store, 41)?, 42);
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })
}

fn leb(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// A module of function types, each of which takes a reference to the one before.
fn chain_of_types(length: usize) -> Vec<u8> {
    let mut section = Vec::new();
    leb(&mut section, length);
    section.extend([0x60, 0, 0]);
    for before in 0..length - 1 {
        section.extend([0x60, 1, 0x64]);
        // A heap type is a signed number: its last byte has the sign in bit 6.
        leb(&mut section, before);
        if section.last().is_some_and(|byte| byte & 0x40 != 0) {
            *section.last_mut().expect("a byte") |= 0x80;
            section.push(0);
        }
        section.push(0);
    }
    let mut module = b"\0asm\x01\0\0\0\x01".to_vec();
    leb(&mut module, section.len());
    module.extend(section);
    module
}

/// RT-06: a module whose types mention each other in a long chain is let go on a small stack.
#[test]
fn a_long_chain_of_types_needs_no_stack() -> Result<()> {
    // A module may have a million, which takes a minute without optimization; the registry's own
    // test has as many.
    let text = chain_of_types(200_000);
    let engine = Engine::default();
    let module = Module::new(&engine, &text)?;
    let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(move || drop(module));
    thread.expect("a thread").join().expect("no overflow");
    // All types are gone: the same names of types do not exist any more, and new ones do.
    Module::new(&engine, &text)?;
    Ok(())
}
