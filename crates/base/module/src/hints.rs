//! Branch hints: which branches a module's maker expects to be taken.
//!
//! They are read when first asked for. What is malformed, or names no branch, is ignored: hints
//! decide where code lies and nothing else.

use crate::description::Module;
use std::collections::HashMap;
use wasmoor_abi::FuncIndex;
use wasmparser::{BinaryReader, BranchHintSectionReader};

/// Name of the custom section.
pub(crate) const SECTION: &str = "metadata.code.branch_hint";

/// A hint: offset of the branch from the start of its function's body, and whether it is likely.
pub type BranchHint = (u32, bool);

/// Hints by function, each list in the order of offsets.
pub(crate) type BranchHints = HashMap<FuncIndex, Box<[BranchHint]>>;

impl Module {
    /// Hints for the branches of a function, in the order of their offsets.
    #[must_use]
    pub fn branch_hints(&self, func: FuncIndex) -> &[BranchHint] {
        if self.branch_hints.get().is_none() {
            // Reading takes no lock, which a process that is forked meanwhile would find taken.
            // Another thread may be faster; both read the same.
            let _ = self.branch_hints.set(self.read_branch_hints().unwrap_or_default());
        }
        let hints = self.branch_hints.get().and_then(|all| all.get(&func));
        hints.map_or(&[], |hints| hints)
    }

    /// The hints up to the first that is malformed; `None`: there is no section.
    fn read_branch_hints(&self) -> Option<BranchHints> {
        let section = self.custom_sections.iter().find(|section| section.name == SECTION)?;
        let content = self.content(section)?;
        let reader = BinaryReader::new(&content, 0);
        let mut all = BranchHints::new();
        for function in BranchHintSectionReader::new(reader).ok()? {
            let Ok(function) = function else { break };
            let hints = function.hints.into_iter().map_while(Result::ok);
            let mut hints: Vec<BranchHint> =
                hints.map(|hint| (hint.func_offset, hint.taken)).collect();
            hints.sort_unstable();
            all.insert(FuncIndex::from_u32(function.func), hints.into());
        }
        Some(all)
    }
}
