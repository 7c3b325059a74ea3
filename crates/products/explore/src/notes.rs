//! What instructions mean beyond their text: traps, polls, callees, calls of the runtime.

use crate::operators::Operator;
use crate::printable;
use iced_x86::{Instruction, Mnemonic, OpKind, Register};
use std::collections::BTreeMap;
use wasmoor_abi::trap::FaultKind;
use wasmoor_abi::vmctx::VMCTX_LIBCALLS;
use wasmoor_abi::{FuncIndex, Libcall};
use wasmoor_module::Module;

/// Instructions between the load of a libcall's address and the call.
const LOAD_DISTANCE_MAX: usize = 24;

/// What a fault at an instruction means.
pub(crate) fn of_fault(kind: FaultKind) -> String {
    match kind {
        FaultKind::Poll => "poll".to_owned(),
        FaultKind::Trap(code) => format!("trap: {}", code.message()),
    }
}

/// Whom a call or jump through a register or memory reaches, as far as one can tell.
pub(crate) fn of_call(
    module: &Module,
    operator: Option<&Operator>,
    instructions: &BTreeMap<u32, Instruction>,
    call: &Instruction,
) -> Option<String> {
    if let Some(libcall) = libcall(instructions, call) {
        return Some(format!("runtime: {}", libcall.name()));
    }
    let mut words = operator?.text.split_whitespace();
    match words.next()? {
        "call" | "return_call" => called(module, words.next()?),
        "call_indirect" | "return_call_indirect" => Some("calls through a table".to_owned()),
        "call_ref" | "return_call_ref" => Some("calls a reference".to_owned()),
        _ => None,
    }
}

/// The function that the text of a `call` names: by number or, if it has one, by name.
fn called(module: &Module, name: &str) -> Option<String> {
    let index = name.parse().ok().map(FuncIndex::from_u32);
    match index.filter(|index| module.functions.get(*index).is_some()) {
        Some(index) => Some(format!("calls {}", printable(&module.func_display_name(index)))),
        None => Some(format!("calls {name}")),
    }
}

/// The entry of the libcall table that is called. Code calls through slots, which hold nothing but
/// the address, and through that table; so what is loaded from behind a start is an entry of it.
fn libcall(instructions: &BTreeMap<u32, Instruction>, call: &Instruction) -> Option<Libcall> {
    let entry = match call.op0_kind() {
        OpKind::Memory => *call,
        OpKind::Register => load_of(instructions, call.ip32(), call.op0_register())?,
        _ => return None,
    };
    let base = plain_base(&entry)?;
    let offset = u32::try_from(entry.memory_displacement64()).ok()?;
    let is_table = |load: Instruction| load.memory_displacement64() == u64::from(VMCTX_LIBCALLS);
    if offset == 0 && !load_of(instructions, entry.ip32(), base).is_some_and(is_table) {
        return None;
    }
    Libcall::ALL.iter().copied().find(|libcall| libcall.table_offset() == offset)
}

/// The last instruction before `at` that loads this register from memory; `None` if another one
/// writes the register.
fn load_of(
    instructions: &BTreeMap<u32, Instruction>,
    at: u32,
    register: Register,
) -> Option<Instruction> {
    let before = instructions.range(..at).rev().take(LOAD_DISTANCE_MAX);
    let (_, writer) = before.into_iter().find(|(_, instruction)| {
        instruction.op0_kind() == OpKind::Register
            && instruction.op0_register().full_register() == register.full_register()
            && !matches!(instruction.mnemonic(), Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push)
    })?;
    let is_load = writer.mnemonic() == Mnemonic::Mov && writer.op1_kind() == OpKind::Memory;
    is_load.then_some(*writer)
}

/// The base register of an address that is a register and a constant.
fn plain_base(instruction: &Instruction) -> Option<Register> {
    let base = instruction.memory_base();
    let plain = instruction.memory_index() == Register::None
        && base != Register::None
        && base != Register::RIP;
    plain.then_some(base)
}
