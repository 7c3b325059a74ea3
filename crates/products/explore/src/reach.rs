//! Which bytes of a function's code are instructions: found by following control flow.
//!
//! Jump tables lie between instructions and constants behind them, and nothing in the code says
//! so. Decoding begins at the entry and at every place that a table of the compiler names, and
//! goes on where control can go. A jump through a register is taken for one through the table
//! whose address was loaded before it; the table ends at the first instruction or target behind.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind};
use std::collections::{BTreeMap, BTreeSet};

/// Instructions between the load of a table's address and the jump.
const TABLE_DISTANCE_MAX: usize = 12;

/// What the bytes of a function's code are.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    /// Instructions by offset.
    pub(crate) instructions: BTreeMap<u32, Instruction>,
    /// Targets of jumps.
    pub(crate) targets: BTreeSet<u32>,
    /// Jump tables by offset, with the targets of their entries.
    pub(crate) tables: BTreeMap<u32, Vec<u32>>,
}

/// Decodes what can be reached from these offsets.
pub(crate) fn reach(code: &[u8], seeds: impl IntoIterator<Item = u32>) -> Reached {
    let mut walk =
        Walk { code, reached: Reached::default(), waiting: Vec::new(), jumps: Vec::new() };
    walk.waiting.extend(seeds);
    loop {
        while let Some(at) = walk.waiting.pop() {
            walk.follow(at);
        }
        // One at a time: what a table leads to may be what bounds the next one.
        match walk.jumps.pop() {
            Some(jump) => walk.table_of(jump),
            None => return walk.reached,
        }
    }
}

struct Walk<'a> {
    code: &'a [u8],
    reached: Reached,
    waiting: Vec<u32>,
    /// Jumps through registers whose tables are not read yet.
    jumps: Vec<u32>,
}

impl Walk<'_> {
    /// Decodes on until control cannot go on, or to what is known.
    fn follow(&mut self, mut at: u32) {
        while (at as usize) < self.code.len() && !self.reached.instructions.contains_key(&at) {
            let bytes = &self.code[at as usize..];
            let mut decoder = Decoder::with_ip(64, bytes, u64::from(at), DecoderOptions::NONE);
            let instruction = decoder.decode();
            if instruction.is_invalid() {
                return;
            }
            self.reached.instructions.insert(at, instruction);
            match instruction.flow_control() {
                FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => {}
                FlowControl::ConditionalBranch => self.target(&instruction),
                FlowControl::UnconditionalBranch => return self.target(&instruction),
                FlowControl::IndirectBranch => return self.jumps.push(at),
                _ => return,
            }
            at = instruction.next_ip() as u32;
        }
    }

    fn target(&mut self, jump: &Instruction) {
        let is_near = matches!(jump.op0_kind(), OpKind::NearBranch64);
        if is_near && jump.near_branch64() < self.code.len() as u64 {
            let target = jump.near_branch64() as u32;
            self.reached.targets.insert(target);
            self.waiting.push(target);
        }
    }

    fn table_of(&mut self, jump: u32) {
        let before = self.reached.instructions.range(..jump).rev().take(TABLE_DISTANCE_MAX);
        let mut addresses = before.filter_map(|(_, instruction)| table_address(instruction));
        let Some(table) = addresses.find(|&at| (at as usize) < self.code.len()) else { return };
        let behind = self.reached.instructions.range(table..).next();
        let mut end = behind.map_or(self.code.len() as u32, |(&at, _)| at);
        let mut targets = Vec::new();
        let mut at = table;
        while at + 4 <= end {
            let Some(entry) = self.code.get(at as usize..).and_then(|rest| rest.first_chunk())
            else {
                break;
            };
            let target = i64::from(table) + i64::from(i32::from_le_bytes(*entry));
            if !(0..self.code.len() as i64).contains(&target) {
                break;
            }
            let target = target as u32;
            if target > table {
                end = end.min(target);
            }
            targets.push(target);
            at += 4;
        }
        self.reached.targets.extend(&targets);
        self.waiting.extend(&targets);
        self.reached.tables.insert(table, targets);
    }
}

/// The address that a `lea` relative to the instruction loads.
fn table_address(instruction: &Instruction) -> Option<u32> {
    let is_lea = instruction.mnemonic() == Mnemonic::Lea && instruction.code() != Code::INVALID;
    (is_lea && instruction.is_ip_rel_memory_operand())
        .then(|| instruction.ip_rel_memory_address() as u32)
}
