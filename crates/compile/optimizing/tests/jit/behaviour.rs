//! What code does beyond the suite's scripts.

use crate::instance::Instance;
use crate::{compiler, module};
use wasmoor_abi::trap::FaultKind;
use wasmoor_abi::{MemoryMode, TrapCode, Tunables};
use wasmoor_codegen::CallMode;

fn instance(text: &str, tunables: &Tunables) -> Instance {
    Instance::new(&compiler(), &module(text), tunables, CallMode::Slots)
        .expect("no imports")
        .expect("instantiation does not trap")
}

const TRAP: fn(TrapCode) -> Result<Vec<u128>, FaultKind> = |code| Err(FaultKind::Trap(code));

#[test]
fn stack_overflow_is_a_trap() {
    let text = "(module (func $f (export \"f\") call $f call $f))";
    let mut instance = instance(text, &Tunables::default());
    assert_eq!(instance.call("f", &[]), TRAP(TrapCode::StackOverflow));
    instance.forbid_stack();
    assert_eq!(instance.call("f", &[]), TRAP(TrapCode::StackOverflow));
}

#[test]
fn lazy_cells_are_filled_on_use() {
    let text = "(module
        (type $t (func (result i32)))
        (table 4 funcref)
        (elem (i32.const 0) $a $b)
        (func $a (type $t) i32.const 11)
        (func $b (type $t) i32.const 22)
        (func (export \"call\") (param i32) (result i32)
            local.get 0 call_indirect (type $t))
        (func (export \"is_null\") (param i32) (result i32)
            local.get 0 table.get 0 ref.is_null))";
    let mut instance = instance(text, &Tunables::default());
    for index in 0..2 {
        instance.make_lazy(0, index);
    }
    assert_eq!(instance.call("call", &[1]), Ok(vec![22]));
    assert_eq!(instance.call("call", &[1]), Ok(vec![22]));
    assert_eq!(instance.call("is_null", &[0]), Ok(vec![0]));
    assert_eq!(instance.call("is_null", &[3]), Ok(vec![1]));
    assert_eq!(instance.call("call", &[3]), TRAP(TrapCode::UninitializedElement));
    assert_eq!(instance.call("call", &[4]), TRAP(TrapCode::UndefinedElement));
    assert_eq!(instance.call("is_null", &[4]), TRAP(TrapCode::TableOutOfBounds));
}

#[test]
fn memory_ends_where_it_ends() {
    let text = |index: &str| {
        format!(
            "(module (memory {index} 1 2)
               (func (export \"load\") (param {ty}) (result i64) local.get 0 i64.load)
               (func (export \"far\") (param {ty}) (result i64)
                   local.get 0 i64.load offset=4294967295)
               (func (export \"store\") (param {ty}) local.get 0 i64.const -1 i64.store offset=8)
               (func (export \"grow\") (result {ty}) {ty}.const 1 memory.grow))",
            ty = if index.is_empty() { "i32" } else { index },
        )
    };
    let guard = MemoryMode::Guard { guard_bytes: 32 << 20 };
    for (index, mode) in [
        ("", guard),
        ("", MemoryMode::Checked),
        ("i64", MemoryMode::Clamped),
        ("i64", MemoryMode::Checked),
    ] {
        let clamped64 = mode == MemoryMode::Clamped;
        let memory_mode = if clamped64 { guard } else { mode };
        let tunables = Tunables { memory_mode, clamped64, ..Tunables::default() };
        let mut instance = instance(&text(index), &tunables);
        let mut check = |name: &str, at: u64, fits: bool| {
            let got = instance.call(name, &[u128::from(at)]);
            let expected =
                if fits { Ok(()) } else { Err(FaultKind::Trap(TrapCode::MemoryOutOfBounds)) };
            assert_eq!(got.map(drop), expected, "{name} {at} with index {index:?}, {mode:?}");
        };
        check("load", 65528, true);
        check("load", 65529, false);
        check("store", 65520, true);
        check("store", 65521, false);
        check("far", 0, false);
        check("load", u64::from(u32::MAX), false);
        if index == "i64" {
            check("load", u64::MAX, false);
            check("load", u64::MAX - 7, false);
            check("store", u64::MAX - 15, false);
            check("far", u64::MAX - 0xffff_ffff, false);
            check("load", 1 << 32, false);
        }
        check("grow", 0, true);
        check("load", 65529, true);
        check("load", 131_064, true);
        check("load", 131_065, false);
    }
}

#[test]
fn fuel_is_charged_by_segment() {
    // (function, argument, fuel): operators but block, loop, end, else, nop.
    let text = "(module
        (func (export \"line\") (result i32) nop i32.const 1 i32.const 2 i32.add)
        (func (export \"branch\") (param i32) (result i32)
            local.get 0
            if (result i32) i32.const 1 else i32.const 2 i32.const 3 i32.add end)
        (func (export \"loop\") (param i32) (result i32)
            loop $l
                local.get 0 i32.const 1 i32.sub local.tee 0
                br_if $l
            end
            local.get 0)
        (func (export \"skip\") (param i32) (result i32)
            block
                local.get 0 br_if 0
                i32.const 7 return
            end
            i32.const 8)
        (func (export \"trap\") unreachable)
        (func $callee drop_nothing)
        (func (export \"call\") call $callee i32.const 1 drop))";
    let text = text.replace("drop_nothing", "nop");
    let tunables = Tunables { fuel: true, ..Tunables::default() };
    let mut instance = instance(&text, &tunables);
    for (name, args, fuel) in [
        ("line", vec![], 3),
        ("branch", vec![1], 2 + 1),
        ("branch", vec![0], 2 + 3),
        ("loop", vec![1], 5 + 1),
        ("loop", vec![10], 50 + 1),
        ("skip", vec![0], 2 + 2),
        ("skip", vec![1], 2 + 1),
        ("trap", vec![], 1),
        ("call", vec![], 3),
    ] {
        instance.set_fuel(1000);
        let first = instance.call(name, &args);
        assert_eq!(1000 - instance.fuel(), fuel, "{name} {args:?}");
        instance.set_fuel(fuel);
        assert_eq!(instance.call(name, &args), first, "{name} {args:?} with just enough");
        instance.set_fuel(fuel - 1);
        assert_eq!(instance.call(name, &args), TRAP(TrapCode::OutOfFuel), "{name} {args:?}");
    }
}
