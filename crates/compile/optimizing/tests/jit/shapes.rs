//! The backend's registers and stack slots are those of `wasmoor_abi::call`.
//!
//! Functions of many types are entered as `CallShape` says. Each hands its parameters on, in
//! another order, to a second one through the compiler's own call, and returns what comes back.

use crate::instance::Instance;
use crate::{compiler, linear_compiler, module};
use std::fmt::Write as _;
use wasmoor_abi::Tunables;
use wasmoor_codegen::CallMode;

/// A small generator of numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

const TYPES: [(&str, u32); 6] =
    [("i32", 32), ("i64", 64), ("f32", 32), ("f64", 64), ("v128", 128), ("externref", 64)];

/// Results of `outer` are `inner`'s results; `inner` returns its parameters by number.
fn text(params: &[usize], results: &[usize]) -> String {
    let list = |kind: &str, types: &mut dyn Iterator<Item = usize>| {
        let names: Vec<&str> = types.map(|ty| TYPES[ty].0).collect();
        format!("({kind} {})", names.join(" "))
    };
    let result_types = list("result", &mut results.iter().map(|&param| params[param]));
    let mut forward = String::new();
    for param in (0..params.len()).rev() {
        let _ = write!(forward, "local.get {param} ");
    }
    let mut give_back = String::new();
    for &param in results {
        let _ = write!(give_back, "local.get {} ", params.len() - 1 - param);
    }
    format!(
        "(module
           (func (export \"outer\") {0} {2} {forward} call $inner)
           (func (export \"tail\") {0} {2} {forward} return_call $inner)
           (func $inner {1} {2} {give_back}))",
        list("param", &mut params.iter().copied()),
        list("param", &mut params.iter().rev().copied()),
        result_types
    )
}

#[test]
fn arguments_and_results_travel_as_the_contract_says() {
    let compilers = [compiler(), linear_compiler()];
    let mut random = Random(1);
    for round in 0..150 {
        let count = 1 + random.below(24) as usize;
        let params: Vec<usize> = (0..count).map(|_| random.below(6) as usize).collect();
        let count = random.below(24) as usize;
        let results: Vec<usize> =
            (0..count).map(|_| random.below(params.len() as u64) as usize).collect();
        let module = module(&text(&params, &results));
        let calls = if round % 2 == 0 { CallMode::Slots } else { CallMode::Direct };
        let compiler = &compilers[round / 2 % 2];
        let mut instance = Instance::new(compiler, &module, &Tunables::default(), calls)
            .expect("no imports")
            .expect("no start function");
        let args: Vec<u128> = params
            .iter()
            .enumerate()
            .map(|(i, &ty)| mask(u128::MAX / 255 * (i as u128 + 1), TYPES[ty].1))
            .collect();
        for name in ["outer", "tail"] {
            let got = instance.call(name, &args).expect("no trap");
            let got: Vec<u128> = got
                .iter()
                .zip(&results)
                .map(|(&value, &param)| mask(value, TYPES[params[param]].1))
                .collect();
            let expected: Vec<u128> = results.iter().map(|&param| args[param]).collect();
            assert_eq!(got, expected, "{name} of params {params:?}, results {results:?}");
        }
    }
}

fn mask(value: u128, bits: u32) -> u128 {
    value & (u128::MAX >> (128 - bits))
}
