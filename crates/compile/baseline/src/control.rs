//! Structured control.
//!
//! Where control flow meets, everything has a fixed place: pinned locals are in their registers,
//! stack entries below the block are constants or in their slots, and of the values that a label
//! takes the topmost is in rax or xmm0 and the others are in their slots. Labels of loops take
//! all values in slots. So no shuffles are needed where edges meet, and a branch costs moves only
//! for the values that it carries.

use crate::function::Gen;
use crate::places::Place;
use crate::state::{Cond, Loc, Ty, Value};
use crate::x86_64::{Alu, Cc, Gpr, Label, Mem, Size, Xmm};
use wasmoor_abi::{FuncType, TypeIndex, ValType};
use wasmparser::{BlockType, BrTable};

/// What opened a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The function.
    Body,
    Block,
    /// Its label is its head.
    Loop,
    /// `if`, before `else`; the false edge goes to this label.
    If(Label),
    /// `if`, after `else`.
    Else,
    /// `try_table`.
    Try,
    /// The older `try`, before its first `catch`.
    LegacyTry,
    /// The older `try` with this region, after a `catch`.
    LegacyCatch(u32),
}

/// A control operator whose `end` is still to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) kind: Kind,
    ty: BlockType,
    /// Entries on the stack below the parameters.
    pub(crate) height: usize,
    pub(crate) label: Label,
    /// Whether anything branches to the label.
    pub(crate) targeted: bool,
    /// The region of handlers that calls in the block are in.
    pub(crate) region: Option<u32>,
    /// Values that a branch to the label carries.
    arity: usize,
    /// The edge of the `br_table` that is being translated, and its operator.
    edge: Option<(u32, Label)>,
}

/// The one type of a block with a single result.
fn single(ty: wasmparser::ValType) -> &'static [ValType] {
    match crate::function::declared_type(ty) {
        Ty::I32 => &[ValType::I32],
        Ty::I64 => &[ValType::I64],
        Ty::F32 => &[ValType::F32],
        Ty::F64 => &[ValType::F64],
        Ty::V128 => &[ValType::V128],
    }
}

impl<'a> Gen<'a> {
    /// A type of the module.
    pub(crate) fn type_at(&self, index: u32) -> &'a FuncType {
        self.module.signature(TypeIndex::from_u32(index))
    }

    fn param_types(&self, ty: BlockType) -> &'a [ValType] {
        match ty {
            BlockType::Empty | BlockType::Type(_) => &[],
            BlockType::FuncType(index) => &self.type_at(index).params,
        }
    }

    fn result_types(&self, ty: BlockType) -> &'a [ValType] {
        match ty {
            BlockType::Empty => &[],
            BlockType::Type(ty) => single(ty),
            BlockType::FuncType(index) => &self.type_at(index).results,
        }
    }

    /// The function's own block.
    pub(crate) fn open_body(&mut self) {
        let index = self.module.functions[self.module.func_index(self.job.func)];
        let label = self.epilogue;
        self.blocks.push(Block {
            kind: Kind::Body,
            ty: BlockType::FuncType(index.as_u32()),
            height: 0,
            label,
            targeted: false,
            region: None,
            arity: self.ty.results.len(),
            edge: None,
        });
    }

    /// Opens a block; entries below its parameters are settled.
    pub(crate) fn open(&mut self, kind: Kind, ty: BlockType) {
        let params = self.param_types(ty).len();
        let height = self.top(params);
        self.settle_below(height);
        let arity = if kind == Kind::Loop { params } else { self.result_types(ty).len() };
        let label = self.asm.new_label();
        let (targeted, region) = (false, self.region());
        self.blocks.push(Block { kind, ty, height, label, targeted, region, arity, edge: None });
    }

    /// `block`.
    pub(crate) fn block(&mut self, ty: BlockType) {
        self.open(Kind::Block, ty);
    }

    /// `loop`.
    pub(crate) fn begin_loop(&mut self, ty: BlockType) {
        self.open(Kind::Loop, ty);
        self.settle_params();
        self.reload_pins();
        self.pins_met();
        if let Some(block) = self.blocks.last() {
            self.asm.bind(block.label);
        }
        self.mark();
        self.poll();
    }

    /// Puts the innermost block's parameters into their slots.
    fn settle_params(&mut self) {
        let Some(height) = self.blocks.last().map(|block| block.height) else { return };
        for at in height..self.stack.len() {
            self.settle_fully(at);
        }
        self.settled = self.settled.max(self.stack.len());
    }

    /// `if`.
    pub(crate) fn begin_if(&mut self, ty: BlockType) {
        let condition = self.pop();
        let otherwise = self.asm.new_label();
        // A condition in the flags survives: only moves follow.
        self.open(Kind::If(otherwise), ty);
        self.settle_params();
        let cond = self.test(condition);
        self.reload_pins();
        self.jump_if(cond.negate(), otherwise);
    }

    /// Brings a popped condition to the flags.
    fn test(&mut self, condition: Value) -> Cond {
        if let Loc::Cond(cond) = condition.loc {
            return cond;
        }
        match condition.loc {
            Loc::Slot(disp) => {
                self.asm.alu_imm(Alu::Cmp, Size::S32, Mem::new(Gpr::RBP, disp), 0);
            }
            _ => {
                let reg = self.use_gpr(condition);
                self.asm.test(Size::S32, reg, reg);
                self.release_gpr(reg);
            }
        }
        Cond::Is(Cc::NE)
    }

    /// Jumps if the condition holds.
    fn jump_if(&mut self, cond: Cond, label: Label) {
        match cond {
            Cond::Is(cc) => self.asm.jcc(cc, label),
            Cond::FloatEqual => {
                let unordered = self.asm.jcc_short(Cc::P);
                self.asm.jcc(Cc::E, label);
                self.asm.bind_short(unordered);
            }
            Cond::FloatDiffers => {
                self.asm.jcc(Cc::P, label);
                self.asm.jcc(Cc::NE, label);
            }
        }
    }

    /// `else`.
    pub(crate) fn begin_else(&mut self) {
        let Some(depth) = self.blocks.len().checked_sub(1) else { return self.bug("a block") };
        let Kind::If(otherwise) = self.blocks[depth].kind else { return self.bug("an `if`") };
        if self.reachable {
            self.branch(depth);
        }
        self.blocks[depth].kind = Kind::Else;
        self.asm.bind(otherwise);
        self.enter_with_params(depth);
        self.mark();
    }

    /// Goes on where the stack holds a block's parameters, all in their slots.
    fn enter_with_params(&mut self, depth: usize) {
        let Block { ty, height, .. } = self.blocks[depth];
        self.forget_above(height);
        for &ty in self.param_types(ty) {
            let disp = self.slot(self.stack.len());
            self.push(Value::new(Ty::of(ty), Loc::Slot(disp)));
        }
        self.pins_met();
        self.reachable = true;
    }

    /// Drops entries down to a block's height; nothing is in temporaries then.
    pub(crate) fn forget_above(&mut self, height: usize) {
        self.truncate(height);
        self.release_all();
    }

    /// `end`.
    pub(crate) fn end(&mut self) {
        let Some(depth) = self.blocks.len().checked_sub(1) else { return self.bug("a block") };
        let block = self.blocks[depth];
        match block.kind {
            Kind::Body => self.end_body(),
            Kind::Loop => {
                if !self.reachable {
                    self.forget_above(block.height);
                }
            }
            Kind::If(otherwise) => self.end_if(depth, otherwise),
            Kind::Block | Kind::Else | Kind::Try | Kind::LegacyTry | Kind::LegacyCatch(_) => {
                self.end_plain(depth);
            }
        }
        self.blocks.pop();
    }

    /// The function's end.
    fn end_body(&mut self) {
        if self.reachable {
            self.place_results();
            self.reachable = false;
        } else if !self.blocks.first().is_some_and(|body| body.targeted) {
            return;
        }
        self.asm.bind(self.epilogue);
        self.emit_epilogue();
    }

    /// `end` of an `if` without `else`, whose results are its parameters.
    fn end_if(&mut self, depth: usize, otherwise: Label) {
        if self.blocks[depth].arity == 0 {
            // The false edge leads right here.
            if self.reachable {
                self.reload_pins();
            }
            self.asm.bind(otherwise);
            let Block { height, label, .. } = self.blocks[depth];
            self.asm.bind(label);
            self.forget_above(height);
            self.pins_met();
            self.reachable = true;
            return;
        }
        if self.reachable {
            self.branch(depth);
        }
        self.asm.bind(otherwise);
        self.enter_with_params(depth);
        self.end_plain(depth);
    }

    fn end_plain(&mut self, depth: usize) {
        let Block { ty, height, label, targeted, .. } = self.blocks[depth];
        if !targeted {
            if !self.reachable {
                self.forget_above(height);
            }
            return;
        }
        if self.reachable {
            self.edge(depth);
        }
        self.asm.bind(label);
        self.forget_above(height);
        self.push_label_values(self.result_types(ty));
        self.pins_met();
        self.reachable = true;
    }

    /// Pushes what a label (of no loop) takes.
    fn push_label_values(&mut self, types: &[ValType]) {
        let Some((&last, others)) = types.split_last() else { return };
        for &ty in others {
            let disp = self.slot(self.stack.len());
            self.push(Value::new(Ty::of(ty), Loc::Slot(disp)));
        }
        let ty = Ty::of(last);
        if ty.is_int() {
            self.take_gpr(Gpr::RAX);
            self.push_gpr(ty, Gpr::RAX);
        } else {
            self.xmms.free &= !Xmm::XMM0.bit();
            self.push_xmm(ty, Xmm::XMM0);
        }
    }

    // Branches.

    /// Position in [`Gen::blocks`] of a label counted from the innermost.
    pub(crate) fn depth(&mut self, label: u32) -> usize {
        match self.blocks.len().checked_sub(label as usize + 1) {
            Some(depth) => depth,
            None => {
                self.bug("a label");
                0
            }
        }
    }

    /// `br`.
    pub(crate) fn br(&mut self, label: u32) {
        let depth = self.depth(label);
        self.branch(depth);
        self.reachable = false;
    }

    /// Moves the values that the label takes and jumps.
    pub(crate) fn branch(&mut self, depth: usize) {
        self.edge(depth);
        let Block { kind, label, .. } = self.blocks[depth];
        if kind == Kind::Body && self.roles.saved.count_ones() <= 2 {
            return self.emit_epilogue();
        }
        self.blocks[depth].targeted = true;
        self.asm.jmp(label);
    }

    /// Emits the moves of an edge to a block's label. The state stays as it is: on the edge,
    /// everything else is dead.
    fn edge(&mut self, depth: usize) {
        let Block { kind, height, arity, .. } = self.blocks[depth];
        if kind == Kind::Body {
            return self.place_results();
        }
        let first = self.top(arity);
        let in_slots = if kind == Kind::Loop { arity } else { arity.saturating_sub(1) };
        for number in 0..in_slots {
            // A slot below is free, or holds this very value: positions only sink.
            let value = self.stack[first + number];
            let disp = self.slot(height + number);
            if value.loc != Loc::Slot(disp) {
                self.copy_value(value, Mem::new(Gpr::RBP, disp));
            }
        }
        if in_slots < arity {
            self.place_values(first + in_slots, 1, |ty, _| Place::first(ty));
        }
        self.reload_pins_on_edge();
    }

    /// Whether an edge to the label needs no moves at all.
    fn is_plain_edge(&mut self, depth: usize) -> bool {
        let Block { kind, height, arity, .. } = self.blocks[depth];
        if kind == Kind::Body || self.has_stale_pins() {
            return false;
        }
        let first = self.top(arity);
        let in_slots = if kind == Kind::Loop { arity } else { arity.saturating_sub(1) };
        (0..arity).all(|number| match self.stack[first + number].loc {
            Loc::Slot(disp) => number < in_slots && disp == self.frame.slot(height + number),
            Loc::Gpr(reg) => number == in_slots && reg == Gpr::RAX,
            Loc::Xmm(reg) => number == in_slots && reg == Xmm::XMM0,
            _ => false,
        })
    }

    /// `br_if`.
    pub(crate) fn br_if(&mut self, label: u32) {
        let condition = self.pop();
        let cond = self.test(condition);
        self.branch_if(cond, label);
    }

    /// Branches if the flags say so.
    pub(crate) fn branch_if(&mut self, cond: Cond, label: u32) {
        let depth = self.depth(label);
        if self.blocks[depth].kind != Kind::Body {
            // Needed at the label and soon after; only moves, so the flags survive.
            self.reload_pins();
        }
        if self.is_plain_edge(depth) {
            self.blocks[depth].targeted = true;
            return self.jump_if(cond, self.blocks[depth].label);
        }
        let next = self.asm.new_label();
        self.jump_if(cond.negate(), next);
        self.branch(depth);
        self.asm.bind(next);
    }

    /// `br_table`: a jump through a table of distances. The index is clamped without a branch, so
    /// that speculation cannot leave the table.
    pub(crate) fn br_table(&mut self, targets: &BrTable<'_>) {
        let index = self.pop();
        let index = self.own_gpr(index);
        self.reload_pins();
        let count = targets.len();
        self.asm.mov_imm(Gpr::R11, u64::from(count));
        self.asm.alu(Alu::Cmp, Size::S32, index, Gpr::R11);
        self.asm.cmov(Cc::AE, Size::S32, index, Gpr::R11);
        let table = self.asm.new_label();
        self.asm.lea_label(Gpr::R11, table);
        self.asm.movsxd(index, Mem::scaled(Gpr::R11, index, 2));
        self.asm.alu(Alu::Add, Size::S64, index, Gpr::R11);
        self.asm.jmp_reg(index);
        self.release_gpr(index);
        self.asm.bind(table);
        let start = self.asm.here();
        let mut edges = Vec::new();
        for target in targets.targets() {
            match target {
                Ok(label) => self.table_entry(label, start, &mut edges),
                Err(_) => return self.bug("a label"),
            }
        }
        self.table_entry(targets.default(), start, &mut edges);
        for (depth, label) in edges {
            self.asm.bind(label);
            self.branch(depth);
        }
        self.reachable = false;
    }

    /// One entry: to the label itself, or to the edge that leads there.
    fn table_entry(&mut self, label: u32, table: u32, edges: &mut Vec<(usize, Label)>) {
        let depth = self.depth(label);
        if let Some((operator, edge)) = self.blocks[depth].edge
            && operator == self.offset
        {
            return self.asm.table_entry(table, edge);
        }
        let edge = if self.is_plain_edge(depth) {
            self.blocks[depth].targeted = true;
            self.blocks[depth].label
        } else {
            let edge = self.asm.new_label();
            edges.push((depth, edge));
            edge
        };
        self.blocks[depth].edge = Some((self.offset, edge));
        self.asm.table_entry(table, edge);
    }

    /// `return`.
    pub(crate) fn emit_return(&mut self) {
        self.branch(0);
        self.reachable = false;
    }
}
