//! Tables.

use super::*;

const TABLE: &str = r#"(module
    (type $f (func (result i32)))
    (table (export "t") 3 10 funcref)
    (elem (i32.const 1) func $one) (elem declare func $two)
    (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))
    (func (export "call") (param i32) (result i32) (call_indirect (type $f) (local.get 0)))
    (func (export "grow") (param i32) (result i32)
        (table.grow (ref.func $two) (local.get 0))))"#;

fn traps(store: &mut Store<()>, instance: Instance, index: i32) -> Option<TrapCode> {
    call(store, instance, "call", &[index]).err().and_then(|error| error.trap_code())
}

#[test]
fn tables_are_made_grow_and_go_once() {
    for (name, maker, engine) in engines(Manner::Honest) {
        for _ in 0..2 {
            let (mut store, instance) = instantiate(&engine, TABLE).expect(&name);
            assert_eq!(maker.take_log(), ["table 3..10"], "{name}");
            assert_eq!(call(&mut store, instance, "call", &[1]).ok(), Some(1), "{name}");
            let outside = traps(&mut store, instance, 3);
            assert_eq!(outside, Some(TrapCode::UndefinedElement), "{name}");
            let null = traps(&mut store, instance, 0);
            assert_eq!(null, Some(TrapCode::UninitializedElement), "{name}");
            assert_eq!(call(&mut store, instance, "grow", &[2]).ok(), Some(3), "{name}");
            assert_eq!(call(&mut store, instance, "call", &[1]).ok(), Some(1), "{name}");
            assert_eq!(call(&mut store, instance, "call", &[4]).ok(), Some(2), "{name}");
            let outside = traps(&mut store, instance, 5);
            assert_eq!(outside, Some(TrapCode::UndefinedElement), "{name}");
            assert_eq!(call(&mut store, instance, "grow", &[6]).ok(), Some(-1), "{name}");
            assert_eq!(maker.take_log(), ["grow table to 5"], "{name}");
            maker.set(Manner::RefusesToGrow);
            assert_eq!(call(&mut store, instance, "grow", &[1]).ok(), Some(-1), "{name}");
            assert_eq!(store.meter().table_elements, 5, "{name}");
            maker.set(Manner::Honest);
            assert_eq!(call(&mut store, instance, "grow", &[5]).ok(), Some(5), "{name}");
            assert_eq!(call(&mut store, instance, "call", &[9]).ok(), Some(2), "{name}");
            drop(store);
            let log = ["grow table to 6", "grow table to 10", "drop table"];
            assert_eq!(maker.take_log(), log, "{name}");
        }
        let mut store = Store::new(&engine, ()).expect("a store");
        let ty =
            TableType { element: RefType::EXTERNREF, minimum: 4, maximum: None, index64: false };
        let table = Table::new(&mut store, ty, Val::ExternRef(None)).expect(&name);
        assert_eq!(table.grow(&mut store, 1, Val::ExternRef(None)).expect(&name), 4, "{name}");
        drop(store);
        let log = ["table 4..10000000", "grow table to 5", "drop table"];
        assert_eq!(maker.take_log(), log, "{name}");
    }
}

#[test]
fn tables_that_are_not_as_they_must_be_are_refused() {
    for manner in [Manner::TooShort, Manner::Misaligned, Manner::NotZero, Manner::RefusesToCreate] {
        for (name, maker, engine) in engines(manner) {
            let made = instantiate(&engine, TABLE);
            if manner == Manner::NotZero && !cfg!(debug_assertions) {
                continue;
            }
            let error = made.map(|_| ()).expect_err(&name);
            assert!(matches!(error.kind(), ErrorKind::Creator { what: "table", .. }), "{name}");
            let is_refusal = manner == Manner::RefusesToCreate;
            assert_eq!(error.downcast_ref::<No>().is_some(), is_refusal, "{name}: {error}");
            assert_eq!(maker.take_log().len(), 2 - usize::from(is_refusal), "{name}");
        }
    }
}

#[test]
fn panics_and_false_growth_leave_tables_as_they_were() {
    for (name, maker, engine) in engines(Manner::GrowsNot) {
        let (mut store, instance) = instantiate(&engine, TABLE).expect(&name);
        assert_eq!(call(&mut store, instance, "grow", &[1]).ok(), Some(-1), "{name}");
        maker.set(Manner::PanicsAtGrowth);
        let grown = catch_unwind(AssertUnwindSafe(|| call(&mut store, instance, "grow", &[1])));
        assert_eq!(grown.expect_err(&name).downcast_ref(), Some(&"the table panics"), "{name}");
        assert_eq!(store.meter().table_elements, 3, "{name}");
        assert_eq!(call(&mut store, instance, "call", &[1]).ok(), Some(1), "{name}");
        maker.set(Manner::PanicsAtCreation);
        let made = catch_unwind(AssertUnwindSafe(|| instantiate(&engine, TABLE).map(|_| ())));
        assert_eq!(made.expect_err(&name).downcast_ref(), Some(&"the creator panics"), "{name}");
    }
}
