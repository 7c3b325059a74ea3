//! Where modules come from. Each source makes a module from a seed, the same one every time.
//!
//! `wasm-smith` makes modules of every shape, but its code seldom gets far: it computes random
//! things and traps. The other sources are narrow and deep: straight code over all numeric
//! operators with the values that compilers get wrong, accesses around the ends of memories,
//! references in tables, calls that pass much, and what is newer than wasmi.

mod arithmetic;
mod body;
mod calls;
mod memory;
mod newer;
mod numeric;
mod reference;
mod smith;

use crate::script::Plan;

/// Cases after which the sources come round again.
pub const SOURCES_PERIOD: u64 = 9;

/// A way to make modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// `wasm-smith`.
    Smith,
    /// Expressions and single operators over numbers and vectors.
    Arithmetic,
    /// Loads, stores and bulk operations around the ends of memories.
    Memory,
    /// Tables and references in them.
    Reference,
    /// Calls of all kinds with many values.
    Calls,
    /// Exceptions, atomics and what else wasmi does not know.
    Newer,
}

impl Source {
    /// All of them.
    pub const ALL: &[Source] = &[
        Source::Smith,
        Source::Arithmetic,
        Source::Memory,
        Source::Reference,
        Source::Calls,
        Source::Newer,
    ];

    /// The source of a campaign's case.
    #[must_use]
    pub const fn of_case(number: u64) -> Source {
        match number % SOURCES_PERIOD {
            0 | 2 | 4 => Source::Smith,
            1 | 5 => Source::Arithmetic,
            3 => Source::Memory,
            6 => Source::Calls,
            8 => Source::Newer,
            _ => Source::Reference,
        }
    }

    /// Name in reports and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Source::Smith => "smith",
            Source::Arithmetic => "arithmetic",
            Source::Memory => "memory",
            Source::Reference => "reference",
            Source::Calls => "calls",
            Source::Newer => "newer",
        }
    }

    /// How its modules are called.
    #[must_use]
    pub const fn plan(self) -> Plan {
        match self {
            Source::Smith => {
                Plan { instance_per_function: true, calls_per_function: 3, far_from_limits: false }
            }
            _ => {
                Plan { instance_per_function: false, calls_per_function: 8, far_from_limits: true }
            }
        }
    }

    /// The module of a seed; `None`: the seed has none.
    #[must_use]
    pub fn module(self, seed: u64) -> Option<Vec<u8>> {
        match self {
            Source::Smith => smith::module(seed),
            Source::Arithmetic => Some(arithmetic::module(seed)),
            Source::Memory => Some(memory::module(seed)),
            Source::Reference => Some(reference::module(seed)),
            Source::Calls => Some(calls::module(seed)),
            Source::Newer => Some(newer::module(seed)),
        }
    }
}

/// A module with the seed that it and its calls come from.
#[derive(Clone, Debug)]
pub struct Case {
    /// What made the module.
    pub source: Source,
    /// From what.
    pub seed: u64,
    /// The module.
    pub wasm: Vec<u8>,
}

impl Case {
    /// The case of a seed; `None`: the source makes nothing of it.
    #[must_use]
    pub fn new(source: Source, seed: u64) -> Option<Case> {
        Some(Case { source, seed, wasm: source.module(seed)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::{Interface, is_valid};

    #[test]
    fn modules_are_valid_and_export_functions() {
        for &source in Source::ALL {
            let cases: Vec<_> = (0..100).filter_map(|seed| Case::new(source, seed)).collect();
            assert!(cases.len() > 90, "{}: {}", source.name(), cases.len());
            let mut functions = 0;
            for Case { seed, wasm, .. } in cases {
                assert!(is_valid(&wasm), "{} {seed}", source.name());
                functions += Interface::read(&wasm).unwrap().functions.len();
            }
            assert!(functions > 200, "{}: {functions}", source.name());
        }
    }

    #[test]
    fn a_seed_has_one_module() {
        for &source in Source::ALL {
            assert_eq!(source.module(5), source.module(5), "{}", source.name());
            assert_ne!(source.module(5), source.module(6), "{}", source.name());
        }
    }
}
