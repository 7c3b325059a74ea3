//! Tables: sizes that no host has, bounds, several tables with 32- and 64-bit indices, on every
//! tier.

#![cfg(all(feature = "baseline", feature = "optimizing"))]

use wasmoor::*;

fn tiers() -> [(&'static str, Tier); 4] {
    [
        ("auto", Tier::Auto),
        ("baseline", Tier::Baseline),
        ("optimizing", Tier::Optimizing),
        ("mixed", raw::mixed_tier(raw::seed())),
    ]
}

/// Tables of sizes that cannot be had are errors, and growth to such sizes is refused, without
/// taking memory for them.
#[test]
fn sizes_that_no_host_has_are_refused() -> Result<()> {
    let engine = Engine::default();
    let sizes = [(1 << 32) - 1, 1 << 32, 1 << 48, u64::MAX - 1, u64::MAX];
    for elements in ["funcref", "externref", "(ref null $f)"] {
        for size in sizes {
            for index64 in [true, false] {
                if !index64 && size > u64::from(u32::MAX) {
                    continue;
                }
                let i64 = if index64 { "i64 " } else { "" };
                let mut store = Store::new(&engine, ())?;
                let text =
                    format!("(module (type $f (func)) (table {i64}{size} {size} {elements}))");
                let module = Module::new(&engine, text);
                // Some sizes are too large for a module already; the others for the store.
                let refused = module.and_then(|module| Instance::new(&mut store, &module, &[]));
                assert!(refused.is_err(), "{elements} {i64}{size}");
                let ty =
                    TableType { element: RefType::FUNCREF, minimum: size, maximum: None, index64 };
                assert!(Table::new(&mut store, ty, Val::FuncRef(None)).is_err());
                let ty = TableType { minimum: 1, maximum: Some(u64::MAX), ..ty };
                let table = Table::new(&mut store, ty, Val::FuncRef(None))?;
                assert!(table.grow(&mut store, size, Val::FuncRef(None)).is_err());
                assert_eq!(table.size(&store), 1);
            }
        }
    }
    Ok(())
}

#[test]
fn growth_that_fails_leaves_whole_results_and_the_table_as_it_was() -> Result<()> {
    let text = r#"(module
        (memory 1)
        (table $small 1 funcref)
        (table $large i64 1 0xffff_ffff_ffff_ffff externref)
        (func (export "small") (param i32) (result i32)
            (table.grow $small (ref.null func) (local.get 0)))
        (func (export "large") (param i64) (result i64)
            (table.grow $large (ref.null extern) (local.get 0)))
        (func (export "sizes") (result i32 i64) (table.size $small) (table.size $large))
        (func (export "as address") (param i32) (result i32)
            (i32.load8_u offset=1 (table.grow $small (ref.null func) (local.get 0)))))"#;
    for (name, tier) in tiers() {
        let engine = Engine::new(Config::new().tier(tier))?;
        let module = Module::new(&engine, text)?;
        let mut store = Store::new(&engine, ())?;
        let instance = Instance::new(&mut store, &module, &[])?;
        let small = instance.get_typed_func::<i32, i32>(&store, "small")?;
        let large = instance.get_typed_func::<i64, i64>(&store, "large")?;
        let sizes = instance.get_typed_func::<(), (i32, i64)>(&store, "sizes")?;
        let address = instance.get_typed_func::<i32, i32>(&store, "as address")?;
        for delta in [-1, i32::MIN, i32::MAX] {
            assert_eq!(small.call(&mut store, delta)?, -1, "{name}");
            // 2^32 - 1 plus 1 leaves the memory; it does not wrap to its start.
            let error = address.call(&mut store, delta).unwrap_err();
            assert_eq!(error.trap_code(), Some(TrapCode::MemoryOutOfBounds), "{name}");
        }
        for delta in [-1, i64::MIN, i64::MAX, 1 << 32, 1 << 48, (1 << 32) - 1] {
            assert_eq!(large.call(&mut store, delta)?, -1, "{name} {delta:#x}");
        }
        assert_eq!(sizes.call(&mut store, ())?, (1, 1), "{name}");
        assert_eq!(small.call(&mut store, 3)?, 1, "{name}");
        assert_eq!(large.call(&mut store, 5)?, 1, "{name}");
        assert_eq!(sizes.call(&mut store, ())?, (4, 6), "{name}");
    }
    Ok(())
}

/// Three imported and three own tables, of which every operator reaches the one that it names.
#[test]
fn operators_reach_the_table_they_name() -> Result<()> {
    let exporter = r#"(module
        (table (export "0") 10 externref)
        (table (export "1") i64 11 externref)
        (table (export "2") 12 externref))"#;
    let mut text = String::from(
        r#"(module
        (import "m" "0" (table 10 externref))
        (import "m" "1" (table i64 11 externref))
        (import "m" "2" (table 12 externref))
        (table 13 externref) (table i64 14 externref) (table 15 externref)"#,
    );
    for table in 0..6 {
        let ty = if table % 3 == 1 { "i64" } else { "i32" };
        text += &format!(
            r#"(func (export "size {table}") (result {ty}) (table.size {table}))
            (func (export "run {table}") (param externref) (result externref externref {ty})
                (table.set {table} ({ty}.const 3) (local.get 0))
                (table.fill {table} ({ty}.const 4) (ref.null extern) ({ty}.const 2))
                (table.copy {table} {table} ({ty}.const 5) ({ty}.const 3) ({ty}.const 1))
                (table.get {table} ({ty}.const 5))
                (table.get {table} ({ty}.const 4))
                (table.grow {table} (local.get 0) ({ty}.const 1)))
            (func (export "out {table}") (table.set {table} (table.size {table}) (ref.null extern)))"#
        );
    }
    text.push(')');
    for (name, tier) in tiers() {
        let engine = Engine::new(Config::new().tier(tier))?;
        let mut store = Store::new(&engine, ())?;
        let mut linker = Linker::new(&engine);
        let instance = linker.instantiate(&mut store, &Module::new(&engine, exporter)?)?;
        linker.instance(&store, "m", instance)?;
        let instance = linker.instantiate(&mut store, &Module::new(&engine, &text)?)?;
        let object = Val::ExternRef(Some(ExternRef::new(&mut store, 7u32)?));
        let count = |value: &Val| value.i32().map(i64::from).or(value.i64());
        for table in 0..6 {
            let size = 10 + table;
            let mut results = [Val::I32(0), Val::I32(0), Val::I32(0)];
            let run = instance.get_func(&store, &format!("run {table}")).expect("an export");
            run.call(&mut store, &[object], &mut results)?;
            assert!(matches!(results[0], Val::ExternRef(Some(_))), "{name} {table}");
            assert!(matches!(results[1], Val::ExternRef(None)), "{name} {table}");
            assert_eq!(count(&results[2]), Some(size), "{name} {table}");
            let get_size = instance.get_func(&store, &format!("size {table}")).expect("an export");
            get_size.call(&mut store, &[], &mut results[..1])?;
            assert_eq!(count(&results[0]), Some(size + 1), "{name} {table}");
            let out = instance.get_func(&store, &format!("out {table}")).expect("an export");
            let error = out.call(&mut store, &[], &mut []).unwrap_err();
            assert_eq!(error.trap_code(), Some(TrapCode::TableOutOfBounds), "{name} {table}");
        }
    }
    Ok(())
}

/// Segments that were dropped are empty: nothing can be copied from them, but nothing can.
#[test]
fn dropped_segments_are_empty_for_every_type_of_reference() -> Result<()> {
    let items = [
        ("funcref", "(ref.func $f)"),
        ("externref", "(ref.null extern)"),
        ("(ref $t)", "(ref.func $f)"),
        ("(ref null $t)", "(ref.null $t)"),
    ];
    for (name, tier) in tiers() {
        let engine = Engine::new(Config::new().tier(tier))?;
        for (ty, item) in items {
            let init = if ty == "(ref $t)" { item } else { "" };
            let text = format!(
                r#"(module (type $t (func)) (func $f (type $t))
                (table 4 {ty} {init})
                (elem $e {ty} (item {item}) (item {item}))
                (elem declare func $f)
                (func (export "init") (param i32 i32)
                    (table.init $e (i32.const 1) (local.get 0) (local.get 1)))
                (func (export "drop") (elem.drop $e)))"#
            );
            let module = Module::new(&engine, text)?;
            let mut store = Store::new(&engine, ())?;
            let instance = Instance::new(&mut store, &module, &[])?;
            let init = instance.get_typed_func::<(i32, i32), ()>(&store, "init")?;
            let drop = instance.get_typed_func::<(), ()>(&store, "drop")?;
            init.call(&mut store, (0, 2))?;
            for _ in 0..2 {
                drop.call(&mut store, ())?;
                init.call(&mut store, (0, 0))?;
                for range in [(0, 1), (1, 0), (2, 0), (-1, 0)] {
                    let error = init.call(&mut store, range).unwrap_err();
                    let code = Some(TrapCode::TableOutOfBounds);
                    assert_eq!(error.trap_code(), code, "{name} {ty} {range:?}");
                }
            }
        }
    }
    Ok(())
}
