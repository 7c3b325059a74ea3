//! Structured control as basic blocks.
//!
//! A label's block is made when something first branches to it: a `block` that nothing leaves
//! early costs no basic block. `if` without parameters and results branches to its label directly
//! until an `else` turns up.

use super::Translator;
use super::exception::CatchPart;
use crate::error::{Result, validated};
use crate::signature::clif_type;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, Inst, InstBuilder as _, JumpTableData, Value,
};
use std::collections::HashMap;
use wasmoor_abi::{FuncType, TypeIndex, ValType};

/// Parameters and results of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockShape<'a> {
    pub(crate) params: &'a [ValType],
    pub(crate) results: &'a [ValType],
}

impl<'a> BlockShape<'a> {
    /// The shape of a function's body: its parameters are locals.
    pub(crate) fn results(ty: &'a FuncType) -> Self {
        BlockShape { params: &[], results: &ty.results }
    }
}

/// What opened a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// The function.
    Body,
    /// `block`.
    Block,
    /// `loop`; its label is its head.
    Loop,
    /// `if`, before `else`. A second copy of the parameters lies on the stack, for `else`.
    If(Alternative),
    /// `if`, after `else`.
    Else,
    /// `try_table`.
    TryTable,
    /// The older `try`, before its first `catch`.
    LegacyTry,
    /// The older `try`, after a `catch`.
    LegacyCatch(CatchPart),
}

/// Where the false edge of an `if` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alternative {
    /// To the label, unless `else` redirects this branch.
    Label(Inst),
    /// To this block.
    Block(Block),
}

/// A control operator whose `end` is still to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: FrameKind,
    pub(crate) shape: BlockShape<'a>,
    /// Values on the stack below the parameters.
    pub(super) height: usize,
    /// The region of handlers that calls in the block are in.
    pub(super) region: Option<u32>,
    /// Where branches to the label go, once there is one.
    label: Option<Block>,
    /// Whether anything branches to the label.
    targeted: bool,
}

impl<'a> Frame<'a> {
    pub(crate) fn new(kind: FrameKind, shape: BlockShape<'a>, height: usize) -> Self {
        Frame { kind, shape, height, region: None, label: None, targeted: false }
    }

    /// Types that a branch to the label carries.
    fn label_types(&self) -> &'a [ValType] {
        if self.kind == FrameKind::Loop { self.shape.params } else { self.shape.results }
    }
}

/// The one type of a block with a single result.
fn single(ty: ValType) -> &'static [ValType] {
    match ty {
        ValType::I32 => &[ValType::I32],
        ValType::I64 => &[ValType::I64],
        ValType::F32 => &[ValType::F32],
        ValType::F64 => &[ValType::F64],
        ValType::V128 => &[ValType::V128],
        // All references are alike to the translator.
        ValType::Ref(_) => &[ValType::FUNCREF],
    }
}

impl<'a> Translator<'a> {
    /// Parameters and results that a block type stands for.
    pub(crate) fn block_shape(&self, ty: wasmparser::BlockType) -> Result<BlockShape<'a>> {
        Ok(match ty {
            wasmparser::BlockType::Empty => BlockShape { params: &[], results: &[] },
            wasmparser::BlockType::Type(ty) => {
                BlockShape { params: &[], results: single(super::value::plain(ty)) }
            }
            wasmparser::BlockType::FuncType(index) => {
                let ty = self.type_at(TypeIndex::from_u32(index))?;
                BlockShape { params: &ty.params, results: &ty.results }
            }
        })
    }

    pub(super) fn push_frame(&mut self, kind: FrameKind, shape: BlockShape<'a>) -> Result {
        let height = self.top(shape.params.len())?;
        let region = self.frames.last().and_then(|frame| frame.region);
        self.frames.push(Frame { region, ..Frame::new(kind, shape, height) });
        Ok(())
    }

    /// `block`.
    pub(crate) fn begin_block(&mut self, shape: BlockShape<'a>) -> Result {
        self.push_frame(FrameKind::Block, shape)
    }

    /// `loop`: a head that stays open for branches until the `end`.
    pub(crate) fn begin_loop(&mut self, shape: BlockShape<'a>) -> Result {
        self.push_frame(FrameKind::Loop, shape)?;
        let head = self.block_with_params(shape.params);
        self.jump(head, shape.params.len())?;
        if let Some(frame) = self.frames.last_mut() {
            frame.label = Some(head);
            self.stack.truncate(frame.height);
        }
        self.builder.switch_to_block(head);
        self.push_block_params(head);
        self.poll();
        Ok(())
    }

    /// `if`.
    pub(crate) fn begin_if(&mut self, condition: Value, shape: BlockShape<'a>) -> Result {
        self.push_frame(FrameKind::Block, shape)?;
        let then = self.builder.create_block();
        let direct = shape.params.is_empty() && shape.results.is_empty();
        let other = self.builder.create_block();
        let branch = self.builder.ins().brif(condition, then, &[], other, &[]);
        match self.branch_hint() {
            Some(false) => self.builder.set_cold_block(then),
            // A label may be reached otherwise too.
            Some(true) if !direct => self.builder.set_cold_block(other),
            _ => {}
        }
        self.builder.seal_block(then);
        let frame = validated(self.frames.last_mut(), "an open block")?;
        if direct {
            frame.kind = FrameKind::If(Alternative::Label(branch));
            frame.label = Some(other);
        } else {
            frame.kind = FrameKind::If(Alternative::Block(other));
            self.builder.seal_block(other);
        }
        let params = self.top(shape.params.len())?;
        self.stack.extend_from_within(params..);
        self.builder.switch_to_block(then);
        Ok(())
    }

    /// `else`.
    pub(crate) fn begin_else(&mut self) -> Result {
        let depth = validated(self.frames.len().checked_sub(1), "an open block")?;
        let frame = self.frames[depth];
        let FrameKind::If(alternative) = frame.kind else {
            return validated(None, "an `if` before `else`");
        };
        if self.reachable {
            self.branch(depth)?;
        }
        let block = match alternative {
            Alternative::Block(block) => block,
            Alternative::Label(branch) => self.redirect(branch, frame.label)?,
        };
        self.frames[depth].kind = FrameKind::Else;
        self.stack.truncate(frame.height + frame.shape.params.len());
        self.builder.switch_to_block(block);
        self.reachable = true;
        Ok(())
    }

    /// Makes the false edge of an `if` go to a new block.
    fn redirect(&mut self, branch: Inst, label: Option<Block>) -> Result<Block> {
        let label = validated(label, "the label of an `if`")?;
        let block = self.builder.create_block();
        self.builder.change_jump_destination(branch, label, block);
        self.builder.seal_block(block);
        Ok(block)
    }

    /// `end` of a reachable or unreachable block.
    pub(crate) fn end(&mut self) -> Result {
        let depth = validated(self.frames.len().checked_sub(1), "an open block")?;
        match self.frames[depth].kind {
            FrameKind::Loop => self.end_loop(depth)?,
            FrameKind::If(alternative) => self.end_if(depth, alternative)?,
            FrameKind::TryTable | FrameKind::LegacyTry => self.end_try(depth)?,
            FrameKind::LegacyCatch(part) => self.end_catch(depth, part)?,
            FrameKind::Body | FrameKind::Block | FrameKind::Else => self.end_plain(depth)?,
        }
        let frame = self.frames.pop();
        if self.reachable && frame.is_some_and(|frame| frame.kind == FrameKind::Body) {
            self.emit_return()?;
        }
        Ok(())
    }

    fn end_loop(&mut self, depth: usize) -> Result {
        let frame = self.frames[depth];
        self.builder.seal_block(validated(frame.label, "a loop's head")?);
        // What the body leaves lies where the results belong; nothing else leads here.
        if !self.reachable {
            self.stack.truncate(frame.height);
        }
        Ok(())
    }

    /// `end` of an `if` without `else`, whose results are its parameters.
    fn end_if(&mut self, depth: usize, alternative: Alternative) -> Result {
        match alternative {
            Alternative::Label(_) => self.frames[depth].targeted = true,
            Alternative::Block(block) => {
                if self.reachable {
                    self.branch(depth)?;
                }
                let frame = self.frames[depth];
                self.stack.truncate(frame.height + frame.shape.params.len());
                self.builder.switch_to_block(block);
                self.reachable = true;
            }
        }
        self.end_plain(depth)
    }

    pub(super) fn end_plain(&mut self, depth: usize) -> Result {
        if !self.frames[depth].targeted {
            self.end_untargeted(depth);
            return Ok(());
        }
        if self.reachable {
            self.branch(depth)?;
        }
        let frame = self.frames[depth];
        let label = validated(frame.label, "a label")?;
        self.stack.truncate(frame.height);
        self.builder.switch_to_block(label);
        self.builder.seal_block(label);
        self.push_block_params(label);
        self.reachable = true;
        Ok(())
    }

    /// `end` of a block that only falls through, if that: its results move over what an `if`
    /// kept of its parameters.
    fn end_untargeted(&mut self, depth: usize) {
        let frame = self.frames[depth];
        if self.reachable {
            let results = self.stack.len().saturating_sub(frame.shape.results.len());
            self.stack.drain(frame.height.min(results)..results);
        } else {
            self.stack.truncate(frame.height);
        }
    }

    /// `br` to a label counted from the innermost.
    pub(crate) fn br(&mut self, label: u32) -> Result {
        let depth = self.label_depth(label)?;
        self.branch(depth)?;
        self.reachable = false;
        Ok(())
    }

    /// `br_if`.
    pub(crate) fn br_if(&mut self, condition: Value, label: u32) -> Result {
        let depth = self.label_depth(label)?;
        let hint = self.branch_hint();
        let next = if hint == Some(false) {
            let next = self.builder.create_block();
            // The label may be reached otherwise too: only the way to it is cold.
            // What is converted for the label must be so on both ways.
            self.canonicalize_top(self.frames[depth].label_types().len())?;
            let way = self.builder.create_block();
            self.builder.set_cold_block(way);
            self.builder.ins().brif(condition, way, &[], next, &[]);
            self.builder.seal_block(way);
            self.builder.switch_to_block(way);
            self.branch(depth)?;
            next
        } else {
            let target = self.label_block(depth);
            let args = self.label_args(depth)?;
            let next = self.builder.create_block();
            self.builder.ins().brif(condition, target, &args, next, &[]);
            self.args = args;
            if hint == Some(true) {
                self.builder.set_cold_block(next);
            }
            next
        };
        self.builder.seal_block(next);
        self.builder.switch_to_block(next);
        Ok(())
    }

    /// `br_table`. Labels that carry values are reached through one block each, so that a table
    /// of thousands of entries makes few edges.
    pub(crate) fn br_table(&mut self, index: Value, targets: &wasmparser::BrTable<'_>) -> Result {
        let default = self.label_depth(targets.default())?;
        let mut depths = Vec::with_capacity(targets.len() as usize);
        for target in targets.targets() {
            depths.push(self.label_depth(target.map_err(super::malformed)?)?);
        }
        let carries = !self.frames[default].label_types().is_empty();
        let mut edges: HashMap<usize, Block> = HashMap::new();
        let mut order = Vec::new();
        let mut calls = Vec::with_capacity(depths.len());
        for depth in depths.into_iter().chain([default]) {
            let block = if carries {
                *edges.entry(depth).or_insert_with(|| {
                    let block = self.builder.create_block();
                    order.push((depth, block));
                    block
                })
            } else {
                self.label_block(depth)
            };
            let pool = &mut self.builder.func.dfg.value_lists;
            calls.push(BlockCall::new(block, [], pool));
        }
        let default = validated(calls.pop(), "a default label")?;
        let table = self.builder.create_jump_table(JumpTableData::new(default, &calls));
        self.builder.ins().br_table(index, table);
        for (depth, block) in order {
            self.builder.switch_to_block(block);
            self.builder.seal_block(block);
            self.branch(depth)?;
        }
        self.reachable = false;
        Ok(())
    }

    /// `return`.
    pub(crate) fn emit_return(&mut self) -> Result {
        let count = self.ty.results.len();
        self.canonicalize_top(count)?;
        let first = self.top(count)?;
        let values = self.store_area_results(first)?;
        self.builder.ins().return_(&values);
        self.values = values;
        self.reachable = false;
        Ok(())
    }

    /// Code that ends with a trap or a tail call.
    pub(crate) fn end_reachable(&mut self) {
        self.reachable = false;
    }

    /// Jumps to the label of the frame at this depth, with the values it takes.
    pub(super) fn branch(&mut self, depth: usize) -> Result {
        let target = self.label_block(depth);
        let count = self.frames[depth].label_types().len();
        self.jump(target, count)
    }

    /// Jumps with the topmost values, which stay on the stack.
    fn jump(&mut self, target: Block, count: usize) -> Result {
        let args = self.block_args(count)?;
        self.builder.ins().jump(target, &args);
        self.args = args;
        Ok(())
    }

    /// The values that a branch to this frame's label carries.
    fn label_args(&mut self, depth: usize) -> Result<Vec<BlockArg>> {
        self.block_args(self.frames[depth].label_types().len())
    }

    /// The topmost values as arguments, in the buffer [`Translator::args`].
    fn block_args(&mut self, count: usize) -> Result<Vec<BlockArg>> {
        self.canonicalize_top(count)?;
        let first = self.top(count)?;
        let mut args = std::mem::take(&mut self.args);
        args.clear();
        args.extend(self.stack[first..].iter().map(|&value| BlockArg::Value(value)));
        Ok(args)
    }

    /// Position in [`Translator::frames`] of a label counted from the innermost.
    pub(super) fn label_depth(&self, label: u32) -> Result<usize> {
        validated(self.frames.len().checked_sub(label as usize + 1), "a label")
    }

    /// The block of a label that something branches to.
    pub(super) fn label_block(&mut self, depth: usize) -> Block {
        self.frames[depth].targeted = true;
        if let Some(block) = self.frames[depth].label {
            return block;
        }
        let block = self.block_with_params(self.frames[depth].label_types());
        self.frames[depth].label = Some(block);
        block
    }

    fn block_with_params(&mut self, params: &[ValType]) -> Block {
        let block = self.builder.create_block();
        for &param in params {
            self.builder.append_block_param(block, clif_type(param));
        }
        block
    }

    fn push_block_params(&mut self, block: Block) {
        self.stack.extend_from_slice(self.builder.block_params(block));
    }

    /// A block for what hardly ever happens, entered if the condition does not hold, and the
    /// block where both ways meet, with one parameter of the condition's making.
    pub(crate) fn unless(&mut self, condition: Value, value: Value) -> Unlikely {
        let cold = self.builder.create_block();
        let next = self.builder.create_block();
        let ty = self.type_of(value);
        let result = self.builder.append_block_param(next, ty);
        self.builder.set_cold_block(cold);
        self.builder.ins().brif(condition, next, &[BlockArg::Value(value)], cold, &[]);
        self.builder.seal_block(cold);
        self.builder.switch_to_block(cold);
        Unlikely { next, result }
    }

    /// Ends the unlikely way with its value and goes on where both ways meet.
    pub(crate) fn rejoin(&mut self, unlikely: Unlikely, value: Value) -> Value {
        self.builder.ins().jump(unlikely.next, &[BlockArg::Value(value)]);
        self.builder.switch_to_block(unlikely.next);
        self.builder.seal_block(unlikely.next);
        unlikely.result
    }
}

/// Where a likely and an unlikely way meet.
#[must_use]
pub(crate) struct Unlikely {
    pub(crate) next: Block,
    result: Value,
}
