//! Machine code as text: instructions with labels, the operators they belong to, and notes.

use crate::operators::Operator;
use crate::reach::{Reached, reach};
use crate::{notes, printable};
use iced_x86::{
    FlowControl, Formatter, Instruction, IntelFormatter, OpKind, SymbolResolver, SymbolResult,
};
use std::collections::{BTreeMap, HashMap};
use wasmoor_abi::tables::AddressEntry;
use wasmoor_codegen::{CompiledFunction, RelocationTarget};
use wasmoor_module::Module;

/// The code of one function.
#[derive(Debug, Default)]
pub struct Machine {
    /// Bytes of code, constants included.
    pub bytes: usize,
    /// Its lines, by offset.
    pub lines: Vec<Line>,
    by_operator: HashMap<Option<u32>, Vec<usize>>,
}

impl Machine {
    fn new(bytes: usize, mut lines: Vec<Line>) -> Self {
        lines.sort_by_key(|line| line.offset);
        let mut by_operator: HashMap<_, Vec<usize>> = HashMap::new();
        for (at, line) in lines.iter().enumerate() {
            by_operator.entry(line.operator).or_default().push(at);
        }
        Machine { bytes, lines, by_operator }
    }

    /// What the operator at this offset became; `None`: lines of no operator.
    pub fn of_operator(&self, operator: Option<u32>) -> impl Iterator<Item = &Line> {
        let lines = self.by_operator.get(&operator).into_iter().flatten();
        lines.filter_map(|&at| self.lines.get(at))
    }
}

/// An instruction, a jump table or a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Offset in the function's code.
    pub offset: u32,
    /// The label that jumps or addresses elsewhere in the function refer to.
    pub label: Option<String>,
    /// The instruction.
    pub text: String,
    /// Offset in the module of the operator that it belongs to. `None`: prologue, moves between
    /// blocks, constants.
    pub operator: Option<u32>,
    /// Traps, polls, callees.
    pub notes: Vec<String>,
}

/// Addresses that stand for slots until code is linked: behind any code, 8 bytes each.
const SLOTS: u64 = 0x4000_0000;
/// Addresses that stand for functions called directly.
const FUNCS: u64 = 0x6000_0000;

/// Decodes and annotates.
#[must_use]
pub fn read(module: &Module, operators: &[Operator], compiled: &CompiledFunction) -> Machine {
    let mut code = compiled.code.clone();
    let names = stand_ins(module, compiled, &mut code);
    let traps = compiled.traps.iter().map(|trap| trap.code_offset);
    let named = compiled.addresses.iter().filter(|entry| entry.wasm_offset != AddressEntry::NONE);
    let seeds = traps.chain(named.map(|entry| entry.code_offset)).chain([0]);
    let reached = reach(&code, seeds);
    let constants = constants(&reached, code.len());
    let labels = labels(&reached, &constants);
    let shown = Names { labels: labels.clone(), others: names };
    let context = Context { module, operators, compiled, reached: &reached, labels: &labels };
    let mut lines = context.instructions(formatter(shown));
    lines.extend(context.tables());
    lines.extend(context.constants(&constants, &code));
    Machine::new(code.len(), lines)
}

/// Fills the fields that linking would fill with stand-ins for what they refer to; gives the
/// stand-ins' names.
fn stand_ins(
    module: &Module,
    compiled: &CompiledFunction,
    code: &mut [u8],
) -> HashMap<u64, String> {
    let mut names = HashMap::new();
    for relocation in &compiled.relocations {
        let (base, func, what) = match relocation.target {
            RelocationTarget::Slot(func) => (SLOTS, func, "slot of "),
            RelocationTarget::Func(func) => (FUNCS, func, ""),
        };
        let address = base + 8 * u64::from(func.as_u32());
        let name = module.func_display_name(module.func_index(func));
        names.insert(address, format!("{what}{}", printable(&name)));
        let at = relocation.offset as usize;
        if let Some(field) = code.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
            let distance = (address as i64 + relocation.addend - at as i64) as i32;
            *field = distance.to_le_bytes();
        }
    }
    names
}

/// Constants that instructions refer to: offset and size in bytes.
fn constants(reached: &Reached, code_len: usize) -> BTreeMap<u32, usize> {
    let mut constants = BTreeMap::new();
    for instruction in reached.instructions.values() {
        if !instruction.is_ip_rel_memory_operand() {
            continue;
        }
        let at = instruction.ip_rel_memory_address();
        let size = instruction.memory_size().size();
        let is_known = reached.instructions.contains_key(&(at as u32))
            || reached.tables.contains_key(&(at as u32));
        if size > 0 && !is_known && at.saturating_add(size as u64) <= code_len as u64 {
            let known = constants.entry(at as u32).or_insert(size);
            *known = size.max(*known);
        }
    }
    constants
}

/// Names of targets, tables and constants, in the order of the code.
fn labels(reached: &Reached, constants: &BTreeMap<u32, usize>) -> HashMap<u32, String> {
    let numbered = |letter: &'static str| move |(number, at)| (at, format!("{letter}{number}"));
    let targets = reached.targets.iter().copied().enumerate().map(numbered("L"));
    let tables = reached.tables.keys().copied().enumerate().map(numbered("T"));
    let constants = constants.keys().copied().enumerate().map(numbered("C"));
    targets.chain(tables).chain(constants).collect()
}

/// Names for addresses in operands.
struct Names {
    labels: HashMap<u32, String>,
    others: HashMap<u64, String>,
}

impl SymbolResolver for Names {
    fn symbol(
        &mut self,
        instruction: &Instruction,
        _: u32,
        operand: Option<u32>,
        address: u64,
        _: u32,
    ) -> Option<SymbolResult<'_>> {
        // Other numbers may look like offsets in the code, too.
        let is_place = match instruction.op_kind(operand?) {
            OpKind::NearBranch64 => true,
            OpKind::Memory => instruction.is_ip_rel_memory_operand(),
            _ => false,
        };
        if !is_place {
            return None;
        }
        let label = u32::try_from(address).ok().and_then(|at| self.labels.get(&at));
        let name = self.others.get(&address).or(label)?;
        Some(SymbolResult::with_str(address, name))
    }
}

fn formatter(names: Names) -> IntelFormatter {
    let mut formatter = IntelFormatter::with_options(Some(Box::new(names)), None);
    let options = formatter.options_mut();
    options.set_space_after_operand_separator(true);
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_branch_leading_zeros(false);
    options.set_rip_relative_addresses(true);
    formatter
}

struct Context<'a> {
    module: &'a Module,
    operators: &'a [Operator],
    compiled: &'a CompiledFunction,
    reached: &'a Reached,
    labels: &'a HashMap<u32, String>,
}

impl Context<'_> {
    fn instructions(&self, mut formatter: IntelFormatter) -> Vec<Line> {
        let mut places = Places { entries: &self.compiled.addresses, at: 0 };
        let instructions = self.reached.instructions.iter();
        instructions
            .map(|(&offset, instruction)| {
                let mut text = String::new();
                formatter.format(instruction, &mut text);
                let operator = places.of(offset);
                let notes = self.notes(instruction, operator);
                Line { offset, label: self.label(offset), text, operator, notes }
            })
            .collect()
    }

    fn notes(&self, instruction: &Instruction, operator: Option<u32>) -> Vec<String> {
        let offset = instruction.ip32();
        let traps = &self.compiled.traps;
        let first = traps.partition_point(|trap| trap.code_offset < offset);
        let here = traps[first..].iter().take_while(|trap| trap.code_offset == offset);
        let mut notes: Vec<String> = here.map(|trap| notes::of_fault(trap.kind)).collect();
        let is_call = matches!(
            instruction.flow_control(),
            FlowControl::IndirectCall | FlowControl::IndirectBranch
        );
        // An operand that names its slot says it already.
        if is_call && !instruction.is_ip_rel_memory_operand() {
            let operator = operator.and_then(|at| find(self.operators, at));
            let instructions = &self.reached.instructions;
            notes.extend(notes::of_call(self.module, operator, instructions, instruction));
        }
        notes
    }

    fn label(&self, offset: u32) -> Option<String> {
        self.labels.get(&offset).cloned()
    }

    fn tables(&self) -> impl Iterator<Item = Line> {
        let mut places = Places { entries: &self.compiled.addresses, at: 0 };
        self.reached.tables.iter().map(move |(&offset, targets)| {
            let names = targets.iter().filter_map(|target| self.label(*target));
            let text = format!("table {}", names.collect::<Vec<_>>().join(", "));
            let operator = places.of(offset);
            Line { offset, label: self.label(offset), text, operator, notes: Vec::new() }
        })
    }

    fn constants(&self, constants: &BTreeMap<u32, usize>, code: &[u8]) -> Vec<Line> {
        let constants = constants.iter().map(|(&offset, &size)| {
            let bytes = code[offset as usize..].iter().take(size).rev();
            let hex: String = bytes.map(|byte| format!("{byte:02x}")).collect();
            let text = format!("constant 0x{hex}");
            Line { offset, label: self.label(offset), text, operator: None, notes: Vec::new() }
        });
        constants.collect()
    }
}

/// The operator at this offset of the module.
fn find(operators: &[Operator], offset: u32) -> Option<&Operator> {
    let at = operators.binary_search_by_key(&offset, |operator| operator.offset).ok()?;
    operators.get(at)
}

/// Looks up offsets that only grow.
struct Places<'a> {
    entries: &'a [AddressEntry],
    at: usize,
}

impl Places<'_> {
    fn of(&mut self, offset: u32) -> Option<u32> {
        while self.entries.get(self.at + 1).is_some_and(|next| next.code_offset <= offset) {
            self.at += 1;
        }
        let entry = self.entries.get(self.at).filter(|entry| entry.code_offset <= offset)?;
        (entry.wasm_offset != AddressEntry::NONE).then_some(entry.wasm_offset)
    }
}
