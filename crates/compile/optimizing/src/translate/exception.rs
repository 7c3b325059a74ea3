//! Exceptions: throwing, and going on where something was thrown.
//!
//! A call inside a `try` is a `try_call`, whose exceptional edge leads to the *dispatch block* of
//! the innermost region around it, with the exnref and the exception's address. The block compares
//! the exception's tag with those of the clauses and goes on at the clause that fits, or in the
//! dispatch block of the region around it. So a function has one dispatch block per region, however
//! deep regions nest, and the handler table says only that a frame catches an exception.
//!
//! ```text
//! dispatch(exnref, address):   tag = [address]
//!                              tag = [vmctx.tag_a] ?  jump label_a(values at address...)
//!                              tag = [vmctx.tag_b] ?  jump label_b(values..., exnref)
//!                              jump dispatch of the region around
//! ```
//!
//! The clauses of the older `try` are blocks of their own; their dispatch goes on piece by piece
//! where `catch` follows `catch`.

use super::Translator;
use super::control::{BlockShape, FrameKind};
use super::environment::Region;
use crate::error::{Result, validated};
use crate::signature::{clif_type, throwing_signature};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, ExceptionTableData, ExceptionTableItem, ExceptionTag, FuncRef,
    InstBuilder as _, SigRef, StackSlot, StackSlotData, StackSlotKind, Type, Value, types,
};
use wasmoor_abi::handlers::{Clause, HandlerRegion};
use wasmoor_abi::vmctx::{EXCEPTION_TAG, EXCEPTION_VALUE_BYTES, EXCEPTION_VALUES, VMCTX_LIBCALLS};
use wasmoor_abi::{FuncType, Libcall, TagIndex, TrapCode};
use wasmparser::{Catch, TryTable};

/// Logarithm of the alignment of values to throw.
const VALUES_ALIGN_LOG2: u8 = 4;
/// Logarithm of the alignment of the frame's vmctx.
const VMCTX_ALIGN_LOG2: u8 = 3;

/// The exceptions of one function.
#[derive(Default)]
pub(super) struct Exceptions {
    pub(super) regions: Vec<HandlerRegion>,
    /// Dispatch blocks of regions, once there are edges to them.
    dispatch: Vec<Option<Block>>,
    /// Where the clauses of each `try_table` lead.
    edges: Vec<Vec<Edge>>,
    /// Holds the vmctx, for the runtime.
    pub(super) vmctx: Option<StackSlot>,
    /// Values to throw, as large as the largest `throw` needs it.
    values: Option<StackSlot>,
}

/// A clause of a `try_table`.
#[derive(Clone, Copy)]
struct Edge {
    clause: Clause,
    /// Whether the label takes the exnref too.
    with_ref: bool,
    /// Position of the label's frame.
    depth: usize,
}

/// The older `try`, after its first `catch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CatchPart {
    region: u32,
    exnref: Value,
    exception: Value,
    /// Where exceptions go that no clause so far has caught; `None`: there are none.
    next: Option<Block>,
}

/// How something is called.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// A function of the module.
    Func(FuncRef),
    /// The function at this address.
    Address(Value),
}

impl<'a> Translator<'a> {
    /// Keeps the vmctx where the runtime finds it, in a function that may catch.
    pub(super) fn keep_vmctx(&mut self) {
        let tries = self.module.facts(self.job.func).tries;
        if tries == 0 {
            return;
        }
        let data = StackSlotData::new(StackSlotKind::ExplicitSlot, 8, VMCTX_ALIGN_LOG2);
        let slot = self.builder.create_sized_stack_slot(data);
        let address = self.builder.ins().stack_addr(types::I64, slot, 0);
        let flags = self.flags(Region::Exception);
        let vmctx = self.vmctx();
        self.builder.ins().store(flags, vmctx, address, 0);
        self.exceptions.vmctx = Some(slot);
    }

    // Regions.

    /// The region that calls here are in.
    fn handler_region(&self) -> Option<u32> {
        self.frames.last().and_then(|frame| frame.region)
    }

    fn open_region(&mut self, edges: Vec<Edge>) -> u32 {
        let clauses = edges.iter().map(|edge| edge.clause).collect();
        // A body has fewer regions than bytes.
        let region = self.exceptions.regions.len() as u32;
        self.exceptions.regions.push(HandlerRegion { parent: self.handler_region(), clauses });
        self.exceptions.dispatch.push(None);
        self.exceptions.edges.push(edges);
        region
    }

    /// The dispatch block of a region that something leads to.
    fn dispatch_block(&mut self, region: u32) -> Block {
        if let Some(block) = self.exceptions.dispatch[region as usize] {
            return block;
        }
        let block = self.block_of([types::I64, types::I64]);
        self.builder.set_cold_block(block);
        self.exceptions.dispatch[region as usize] = Some(block);
        block
    }

    fn block_of(&mut self, params: impl IntoIterator<Item = Type>) -> Block {
        let block = self.builder.create_block();
        for param in params {
            self.builder.append_block_param(block, param);
        }
        block
    }

    // Calls.

    /// Calls something that may throw; the results in registers are in [`Translator::results_of`].
    pub(super) fn make_call(
        &mut self,
        target: Target,
        signature: SigRef,
        args: &[Value],
    ) -> CallResults {
        let Some(region) = self.handler_region() else {
            return CallResults::Inst(match target {
                Target::Func(func) => self.builder.ins().call(func, args),
                Target::Address(code) => self.builder.ins().call_indirect(signature, code, args),
            });
        };
        let returns: Vec<Type> = {
            let returns = &self.builder.func.dfg.signatures[signature].returns;
            returns.iter().map(|param| param.value_type).collect()
        };
        let results = (0..returns.len() as u32).map(BlockArg::TryCallRet);
        let normal = self.block_of(returns.iter().copied());
        let dispatch = self.dispatch_block(region);
        let pool = &mut self.builder.func.dfg.value_lists;
        let back = BlockCall::new(normal, results, pool);
        let thrown = [BlockArg::TryCallExn(0), BlockArg::TryCallExn(1)];
        let caught = BlockCall::new(dispatch, thrown, pool);
        let item = ExceptionTableItem::Tag(ExceptionTag::from_u32(region), caught);
        let table = ExceptionTableData::new(signature, back, [item]);
        let table = self.builder.func.dfg.exception_tables.push(table);
        match target {
            Target::Func(func) => self.builder.ins().try_call(func, args, table),
            Target::Address(code) => self.builder.ins().try_call_indirect(code, args, table),
        };
        self.builder.seal_block(normal);
        self.builder.switch_to_block(normal);
        CallResults::Block(normal)
    }

    /// What a call gave in registers.
    pub(super) fn results_of(&self, call: CallResults) -> &[Value] {
        match call {
            CallResults::Inst(inst) => self.builder.inst_results(inst),
            CallResults::Block(block) => self.builder.block_params(block),
        }
    }

    // Throwing.

    /// `throw`.
    pub(crate) fn throw(&mut self, tag: u32) -> Result {
        let count = self.tag_type(TagIndex::from_u32(tag))?.params.len();
        self.canonicalize_top(count)?;
        let first = self.top(count)?;
        let address = self.values_area(count);
        let flags = self.flags(Region::Area);
        for (number, value) in self.stack.drain(first..).enumerate() {
            // At most a thousand values.
            let offset = number as i32 * EXCEPTION_VALUE_BYTES.cast_signed();
            self.builder.ins().store(flags, value, address, offset);
        }
        let tag = self.iconst32(tag);
        self.call_to_throw(Libcall::throw, &[tag, address]);
        Ok(())
    }

    /// `throw_ref`.
    pub(crate) fn throw_ref(&mut self) -> Result {
        let exnref = self.pop()?;
        self.call_to_throw(Libcall::throw_ref, &[exnref]);
        Ok(())
    }

    /// `rethrow`.
    pub(crate) fn rethrow(&mut self, label: u32) -> Result {
        let depth = self.label_depth(label)?;
        let FrameKind::LegacyCatch(part) = self.frames[depth].kind else {
            return validated(None, "a `catch` to rethrow from");
        };
        self.call_to_throw(Libcall::throw_ref, &[part.exnref]);
        Ok(())
    }

    /// Room for the values of a `throw`.
    fn values_area(&mut self, count: usize) -> Value {
        // At most a thousand values.
        let bytes = (count.max(1) as u32) * EXCEPTION_VALUE_BYTES;
        let slot = match self.exceptions.values {
            Some(slot) => slot,
            None => self.builder.create_sized_stack_slot(StackSlotData::new(
                StackSlotKind::ExplicitSlot,
                bytes,
                VALUES_ALIGN_LOG2,
            )),
        };
        self.exceptions.values = Some(slot);
        let size = &mut self.builder.func.sized_stack_slots[slot].size;
        *size = bytes.max(*size);
        self.builder.ins().stack_addr(types::I64, slot, 0)
    }

    /// Calls a libcall that does not return.
    fn call_to_throw(&mut self, libcall: Libcall, args: &[Value]) {
        self.has_call = true;
        let table = self.vmctx_constant(VMCTX_LIBCALLS);
        let code = self.constant(table, libcall.table_offset(), types::I64);
        let signature = self.builder.import_signature(throwing_signature(libcall));
        let mut all = vec![self.vmctx()];
        all.extend_from_slice(args);
        self.make_call(Target::Address(code), signature, &all);
        self.trap(TrapCode::Unreachable);
    }

    fn tag_type(&self, tag: TagIndex) -> Result<&'a FuncType> {
        let ty = validated(self.module.tags.get(tag).copied(), "a tag")?;
        self.type_at(ty)
    }

    // Catching.

    /// `try_table`.
    pub(crate) fn begin_try_table(&mut self, shape: BlockShape<'a>, table: &TryTable) -> Result {
        let mut edges = Vec::new();
        for clause in &table.catches {
            let (clause, with_ref, label) = match *clause {
                Catch::One { tag, label } => (Some(tag), false, label),
                Catch::OneRef { tag, label } => (Some(tag), true, label),
                Catch::All { label } => (None, false, label),
                Catch::AllRef { label } => (None, true, label),
            };
            let clause = clause.map_or(Clause::All, |tag| Clause::Tag(TagIndex::from_u32(tag)));
            edges.push(Edge { clause, with_ref, depth: self.label_depth(label)? });
            if clause == Clause::All {
                break;
            }
        }
        let region = self.open_region(edges);
        self.push_frame(FrameKind::TryTable, shape)?;
        self.set_region(Some(region));
        Ok(())
    }

    fn set_region(&mut self, region: Option<u32>) {
        if let Some(frame) = self.frames.last_mut() {
            frame.region = region;
        }
    }

    /// `end` of a `try_table`, or of an older `try` that catches nothing.
    pub(super) fn end_try(&mut self, depth: usize) -> Result {
        let region = validated(self.frames[depth].region, "a region")?;
        if let Some(block) = self.exceptions.dispatch[region as usize] {
            self.leave_body(depth)?;
            self.switch_to_sealed(block);
            self.dispatch(region, block)?;
        }
        self.end_plain(depth)
    }

    /// What falls out of a block's body goes to its label: other code comes in between.
    fn leave_body(&mut self, depth: usize) -> Result {
        if self.reachable {
            self.branch(depth)?;
        }
        self.reachable = false;
        Ok(())
    }

    fn switch_to_sealed(&mut self, block: Block) {
        self.builder.seal_block(block);
        self.builder.switch_to_block(block);
    }

    /// Fills a region's dispatch block.
    fn dispatch(&mut self, region: u32, block: Block) -> Result {
        let (exnref, exception) = self.thrown(block)?;
        let edges = std::mem::take(&mut self.exceptions.edges[region as usize]);
        for Edge { clause, with_ref, depth } in edges {
            let next = match clause {
                Clause::Tag(tag) => Some(self.branch_on_tag(tag, exception)),
                Clause::All => None,
            };
            let mut args: Vec<BlockArg> = match clause {
                Clause::Tag(tag) => {
                    let values = self.exception_values(tag, exception)?;
                    values.into_iter().map(BlockArg::Value).collect()
                }
                Clause::All => Vec::new(),
            };
            args.extend(with_ref.then_some(BlockArg::Value(exnref)));
            let label = self.label_block(depth);
            self.builder.ins().jump(label, &args);
            match next {
                Some(next) => self.builder.switch_to_block(next),
                None => return Ok(()),
            }
        }
        self.dispatch_outwards(region, exnref, exception);
        Ok(())
    }

    /// The exnref and the exception's address in a dispatch block.
    fn thrown(&self, dispatch: Block) -> Result<(Value, Value)> {
        match *self.builder.block_params(dispatch) {
            [exnref, exception, ..] => Ok((exnref, exception)),
            _ => validated(None, "an exception"),
        }
    }

    /// Goes on where the exception has this tag; gives the block for the others.
    fn branch_on_tag(&mut self, tag: TagIndex, exception: Value) -> Block {
        let flags = self.flags(Region::Exception);
        let found =
            self.builder.ins().load(types::I64, flags, exception, EXCEPTION_TAG.cast_signed());
        let expected = self.vmctx_constant(self.module.layout.tag(tag));
        let fits = self.builder.ins().icmp(IntCC::Equal, found, expected);
        let (hit, next) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(next);
        self.builder.ins().brif(fits, hit, &[], next, &[]);
        self.builder.seal_block(hit);
        self.builder.seal_block(next);
        self.builder.switch_to_block(hit);
        next
    }

    fn exception_values(&mut self, tag: TagIndex, exception: Value) -> Result<Vec<Value>> {
        let flags = self.flags(Region::Exception);
        let types = self.tag_type(tag)?.params.iter();
        let load = |(number, &ty): (usize, _)| {
            // At most a thousand values.
            let offset = EXCEPTION_VALUES + number as u32 * EXCEPTION_VALUE_BYTES;
            self.builder.ins().load(clif_type(ty), flags, exception, offset.cast_signed())
        };
        Ok(types.enumerate().map(load).collect())
    }

    /// Ends a dispatch that found no clause: there is a region around that catches, or the
    /// runtime would have passed by.
    fn dispatch_outwards(&mut self, region: u32, exnref: Value, exception: Value) {
        match self.exceptions.regions[region as usize].parent {
            Some(parent) => {
                let block = self.dispatch_block(parent);
                let args = [BlockArg::Value(exnref), BlockArg::Value(exception)];
                self.builder.ins().jump(block, &args);
            }
            None => self.trap(TrapCode::Unreachable),
        }
    }

    // The older operators.

    /// `try`.
    pub(crate) fn begin_legacy_try(&mut self, shape: BlockShape<'a>) -> Result {
        let region = self.open_region(Vec::new());
        self.push_frame(FrameKind::LegacyTry, shape)?;
        self.set_region(Some(region));
        Ok(())
    }

    /// `catch`, or `catch_all` without a tag.
    pub(crate) fn begin_catch(&mut self, tag: Option<u32>) -> Result {
        let depth = validated(self.frames.len().checked_sub(1), "an open block")?;
        self.leave_body(depth)?;
        let Some(part) = self.catch_part(depth)? else {
            // Nothing in the body throws.
            self.stack.truncate(self.frames[depth].height);
            return Ok(());
        };
        let tag = tag.map(TagIndex::from_u32);
        let clause = tag.map_or(Clause::All, Clause::Tag);
        self.exceptions.regions[part.region as usize].clauses.push(clause);
        let here = validated(part.next, "an exception that is not caught yet")?;
        self.builder.switch_to_block(here);
        self.stack.truncate(self.frames[depth].height);
        let mut next = None;
        if let Some(tag) = tag {
            next = Some(self.branch_on_tag(tag, part.exception));
            let values = self.exception_values(tag, part.exception)?;
            self.stack.extend(values);
        }
        self.frames[depth].kind = FrameKind::LegacyCatch(CatchPart { next, ..part });
        self.reachable = true;
        Ok(())
    }

    /// Turns to the next clause of an older `try`; `None`: nothing can be caught.
    fn catch_part(&mut self, depth: usize) -> Result<Option<CatchPart>> {
        if let FrameKind::LegacyCatch(part) = self.frames[depth].kind {
            return Ok(Some(part));
        }
        let region = validated(self.frames[depth].region, "a region")?;
        let Some(block) = self.exceptions.dispatch[region as usize] else { return Ok(None) };
        self.frames[depth].region = self.exceptions.regions[region as usize].parent;
        self.builder.seal_block(block);
        let (exnref, exception) = self.thrown(block)?;
        Ok(Some(CatchPart { region, exnref, exception, next: Some(block) }))
    }

    /// `end` of an older `try` with clauses.
    pub(super) fn end_catch(&mut self, depth: usize, part: CatchPart) -> Result {
        if let Some(next) = part.next {
            self.leave_body(depth)?;
            self.builder.switch_to_block(next);
            self.dispatch_outwards(part.region, part.exnref, part.exception);
            self.reachable = false;
        }
        self.end_plain(depth)
    }

    /// `delegate`: what the body throws is thrown inside of the labelled block.
    pub(crate) fn delegate(&mut self, label: u32) -> Result {
        let depth = validated(self.frames.len().checked_sub(1), "an open block")?;
        let target = validated(depth.checked_sub(label as usize + 1), "a label")?;
        let region = validated(self.frames[depth].region, "a region")?;
        self.exceptions.regions[region as usize].parent = self.frames[target].region;
        self.end()
    }
}

/// Where the results of a call are.
#[derive(Clone, Copy)]
pub(super) enum CallResults {
    Inst(cranelift_codegen::ir::Inst),
    Block(Block),
}
