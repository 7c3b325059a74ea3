//! Code that an earlier run made: linked at once, or when a function is first called.
//!
//! What is damaged is compiled like code that is not there; without a compiler it is an error that
//! names the function.

use crate::compiled::CompiledModule;
use crate::engine::Plan;
use crate::error::{Error, ErrorKind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use wasmoor_abi::DefinedFuncIndex;
use wasmoor_codegen::{CodeTier, StoredCode, StoredFunction};

/// Where a module's earlier code is, and what has become of it.
#[derive(Debug, Default)]
pub(crate) struct StoredSource {
    code: OnceLock<Arc<dyn StoredCode>>,
    loaded: AtomicUsize,
    damaged: AtomicUsize,
}

impl StoredSource {
    pub(crate) fn loaded(&self) -> usize {
        self.loaded.load(Ordering::Relaxed)
    }

    pub(crate) fn damaged(&self) -> usize {
        self.damaged.load(Ordering::Relaxed)
    }
}

impl CompiledModule {
    /// Says where code is that was made earlier for this module by an engine like this one; the
    /// first call counts.
    /// Where each call chooses between two versions there is no use for it.
    pub fn set_stored(&self, code: Arc<dyn StoredCode>) {
        if !self.is_mixed() {
            let _ = self.stored.code.set(code);
        }
    }

    /// Links code that was made earlier, before the module is used.
    ///
    /// # Errors
    /// There is no room for it, or it is not of this module; nothing has changed then.
    pub fn publish_all_stored(&self, functions: &[StoredFunction]) -> Result<(), Error> {
        if functions.is_empty() || self.is_mixed() {
            return Ok(());
        }
        self.will_link(functions);
        self.code().publish_stored(functions)?;
        self.stored.loaded.fetch_add(functions.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Links a function's earlier code, if there is any. Answers its entry address.
    pub(crate) fn publish_stored(&self, func: DefinedFuncIndex) -> Result<Option<usize>, Error> {
        let Some(stored) = self.stored.code.get() else { return Ok(None) };
        let linked = match stored.load(func) {
            Ok(None) => return Ok(None),
            Ok(Some(function)) => {
                let function = std::slice::from_ref(&function);
                self.will_link(function);
                let linked = self.code().publish_stored(function);
                linked.map_err(|error| error.to_string())
            }
            Err(why) => Err(why),
        };
        match linked {
            Ok(address) => {
                self.stored.loaded.fetch_add(1, Ordering::Relaxed);
                Ok(Some(address))
            }
            Err(why) => {
                self.stored.damaged.fetch_add(1, Ordering::Relaxed);
                if self.engine().has_compiler() {
                    return Ok(None);
                }
                let func = self.display_name(func);
                let message = format!("the stored code of {func} cannot be used: {why}");
                Err(ErrorKind::StoredCode(message).into())
            }
        }
    }

    /// Code of the first tier is sampled, if it may be compiled again.
    fn will_link(&self, functions: &[StoredFunction]) {
        if self.may_be_replaced() {
            let is_first = |function: &&StoredFunction| function.tier == CodeTier::First;
            self.replaceable.add(functions.iter().filter(is_first).count());
        }
    }

    fn is_mixed(&self) -> bool {
        matches!(self.plan(), Plan::Mixed { .. })
    }

    /// The error for a function that has no code, where none can be made.
    pub(crate) fn no_compiler(&self, func: DefinedFuncIndex) -> Error {
        let func = self.display_name(func);
        let message = format!("there is no stored code of {func}, and no compiler to make it");
        ErrorKind::StoredCode(message).into()
    }

    fn display_name(&self, func: DefinedFuncIndex) -> String {
        let module = self.module();
        module.func_display_name(module.func_index(func)).into_owned()
    }
}
