//! The oracle whose word is taken: wasmi, or one of Wasmoor's tiers for modules that wasmi does not
//! know. Then the tiers are compared with each other only.

use super::{Frames, Oracle, Outcome, State, Wasmi, Wasmoor, single};
use crate::interface::known_to_wasmi;
use crate::value::Value;
use wasmoor::{Result, Tier};

/// The oracle.
pub struct Reference {
    wasmi: Wasmi,
    tier: Wasmoor,
    /// Which of them has the module.
    is_known: bool,
}

impl Reference {
    /// An oracle without a module.
    ///
    /// # Errors
    /// When the machine cannot run Wasmoor.
    pub fn new() -> Result<Self> {
        let tier = single(Tier::Baseline)?;
        Ok(Reference { wasmi: Wasmi::default(), tier, is_known: true })
    }

    fn chosen(&mut self) -> &mut dyn Oracle {
        if self.is_known { &mut self.wasmi } else { &mut self.tier }
    }
}

impl Oracle for Reference {
    fn load(&mut self, wasm: &[u8]) -> Result<(), String> {
        self.is_known = known_to_wasmi(wasm);
        self.chosen().load(wasm)
    }

    fn instantiate(&mut self) -> Outcome {
        self.chosen().instantiate()
    }

    fn call(&mut self, function: &str, args: &[Value]) -> Outcome {
        self.chosen().call(function, args)
    }

    fn state(&mut self) -> State {
        self.chosen().state()
    }

    fn frames(&mut self) -> Option<Frames> {
        self.chosen().frames()
    }
}
