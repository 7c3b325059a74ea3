//! Polls: where the host can get a running guest's attention.
//!
//! A poll is a 1-byte load from the poll page whose result nobody uses. It stays in the code
//! because it may fault; each site loads from another byte, because the optimizer would
//! otherwise drop a poll that another one dominates. Loop heads poll, and the entry of functions
//! that call others: what calls nothing and does not loop comes to an end by itself.

use super::Translator;
use super::environment::Region;
use cranelift_codegen::ir::{
    Block, InstBuilder as _, MemFlagsData, TrapCode as BackendTrap, types,
};
use wasmoor_abi::limits::POLL_SITES_MAX;
use wasmoor_abi::trap::FaultKind;
use wasmoor_abi::vmctx::VMCTX_POLL_PAGE;

impl Translator<'_> {
    /// Polls at the current position.
    pub(super) fn poll(&mut self) {
        if !self.job.tunables.poll {
            return;
        }
        let page = self.vmctx_constant(VMCTX_POLL_PAGE);
        let flags = self.poll_flags();
        let offset = self.next_poll_offset(self.builder.current_block());
        self.builder.ins().load(types::I8, flags, page, offset);
    }

    /// Polls at the function's entry, if it turned out to call others.
    pub(super) fn finish_entry_poll(&mut self) {
        if !self.job.tunables.poll || !self.has_call {
            return;
        }
        let page = self.vmctx_constant(VMCTX_POLL_PAGE);
        let flags = self.poll_flags();
        let offset = self.next_poll_offset(self.builder.func.layout.entry_block());
        let mut cursor = self.env.cursor(self.builder.func);
        cursor.ins().load(types::I8, flags, page, offset);
    }

    fn poll_flags(&mut self) -> MemFlagsData {
        let code = BackendTrap::unwrap_user(FaultKind::POLL_NUMBER);
        self.flags(Region::Poll).with_trap_code(Some(code))
    }

    /// A byte of the page that no other site of this function loads, as long as there are any.
    fn next_poll_offset(&mut self, block: Option<Block>) -> i32 {
        let site = self.poll_blocks.len() as u32 % POLL_SITES_MAX;
        self.poll_blocks.extend(block);
        site.cast_signed()
    }
}
