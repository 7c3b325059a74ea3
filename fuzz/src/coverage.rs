//! Which operators have been executed.
//!
//! A module is rewritten so that each stretch of code that runs as a whole sets a byte of an extra
//! memory; the rewritten module is run on wasmi with the same calls, and the operators of stretches
//! whose byte is set have been executed. A stretch ends at every operator that may branch or trap.
//! Only modules with an operator that was not seen yet are rewritten, so that this costs little.

use crate::generate::Case;
use crate::interface::Interface;
use crate::operators::{self, OperatorId};
use crate::oracle::{Guarded, Oracle, Wasmi};
use crate::random::Random;
use crate::rewrite::{Error, Parts};
use crate::script::{Transcript, script};
use wasm_encoder::{ExportKind, Instruction as I, MemArg, MemArgTarget, MemoryType};
use wasmparser::Operator;

/// Name of the extra memory's export.
const MARKS: &str = "wasmoor-fuzz-marks";

/// The operators seen so far.
pub struct Coverage {
    executed: Vec<bool>,
    wasmi: Guarded<Wasmi>,
}

impl Default for Coverage {
    fn default() -> Self {
        Coverage { executed: vec![false; operators::count()], wasmi: Guarded(Wasmi::default()) }
    }
}

impl Coverage {
    /// Adds the operators that a case executes.
    pub fn add(&mut self, case: &Case) {
        let Ok(Some(Marked { wasm, stretches })) = self.mark(&case.wasm) else { return };
        let Ok(interface) = Interface::read(&case.wasm) else { return };
        if self.wasmi.load(&wasm).is_err() {
            return;
        }
        for round in script(&interface, case.source.plan(), &mut Random::new(case.seed)) {
            Transcript::record(&mut self.wasmi, &round);
            let marks = self.wasmi.0.memory(MARKS).unwrap_or_default();
            for (_, stretch) in marks.iter().zip(&stretches).filter(|(mark, _)| **mark != 0) {
                stretch.iter().for_each(|id| self.executed[id.index()] = true);
            }
        }
    }

    /// Operators of the enabled proposals that were never executed, by name, sorted.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let missing = operators::enabled().filter(|id| !self.executed[id.index()]);
        let mut names: Vec<_> = missing.map(operators::name).collect();
        names.sort_unstable();
        names
    }

    /// Number of operators executed, and of all enabled ones.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let all = operators::enabled().count();
        (all - self.missing().len(), all)
    }

    /// The module with marks; `None`: it has no operator that was not seen.
    fn mark(&self, wasm: &[u8]) -> Result<Option<Marked>, Error> {
        let mut parts = Parts::read(wasm)?;
        let mut operators = parts.bodies.iter().flat_map(|body| &body.operators);
        if operators.all(|operator| self.executed[operators::id(operator).index()]) {
            return Ok(None);
        }
        let memory_index = parts.memories_imported + parts.memories.len();
        let mut stretches = Vec::new();
        for body in &mut parts.bodies {
            // A mark goes before the first operator of each stretch.
            let mut fresh = true;
            body.rewrite(|operator, instruction, code| {
                if fresh && !matches!(operator, Operator::End | Operator::Else) {
                    code.extend(mark(stretches.len() as u64, memory_index));
                    stretches.push(Vec::new());
                    fresh = false;
                }
                if !fresh && let Some(stretch) = stretches.last_mut() {
                    stretch.push(operators::id(operator));
                }
                code.push(instruction);
                fresh |= ends_stretch(operator);
            })?;
        }
        let pages = (stretches.len() as u64).div_ceil(1 << 16);
        parts.memories.memory(MemoryType {
            minimum: pages,
            maximum: Some(pages),
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        parts.exports.export(MARKS, ExportKind::Memory, memory_index);
        Ok(Some(Marked { wasm: parts.finish()?, stretches }))
    }
}

/// A rewritten module.
struct Marked {
    wasm: Vec<u8>,
    /// The operators that ran if the byte of this number is set.
    stretches: Vec<Vec<OperatorId>>,
}

fn mark(stretch: u64, memory_index: u32) -> [I<'static>; 3] {
    let target = MemArgTarget::Memory(memory_index);
    let memarg = MemArg { offset: stretch, align: 0, target, ordering: None };
    [I::I32Const(0), I::I32Const(1), I::I32Store8(memarg)]
}

/// Whether what follows the operator may not run although the operator did, or the other way.
fn ends_stretch(operator: &Operator<'_>) -> bool {
    use Operator as O;
    match operator {
        O::LocalGet { .. } | O::LocalSet { .. } | O::LocalTee { .. } => false,
        O::GlobalGet { .. } | O::GlobalSet { .. } => false,
        O::I32Const { .. } | O::I64Const { .. } | O::F32Const { .. } | O::F64Const { .. } => false,
        O::Drop | O::Select | O::Nop | O::Block { .. } => false,
        // All others, most of which could do without: a mark too many does no harm.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Source;

    fn executed(text: &str) -> Vec<&'static str> {
        let wasm = wat::parse_str(text).unwrap();
        let mut coverage = Coverage::default();
        coverage.add(&Case { source: Source::Memory, seed: 0, wasm });
        let missing = coverage.missing();
        operators::enabled().map(operators::name).filter(|name| !missing.contains(name)).collect()
    }

    #[test]
    fn only_what_ran_counts() {
        let ran = executed(
            r#"(module
                (func (export "f") (result i32)
                    (if (i32.const 1)
                        (then (drop (i32.clz (i32.const 1))))
                        (else (drop (i32.ctz (i32.const 1)))))
                    (drop (i32.div_u (i32.const 1) (i32.const 0)))
                    (i32.popcnt (i32.const 1)))
                (func (drop (i64.clz (i64.const 1)))))"#,
        );
        for (name, expected) in [
            ("i32.clz", true),
            ("i32.ctz", false),
            ("i32.div_u", true),
            ("i32.popcnt", false),
            ("i64.clz", false),
            ("if", true),
        ] {
            assert_eq!(ran.contains(&name), expected, "{name}: {ran:?}");
        }
    }

    #[test]
    fn marked_modules_are_valid() {
        let coverage = Coverage::default();
        for &source in Source::ALL {
            for wasm in (0..40).filter_map(|seed| source.module(seed)) {
                let marked = coverage.mark(&wasm).unwrap();
                assert!(marked.is_none_or(|it| crate::interface::is_valid(&it.wasm)));
            }
        }
    }
}
