//! Fuel is counted by the rule of `wasmoor_abi::fuel`, to the unit, on every tier: a function's cost
//! is worked out by hand here, and it runs with that much and not with one unit less.

mod common;

use common::tiers;
use wasmoor::*;

struct Case {
    name: &'static str,
    /// Body of a function from i32 to i32.
    body: &'static str,
    /// Arguments, and what a call with each costs.
    costs: &'static [(i32, u64)],
    trap: Option<TrapCode>,
}

const fn case(name: &'static str, body: &'static str, costs: &'static [(i32, u64)]) -> Case {
    Case { name, body, costs, trap: None }
}

const CASES: &[Case] = &[
    case("straight", "local.get 0 nop i32.const 1 i32.add", &[(0, 3), (7, 3)]),
    case(
        "arms",
        "local.get 0 if (result i32) i32.const 1 else i32.const 2 i32.const 3 i32.add end",
        &[(1, 2 + 1), (0, 2 + 3)],
    ),
    case(
        "loop",
        "loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end local.get 0",
        &[(1, 5 + 1), (1000, 5 * 1000 + 1)],
    ),
    case(
        "branch out of a block",
        "block local.get 0 br_if 0 i32.const 9 drop end i32.const 4",
        &[(1, 2 + 1), (0, 2 + 2 + 1)],
    ),
    case(
        "branch table",
        "block block local.get 0 br_table 0 1 end i32.const 1 return end
            i32.const 2 i32.const 3 i32.add",
        &[(0, 2 + 2), (1, 2 + 3), (99, 2 + 3)],
    ),
    case("call", "local.get 0 call $callee", &[(5, 2 + 2)]),
    case("two calls", "local.get 0 call $callee call $callee i32.eqz", &[(5, 4 + 2 + 2)]),
    case("tail call", "local.get 0 return_call $callee", &[(5, 2 + 2)]),
    case("indirect call", "local.get 0 i32.const 0 call_indirect (type $t)", &[(5, 3 + 2)]),
    case("call of the host", "local.get 0 call $host", &[(5, 2)]),
    case(
        "recursion",
        "local.get 0 if (result i32) local.get 0 i32.const 1 i32.sub call $run i32.const 1 i32.add
            else i32.const 0 end",
        &[(0, 3), (1, 8 + 3), (500, 8 * 500 + 3)],
    ),
    case(
        "tail recursion",
        "local.get 0 i32.eqz if local.get 0 return end local.get 0 i32.const 1 i32.sub
            return_call $run",
        &[(0, 3 + 2), (10_000, 10_000 * (3 + 4) + 3 + 2)],
    ),
    case(
        "bulk operation",
        "i32.const 0 local.get 0 i32.const 100 memory.fill local.get 0",
        &[(3, 5)],
    ),
    Case {
        name: "a segment is paid for as a whole",
        body: "local.get 0 i32.load drop i32.const 1 i32.const 2 i32.add",
        costs: &[(-1, 6)],
        trap: Some(TrapCode::MemoryOutOfBounds),
    },
    Case {
        name: "what follows a trap is not",
        body: "i32.const 1 drop unreachable i32.const 5",
        costs: &[(0, 3)],
        trap: Some(TrapCode::Unreachable),
    },
];

fn text(case: &Case) -> String {
    format!(
        r#"(module
            (type $t (func (param i32) (result i32)))
            (import "host" "same" (func $host (type $t)))
            (memory 1) (table funcref (elem $callee))
            (func $run (export "run") (type $t) {})
            (func $callee (type $t) local.get 0 i32.clz))"#,
        case.body
    )
}

#[test]
fn every_tier_counts_to_the_unit() -> Result<()> {
    for tier in tiers() {
        for eager in [false, true] {
            let engine = Engine::new(Config::new().tier(tier).eager(eager).fuel(true))?;
            for case in CASES {
                check(&engine, case, &format!("{} ({tier:?}, eager: {eager})", case.name))?;
            }
        }
    }
    Ok(())
}

fn check(engine: &Engine, case: &Case, name: &str) -> Result<()> {
    let module = Module::new(engine, text(case))?;
    let mut store = Store::new(engine, ())?;
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "same", |x: i32| x)?;
    let instance = linker.instantiate(&mut store, &module)?;
    let run = instance.get_typed_func::<i32, i32>(&store, "run")?;
    for &(argument, cost) in case.costs {
        let name = &format!("{name}, argument {argument}");
        // Three times: the mixed tier chooses anew, and code may have become better.
        for _ in 0..3 {
            for left in [0, 1000] {
                store.set_fuel(cost + left)?;
                let trap = run.call(&mut store, argument).err().map(|error| error.trap_code());
                assert_eq!(trap, case.trap.map(Some), "{name}");
                assert_eq!(store.fuel(), left, "{name}");
            }
            store.set_fuel(cost - 1)?;
            let error = run.call(&mut store, argument).expect_err(name);
            assert_eq!(error.trap_code(), Some(TrapCode::OutOfFuel), "{name}");
            assert_eq!(store.fuel(), 0, "{name}");
        }
    }
    Ok(())
}
