//! An oracle with a planted miscompile.

use super::{Oracle, Outcome, State};
use crate::plant::Plant;
use crate::value::Value;

/// Runs modules on another oracle, as if that compiled one operator wrongly.
pub struct Planted<O> {
    oracle: O,
    plant: Plant,
}

impl<O: Oracle> Planted<O> {
    /// The oracle with the miscompile.
    pub fn new(oracle: O, plant: Plant) -> Self {
        Planted { oracle, plant }
    }
}

impl<O: Oracle> Oracle for Planted<O> {
    fn load(&mut self, wasm: &[u8]) -> Result<(), String> {
        match self.plant.apply(wasm) {
            Ok(planted) => self.oracle.load(planted.as_deref().unwrap_or(wasm)),
            Err(error) => Err(error.to_string()),
        }
    }

    fn instantiate(&mut self) -> Outcome {
        self.oracle.instantiate()
    }

    fn call(&mut self, function: &str, args: &[Value]) -> Outcome {
        self.oracle.call(function, args)
    }

    fn state(&mut self) -> State {
        self.oracle.state()
    }
}
