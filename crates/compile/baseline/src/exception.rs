//! Exceptions: throwing, and going on where something was thrown.
//!
//! Before a call inside a `try`, every pinned local is stored to its home, so that the code that
//! catches needs nothing but the frame. That code, the *landing* of each region that something in
//! it may throw into, stands behind the function's ordinary code:
//!
//! ```text
//! landing:   r11 = rdx, the exception's address;  vmctx from its home
//! dispatch:  [r11] = tag of the first clause ?  values from r11 to where the label takes them,
//!                                               pins from their homes, to the label
//!            and so on for all clauses; else to the dispatch of the region around
//! ```
//!
//! The clauses of the older `try` are labels of their own. On the stack of such a clause, below
//! the values that it caught, lies the exnref, for `rethrow`.

use crate::call::{Arg, as_float};
use crate::control::{Block, Kind};
use crate::frame;
use crate::function::{Gen, PARAM_GPRS};
use crate::places::RESULT_GPRS;
use crate::state::{Loc, Ty, Value, load_op, store_op};
use crate::x86_64::{Alu, Cc, Gpr, Label, Mem, Size, Xmm};
use std::sync::Arc;
use wasmoor_abi::call::ResultPlace;
use wasmoor_abi::handlers::{Clause, HandlerRegion, HandlerSite, HandlerTable};
use wasmoor_abi::vmctx::{
    EXCEPTION_HANDLE, EXCEPTION_TAG, EXCEPTION_VALUE_BYTES, EXCEPTION_VALUES, VMCTX_LIBCALLS,
};
use wasmoor_abi::{Libcall, TagIndex, TrapCode, ValType};
use wasmparser::{BlockType, Catch, TryTable};

/// Holds the exception's address in a landing.
const EXCEPTION: Gpr = Gpr::R11;

/// The exceptions of one function.
#[derive(Debug, Default)]
pub(crate) struct Exceptions {
    regions: Vec<Region>,
    sites: Vec<Site>,
}

/// A `try`.
#[derive(Debug)]
struct Region {
    parent: Option<u32>,
    clauses: Vec<Target>,
    /// Where the runtime lands.
    landing: Label,
    /// Where an inner region goes on.
    dispatch: Label,
    /// Whether something lands here.
    is_landed: bool,
    /// Whether something lands or goes on here.
    is_used: bool,
    /// Where in the module it begins.
    offset: u32,
}

/// A clause and where it leads.
#[derive(Clone, Copy, Debug)]
struct Target {
    clause: Clause,
    with_ref: bool,
    to: To,
}

#[derive(Clone, Copy, Debug)]
enum To {
    /// The label of a block around.
    Block(Block),
    /// A clause of an older `try`: its label, and where its stack begins.
    Clause { label: Label, height: usize },
}

/// A call inside a region.
#[derive(Clone, Copy, Debug)]
struct Site {
    return_offset: u32,
    region: u32,
}

impl Exceptions {
    pub(crate) fn clear(&mut self) {
        self.regions.clear();
        self.sites.clear();
    }
}

impl<'a> Gen<'a> {
    /// The region that calls here are in.
    pub(crate) fn region(&self) -> Option<u32> {
        self.blocks.last().and_then(|block| block.region)
    }

    /// Takes note of a call that has just been emitted.
    pub(crate) fn note_site(&mut self) {
        if let Some(region) = self.region() {
            let return_offset = self.asm.here();
            self.exceptions.sites.push(Site { return_offset, region });
            let region = &mut self.exceptions.regions[region as usize];
            region.is_landed = true;
            region.is_used = true;
        }
    }

    fn open_region(&mut self, clauses: Vec<Target>) -> u32 {
        let (landing, dispatch) = (self.asm.new_label(), self.asm.new_label());
        // A body has fewer regions than bytes.
        let number = self.exceptions.regions.len() as u32;
        self.exceptions.regions.push(Region {
            parent: self.region(),
            clauses,
            landing,
            dispatch,
            is_landed: false,
            is_used: false,
            offset: self.offset,
        });
        number
    }

    fn set_region(&mut self, region: Option<u32>) {
        if let Some(block) = self.blocks.last_mut() {
            block.region = region;
        }
    }

    fn tag_params(&self, tag: TagIndex) -> &'a [ValType] {
        &self.module.tag_type(tag).params
    }

    // Operators.

    /// `try_table`.
    pub(crate) fn begin_try_table(&mut self, table: &TryTable) {
        let mut clauses = Vec::with_capacity(table.catches.len());
        for clause in &table.catches {
            let (tag, with_ref, label) = match *clause {
                Catch::One { tag, label } => (Some(tag), false, label),
                Catch::OneRef { tag, label } => (Some(tag), true, label),
                Catch::All { label } => (None, false, label),
                Catch::AllRef { label } => (None, true, label),
            };
            let clause = tag.map_or(Clause::All, |tag| Clause::Tag(TagIndex::from_u32(tag)));
            let depth = self.depth(label);
            self.blocks[depth].targeted = true;
            clauses.push(Target { clause, with_ref, to: To::Block(self.blocks[depth]) });
            if clause == Clause::All {
                break;
            }
        }
        let region = self.open_region(clauses);
        self.open(Kind::Try, table.ty);
        self.set_region(Some(region));
    }

    /// `try`.
    pub(crate) fn begin_legacy_try(&mut self, ty: BlockType) {
        let region = self.open_region(Vec::new());
        self.open(Kind::LegacyTry, ty);
        self.set_region(Some(region));
    }

    /// `catch`, or `catch_all` without a tag.
    pub(crate) fn begin_catch(&mut self, tag: Option<u32>) {
        let Some(depth) = self.blocks.len().checked_sub(1) else { return self.bug("a block") };
        if self.reachable {
            self.branch(depth);
        }
        let region = match self.blocks[depth].kind {
            Kind::LegacyTry => self.blocks[depth].region,
            Kind::LegacyCatch(region) => Some(region),
            _ => None,
        };
        let Some(region) = region else { return self.bug("a `try`") };
        let label = self.asm.new_label();
        let height = self.blocks[depth].height;
        let tag = tag.map(TagIndex::from_u32);
        let (outer, clauses) = {
            let region = &mut self.exceptions.regions[region as usize];
            (region.parent, &mut region.clauses)
        };
        let clause = tag.map_or(Clause::All, Clause::Tag);
        clauses.push(Target { clause, with_ref: false, to: To::Clause { label, height } });
        let block = &mut self.blocks[depth];
        block.kind = Kind::LegacyCatch(region);
        block.region = outer;
        // So that the exnref is not taken for a result.
        block.targeted = true;
        self.asm.bind(label);
        self.forget_above(height);
        self.push_slot(Ty::I64);
        for &ty in tag.map_or(&[][..], |tag| self.tag_params(tag)) {
            self.push_slot(Ty::of(ty));
        }
        self.pins_met();
        self.reachable = true;
        self.mark();
    }

    /// Pushes a value that is in its slot.
    fn push_slot(&mut self, ty: Ty) {
        let disp = self.slot(self.stack.len());
        self.push(Value::new(ty, Loc::Slot(disp)));
    }

    /// `delegate`: what the body throws is thrown inside of the labelled block.
    pub(crate) fn delegate(&mut self, label: u32) {
        let depth = self.blocks.len().checked_sub(1);
        let target = depth.and_then(|depth| depth.checked_sub(label as usize + 1));
        let (Some(region), Some(target)) = (self.region(), target) else {
            return self.bug("a label");
        };
        self.exceptions.regions[region as usize].parent = self.blocks[target].region;
        self.end();
    }

    /// `throw`.
    pub(crate) fn throw(&mut self, tag: u32) {
        self.mark();
        let count = self.tag_params(TagIndex::from_u32(tag)).len();
        let first = self.top(count);
        self.leave_pins_home();
        // At most a thousand values.
        self.frame.reserve_outgoing(count as u32 * EXCEPTION_VALUE_BYTES);
        for number in 0..count {
            let at = number as i32 * EXCEPTION_VALUE_BYTES.cast_signed();
            self.copy_value(self.stack[first + number], Mem::new(Gpr::RSP, at));
        }
        self.asm.mov_imm(PARAM_GPRS[1], u64::from(tag));
        self.asm.lea(Size::S64, PARAM_GPRS[2], Mem::new(Gpr::RSP, 0));
        self.call_to_throw(Libcall::throw);
    }

    /// `throw_ref`.
    pub(crate) fn throw_ref(&mut self) {
        let exnref = self.pop();
        self.throw_value(exnref);
    }

    /// `rethrow`.
    pub(crate) fn rethrow(&mut self, label: u32) {
        let depth = self.depth(label);
        let height = self.blocks[depth].height;
        let disp = self.slot(height);
        self.throw_value(Value::new(Ty::I64, Loc::Slot(disp)));
    }

    fn throw_value(&mut self, exnref: Value) {
        self.mark();
        self.leave_pins_home();
        self.place_libcall_args(&[Arg::Value(exnref)]);
        self.call_to_throw(Libcall::throw_ref);
    }

    /// Calls a libcall that does not return; its arguments are in place.
    fn call_to_throw(&mut self, libcall: Libcall) {
        self.asm.mov(Size::S64, PARAM_GPRS[0], self.roles.vmctx);
        self.asm.mov(Size::S64, Gpr::R11, self.vmctx_field(VMCTX_LIBCALLS));
        self.asm.call_mem(Mem::new(Gpr::R11, libcall.table_offset().cast_signed()));
        self.note_site();
        self.asm.trap(TrapCode::Unreachable);
        self.reachable = false;
    }

    // Landings.

    /// Emits the landings, inner regions first: they tell which outer ones are needed.
    pub(crate) fn emit_landings(&mut self) {
        for number in (0..self.exceptions.regions.len()).rev() {
            if self.exceptions.regions[number].is_used {
                self.emit_landing(number);
            }
        }
    }

    fn emit_landing(&mut self, number: usize) {
        let region = &mut self.exceptions.regions[number];
        let clauses = std::mem::take(&mut region.clauses);
        let (landing, dispatch, parent) = (region.landing, region.dispatch, region.parent);
        let (is_landed, offset) = (region.is_landed, region.offset);
        self.mark_offset(offset);
        if is_landed {
            self.asm.bind(landing);
            self.asm.mov(Size::S64, EXCEPTION, Gpr::RDX);
            if let Some(home) = self.frame.caught_vmctx {
                self.asm.mov(Size::S64, self.roles.vmctx, frame::at(home));
            }
        }
        self.asm.bind(dispatch);
        for &Target { clause, with_ref, to } in &clauses {
            let next = match clause {
                Clause::Tag(tag) => Some(self.branch_unless_tag(tag)),
                Clause::All => None,
            };
            let params = match clause {
                Clause::Tag(tag) => self.tag_params(tag),
                Clause::All => &[],
            };
            self.caught_edge(params, with_ref, to);
            if let Some(next) = next {
                self.asm.bind(next);
            }
        }
        self.exceptions.regions[number].clauses = clauses;
        match parent {
            Some(parent) => {
                let parent = &mut self.exceptions.regions[parent as usize];
                parent.is_used = true;
                let label = parent.dispatch;
                self.asm.jmp(label);
            }
            // The runtime would have passed by.
            None => self.asm.trap(TrapCode::Unreachable),
        }
    }

    /// Goes to the label that is given back if the exception is of another tag.
    fn branch_unless_tag(&mut self, tag: TagIndex) -> Label {
        let next = self.asm.new_label();
        let at = self.module.layout.tag(tag);
        self.asm.mov(Size::S64, Gpr::RAX, self.vmctx_field(at));
        let found = Mem::new(EXCEPTION, EXCEPTION_TAG.cast_signed());
        self.asm.alu(Alu::Cmp, Size::S64, Gpr::RAX, found);
        self.asm.jcc(Cc::NE, next);
        next
    }

    /// Brings what was caught to where a clause takes it, and goes there.
    fn caught_edge(&mut self, params: &[ValType], with_ref: bool, to: To) {
        let count = params.len() + usize::from(with_ref);
        match to {
            To::Block(Block { kind: Kind::Body, .. }) => {
                self.return_caught(params);
                self.emit_epilogue();
            }
            To::Block(Block { kind, height, label, .. }) => {
                let in_slots = if kind == Kind::Loop { count } else { count.saturating_sub(1) };
                for number in 0..in_slots {
                    self.caught_to_slot(caught(params, number), height + number);
                }
                if in_slots < count {
                    let (ty, from) = caught(params, in_slots);
                    self.caught_to_first(ty, from);
                }
                self.resume_at(label);
            }
            To::Clause { label, height } => {
                let exnref = Mem::new(EXCEPTION, EXCEPTION_HANDLE.cast_signed());
                self.caught_to_slot((Ty::I64, exnref), height);
                for number in 0..params.len() {
                    self.caught_to_slot(caught(params, number), height + 1 + number);
                }
                self.resume_at(label);
            }
        }
    }

    fn caught_to_slot(&mut self, (ty, from): (Ty, Mem), position: usize) {
        let disp = self.slot(position);
        self.copy_caught(ty, from, frame::at(disp));
    }

    fn copy_caught(&mut self, ty: Ty, from: Mem, to: Mem) {
        let bits = as_float(ty);
        self.asm.xx(load_op(bits), Xmm::XMM15, from);
        self.asm.xx(store_op(bits), Xmm::XMM15, to);
    }

    /// To the register of a label's topmost value.
    fn caught_to_first(&mut self, ty: Ty, from: Mem) {
        if ty.is_int() {
            self.asm.mov(ty.size(), Gpr::RAX, from);
        } else {
            self.asm.xx(load_op(ty), Xmm::XMM0, from);
        }
    }

    /// Goes on at a label, where all pins are in their registers.
    fn resume_at(&mut self, label: Label) {
        self.reload_all_pins();
        self.load_membase();
        self.asm.jmp(label);
    }

    /// Moves what was caught to where the function's caller takes its results.
    fn return_caught(&mut self, params: &[ValType]) {
        let shape = Arc::clone(&self.shape);
        if let Some(area) = self.frame.area {
            self.asm.mov(Size::S64, Gpr::RAX, frame::at(area));
            for (number, &place) in shape.results.iter().enumerate() {
                if let ResultPlace::Area(offset) = place {
                    let (ty, from) = caught(params, number);
                    self.copy_caught(ty, from, Mem::new(Gpr::RAX, offset.cast_signed()));
                }
            }
        }
        for (number, &place) in shape.results.iter().enumerate() {
            let (ty, from) = caught(params, number);
            match place {
                ResultPlace::Gpr(at) => {
                    self.asm.mov(ty.size(), RESULT_GPRS[usize::from(at)], from);
                }
                ResultPlace::Fpr(at) => self.asm.xx(load_op(ty), Xmm(at), from),
                ResultPlace::Area(_) => {}
            }
        }
    }

    /// The handler table; labels are bound.
    pub(crate) fn handler_table(&self) -> HandlerTable {
        let Exceptions { regions, sites } = &self.exceptions;
        if sites.is_empty() {
            return HandlerTable::default();
        }
        let site = |site: &Site| HandlerSite {
            return_offset: site.return_offset,
            landing_offset: self.asm.position(regions[site.region as usize].landing),
            frame_bytes: self.frame.bytes(),
            region: site.region,
        };
        let region = |region: &Region| HandlerRegion {
            parent: region.parent,
            clauses: region.clauses.iter().map(|target| target.clause).collect(),
        };
        HandlerTable {
            vmctx_below_fp: self.frame.caught_vmctx.map_or(0, i32::unsigned_abs),
            sites: sites.iter().map(site).collect(),
            regions: regions.iter().map(region).collect(),
        }
    }
}

/// Type and place of what a clause gives: the tag's values, then the exnref.
fn caught(params: &[ValType], number: usize) -> (Ty, Mem) {
    match params.get(number) {
        None => (Ty::I64, Mem::new(EXCEPTION, EXCEPTION_HANDLE.cast_signed())),
        Some(&ty) => {
            // At most a thousand values.
            let at = EXCEPTION_VALUES + number as u32 * EXCEPTION_VALUE_BYTES;
            (Ty::of(ty), Mem::new(EXCEPTION, at.cast_signed()))
        }
    }
}
