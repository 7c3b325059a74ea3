//! Polls: where the host can get a running guest's attention.
//!
//! A poll is a 1-byte load from the poll page whose result nobody uses. It stays in the code
//! because it may fault; each site loads from another byte, because the optimizer would
//! otherwise drop a poll that another one dominates. A function with more sites than the page has
//! bytes makes atomic loads of the others, which are never merged but hold up other loads.
//!
//! Loop heads poll, and the entry of functions that call others: what calls nothing and does not
//! loop comes to an end by itself.

use super::Translator;
use super::environment::Region;
use cranelift_codegen::ir::{InstBuilder as _, MemFlagsData, TrapCode as BackendTrap, types};
use wasmoor_abi::limits::POLL_SITES_MAX;
use wasmoor_abi::trap::FaultKind;
use wasmoor_abi::vmctx::VMCTX_POLL_PAGE;

/// The byte for the poll at a function's entry.
const ENTRY_SITE: u32 = 0;

impl Translator<'_> {
    /// Polls at the current position.
    pub(super) fn poll(&mut self) {
        if !self.job.tunables.poll {
            return;
        }
        let page = self.vmctx_constant(VMCTX_POLL_PAGE);
        let flags = self.poll_flags();
        // The entry's byte is kept free.
        let site = self.poll_blocks.len() as u32 + 1;
        if site < POLL_SITES_MAX {
            self.builder.ins().load(types::I8, flags, page, site.cast_signed());
        } else {
            self.builder.ins().atomic_load(types::I8, flags, page);
        }
        self.poll_blocks.extend(self.builder.current_block());
    }

    /// Polls at the function's entry, if it turned out to call others.
    pub(super) fn finish_entry_poll(&mut self) {
        if !self.job.tunables.poll || !self.has_call {
            return;
        }
        let page = self.vmctx_constant(VMCTX_POLL_PAGE);
        let flags = self.poll_flags();
        let mut cursor = self.env.cursor(self.builder.func);
        cursor.ins().load(types::I8, flags, page, ENTRY_SITE.cast_signed());
        self.poll_blocks.extend(self.builder.func.layout.entry_block());
    }

    fn poll_flags(&mut self) -> MemFlagsData {
        let code = BackendTrap::unwrap_user(FaultKind::POLL_NUMBER);
        self.flags(Region::Poll).with_trap_code(Some(code))
    }
}
