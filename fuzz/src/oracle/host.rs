//! The host that generated modules are linked to: the same for all engines.

use super::{Fact, hash_bytes, hash_values};
use crate::random::Random;
use crate::value::{Type, Value};

/// A number for an import. Its place in the list would not do: wasmi sorts the list by kind.
pub(super) fn import_id(module: &str, name: &str) -> u64 {
    hash_bytes(format!("{module} {name}").as_bytes())
}

/// Remembers what guests passed, and answers from a seed.
#[derive(Debug, Default)]
pub(super) struct Host {
    calls: u64,
    hash: u64,
}

impl Host {
    /// A host function was called; answers its results. Results depend on the import, the
    /// arguments, and all calls before.
    pub(super) fn call(&mut self, import: u64, args: &[Value], results: &[Type]) -> Vec<Value> {
        self.calls += 1;
        self.hash = self.hash.rotate_left(5) ^ hash_values(args) ^ import;
        let mut random = Random::new(self.hash);
        results.iter().map(|&ty| Value::interesting(ty, &mut random)).collect()
    }

    /// What an imported global holds.
    pub(super) fn global(import: u64, ty: Type) -> Value {
        Value::interesting(ty, &mut Random::new(import))
    }

    /// What the host has seen.
    pub(super) fn fact(&self) -> (String, Fact) {
        ("host".into(), Fact::Contents { size: self.calls, hash: self.hash })
    }
}
