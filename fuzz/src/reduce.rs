//! Makes a failing module smaller while it fails.
//!
//! Bodies are emptied, then runs of operators are taken out of what is left, longest first, as long
//! as the module stays valid and the failure stays. What remains is short enough to be read.

use crate::interface::is_valid;
use crate::rewrite::Parts;
use wasm_encoder::Instruction;

/// Tries of one reduction; each runs all engines.
const TRIES_MAX: usize = 2000;

/// The smallest module found for which `fails` holds, as it does for `wasm`.
pub fn reduce(wasm: &[u8], mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut tries = 0;
    let mut try_one = |candidate: Option<Vec<u8>>| {
        tries += 1;
        candidate.filter(|wasm| tries <= TRIES_MAX && is_valid(wasm) && fails(wasm))
    };
    let mut best = wasm.to_vec();
    for body in 0..bodies(&best) {
        if let Some(smaller) = try_one(emptied(&best, body)) {
            best = smaller;
        }
    }
    let mut changed = true;
    while changed {
        changed = false;
        for body in 0..bodies(&best) {
            let mut run = operators(&best, body) / 2;
            while run > 0 {
                let mut start = 0;
                while start + run < operators(&best, body) {
                    match try_one(without(&best, body, start, run)) {
                        Some(smaller) => {
                            best = smaller;
                            changed = true;
                        }
                        None => start += run.div_ceil(2),
                    }
                }
                run /= 2;
            }
        }
    }
    best
}

fn bodies(wasm: &[u8]) -> usize {
    Parts::read(wasm).map_or(0, |parts| parts.bodies.len())
}

/// Operators of a body, its last `end` included.
fn operators(wasm: &[u8], body: usize) -> usize {
    Parts::read(wasm)
        .ok()
        .and_then(|parts| parts.bodies.get(body).map(|body| body.operators.len()))
        .unwrap_or(0)
}

/// The module with `unreachable` for a body.
fn emptied(wasm: &[u8], body: usize) -> Option<Vec<u8>> {
    let mut parts = Parts::read(wasm).ok()?;
    let body = parts.bodies.get_mut(body)?;
    if body.operators.len() <= 2 {
        return None;
    }
    body.locals.clear();
    body.code = Some(vec![Instruction::Unreachable, Instruction::End]);
    parts.finish().ok()
}

/// The module without some operators of a body.
fn without(wasm: &[u8], body: usize, start: usize, count: usize) -> Option<Vec<u8>> {
    let mut parts = Parts::read(wasm).ok()?;
    let body = parts.bodies.get_mut(body)?;
    body.operators.drain(start..start + count);
    parts.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_remains() {
        let wasm = wat::parse_str(
            "(module (func (drop (i32.add (i32.const 1) (i32.const 2))) (drop (i64.const 5)) nop nop)
                (func (drop (f64.sqrt (f64.const 2))) (nop) (nop) (nop) (nop)))",
        )
        .unwrap();
        let print = |wasm: &[u8]| wasmprinter::print_bytes(wasm).unwrap();
        let small = reduce(&wasm, |wasm| print(wasm).contains("f64.sqrt"));
        let text = print(&small);
        assert!(text.contains("f64.sqrt"), "{text}");
        assert!(!text.contains("nop") && !text.contains("i32.add"), "{text}");
    }
}
