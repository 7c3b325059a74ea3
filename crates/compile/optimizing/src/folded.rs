//! Places of loads that became part of another instruction.
//!
//! The backend merges a load into the instruction that uses its value (`add eax, [rdi]`), or a
//! load, an operation and a store into one (`add [rdi], eax`). It then gives the whole the place
//! of the last operator, while what traps first is the load. This finds such loads: they could
//! trap, but no instruction that traps has their place.

use cranelift_codegen::MachSrcLoc;
use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Function, Inst, SourceLoc, Value};
use cranelift_codegen::{Final, MachTrap};
use std::collections::HashMap;

/// Users in a row that a merged load can have, with room to spare: the operation, the comparison
/// or extension above it, the store or branch.
const CHAIN_MAX: usize = 8;

/// Of each instruction that took in a load: its offset in the code, and the place of the load.
/// Sorted by offset.
pub(crate) fn folded_loads(
    func: &Function,
    traps: &[MachTrap],
    places: &[MachSrcLoc<Final>],
) -> Vec<(u32, SourceLoc)> {
    let trapping = first_trap_of_each_place(traps, places);
    let lost: Vec<Inst> = insts(func)
        .filter(|&inst| is_trapping_load(func, inst))
        .filter(|&inst| !trapping.contains_key(&func.srcloc(inst).bits()))
        .collect();
    if lost.is_empty() {
        return Vec::new();
    }
    let users = users(func);
    let mut found: Vec<_> = lost
        .into_iter()
        .filter_map(|load| Some((carrier(func, &users, &trapping, load)?, func.srcloc(load))))
        .collect();
    found.sort_by_key(|&(offset, _)| offset);
    // A load whose value an earlier one of the same address had already is gone, and both lead to one
    // instruction: the earlier is what traps there.
    found.dedup_by_key(|&mut (offset, _)| offset);
    found
}

fn insts(func: &Function) -> impl Iterator<Item = Inst> + '_ {
    func.layout.blocks().flat_map(|block| func.layout.block_insts(block))
}

fn is_trapping_load(func: &Function, inst: Inst) -> bool {
    let data = &func.dfg.insts[inst];
    data.opcode().can_load() && data.memflags_trap_code(&func.dfg).is_some()
}

/// The first trapping instruction of each place that has one.
fn first_trap_of_each_place(traps: &[MachTrap], places: &[MachSrcLoc<Final>]) -> HashMap<u32, u32> {
    let mut first = HashMap::with_capacity(traps.len());
    for trap in traps {
        let after = places.partition_point(|range| range.start <= trap.offset);
        let Some(range) = after.checked_sub(1).map(|at| &places[at]) else { continue };
        if trap.offset < range.end {
            let offset = first.entry(range.loc.bits()).or_insert(trap.offset);
            *offset = trap.offset.min(*offset);
        }
    }
    first
}

/// Of each value an instruction that uses it. A merged load's value has no other.
fn users(func: &Function) -> SecondaryMap<Value, Option<Inst>> {
    let mut users = SecondaryMap::with_capacity(func.dfg.num_values());
    for inst in insts(func) {
        for value in func.dfg.inst_values(inst) {
            users[func.dfg.resolve_aliases(value)] = Some(inst);
        }
    }
    users
}

/// The offset of the instruction that a load is part of: that of the first of its users, and of
/// theirs, that has one which traps.
fn carrier(
    func: &Function,
    users: &SecondaryMap<Value, Option<Inst>>,
    trapping: &HashMap<u32, u32>,
    load: Inst,
) -> Option<u32> {
    let mut inst = load;
    for _ in 0..CHAIN_MAX {
        let value = *func.dfg.inst_results(inst).first()?;
        inst = users[value]?;
        if let Some(&offset) = trapping.get(&func.srcloc(inst).bits()) {
            return Some(offset);
        }
    }
    None
}
