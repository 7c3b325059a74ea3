//! From the backend's result to ours: bytes, relocations and tables.

use crate::error::{Result, internal};
use crate::folded::folded_loads;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::function::FunctionParameters;
use cranelift_codegen::ir::{
    ExternalName, Function, SourceLoc, StackSlot, TrapCode as BackendTrap,
};
use cranelift_codegen::{
    CompiledCode, Final, FinalizedMachExceptionHandler, FinalizedMachReloc, FinalizedRelocTarget,
    MachBufferFinalized, MachSrcLoc,
};
use wasmoor_abi::handlers::{HandlerRegion, HandlerSite, HandlerTable};
use wasmoor_abi::tables::{AddressEntry, TrapEntry};
use wasmoor_abi::trap::FaultKind;
use wasmoor_abi::{DefinedFuncIndex, TrapCode};
use wasmoor_codegen::{CompiledFunction, Relocation, RelocationKind, RelocationTarget};

/// Smallest alignment of functions in bytes, for the instruction fetch.
const FUNCTION_ALIGN_MIN: u32 = 16;

/// Our form of what the backend made.
pub(crate) fn convert(
    code: &CompiledCode,
    func: &Function,
    poll_sites: u32,
    regions: &[HandlerRegion],
    vmctx_slot: Option<StackSlot>,
) -> Result<CompiledFunction> {
    let buffer = &code.buffer;
    let relocations: Result<Vec<_>> =
        buffer.relocs().iter().map(|reloc| relocation(reloc, &func.params)).collect();
    let mut relocations = relocations?;
    relocations.sort_by_key(|reloc| reloc.offset);
    let traps: Result<Vec<_>> = buffer
        .traps()
        .iter()
        .map(|trap| Ok(TrapEntry { code_offset: trap.offset, kind: fault_kind(trap.code)? }))
        .collect();
    let mut traps = traps?;
    traps.sort_by_key(|trap| trap.code_offset);
    let places = buffer.get_srclocs_sorted();
    let folded = folded_loads(func, buffer.traps(), places);
    Ok(CompiledFunction {
        code: code.code_buffer().to_vec(),
        align: buffer.alignment.max(FUNCTION_ALIGN_MIN),
        relocations,
        traps,
        addresses: addresses(places, &folded),
        handlers: handlers(buffer, regions, vmctx_slot)?,
        poll_sites,
        ..CompiledFunction::default()
    })
}

/// The handler table: calls with exceptional edges. The tag of an edge is a region's number.
fn handlers(
    buffer: &MachBufferFinalized<Final>,
    regions: &[HandlerRegion],
    vmctx_slot: Option<StackSlot>,
) -> Result<HandlerTable> {
    let mut sites = Vec::new();
    for call in buffer.call_sites() {
        let [FinalizedMachExceptionHandler::Tag(region, landing_offset)] = *call.exception_handlers
        else {
            continue;
        };
        sites.push(HandlerSite {
            return_offset: call.ret_addr,
            landing_offset,
            frame_bytes: call.frame_offset.ok_or_else(|| internal("no frame size".into()))?,
            region: region.as_u32(),
        });
    }
    if sites.is_empty() {
        return Ok(HandlerTable::default());
    }
    sites.sort_by_key(|site| site.return_offset);
    let place = buffer
        .frame_layout()
        .zip(vmctx_slot)
        .map(|(layout, slot)| layout.frame_to_fp_offset - layout.stackslots[slot].offset);
    let vmctx_below_fp = place.ok_or_else(|| internal("no place of the vmctx".into()))?;
    Ok(HandlerTable { vmctx_below_fp, sites, regions: regions.to_vec() })
}

/// What a fault with the backend's code means.
fn fault_kind(code: BackendTrap) -> Result<FaultKind> {
    let trap = match code {
        BackendTrap::STACK_OVERFLOW => TrapCode::StackOverflow,
        BackendTrap::INTEGER_OVERFLOW => TrapCode::IntegerOverflow,
        BackendTrap::HEAP_OUT_OF_BOUNDS => TrapCode::MemoryOutOfBounds,
        BackendTrap::INTEGER_DIVISION_BY_ZERO => TrapCode::IntegerDivideByZero,
        BackendTrap::BAD_CONVERSION_TO_INTEGER => TrapCode::InvalidConversionToInteger,
        user => {
            return FaultKind::from_number(user.as_raw().get())
                .ok_or_else(|| internal(format!("the backend made the unknown trap {user}")));
        }
    };
    Ok(FaultKind::Trap(trap))
}

fn relocation(reloc: &FinalizedMachReloc, params: &FunctionParameters) -> Result<Relocation> {
    let FinalizedRelocTarget::ExternalName(ExternalName::User(name)) = &reloc.target else {
        return Err(internal(format!("the backend refers to {:?}", reloc.target)));
    };
    let name = params
        .user_named_funcs()
        .get(*name)
        .ok_or_else(|| internal("a relocation refers to no function".into()))?;
    let func = DefinedFuncIndex::from_u32(name.index);
    let (slot, direct) = (RelocationTarget::Slot(func), RelocationTarget::Func(func));
    let (kind, target) = match reloc.kind {
        Reloc::X86GOTPCRel4 => (RelocationKind::PcRelative32, slot),
        Reloc::X86CallPCRel4 | Reloc::X86PCRel4 => (RelocationKind::PcRelative32, direct),
        Reloc::Aarch64AdrGotPage21 => (RelocationKind::Aarch64PageHigh21, slot),
        Reloc::Aarch64Ld64GotLo12Nc => (RelocationKind::Aarch64PageLow12Load64, slot),
        Reloc::Arm64Call => (RelocationKind::Aarch64Call26, direct),
        other => return Err(internal(format!("the backend made the relocation {other:?}"))),
    };
    Ok(Relocation { offset: reloc.offset, kind, target, addend: reloc.addend })
}

/// The address map: gaps between the backend's ranges become entries without an operator, and
/// an instruction that took in a load gets the load's place. (Only its start is ever looked up,
/// so the entry covers no more.)
fn addresses(ranges: &[MachSrcLoc<Final>], folded: &[(u32, SourceLoc)]) -> Vec<AddressEntry> {
    let mut entries: Vec<AddressEntry> = Vec::with_capacity(ranges.len() + 2 * folded.len());
    let mut push = |code_offset: u32, wasm_offset: u32| match entries.last_mut() {
        Some(last) if last.wasm_offset == wasm_offset => {}
        Some(last) if last.code_offset == code_offset => last.wasm_offset = wasm_offset,
        _ => entries.push(AddressEntry { code_offset, wasm_offset }),
    };
    let mut folded = folded.iter().peekable();
    let mut end = 0;
    for range in ranges.iter().filter(|range| range.start < range.end) {
        if range.start > end {
            push(end, AddressEntry::NONE);
        }
        push(range.start, wasm_offset(range.loc));
        while let Some(&(offset, load)) = folded.next_if(|&&(offset, _)| offset < range.end) {
            push(offset, wasm_offset(load));
            if offset + 1 < range.end {
                push(offset + 1, wasm_offset(range.loc));
            }
        }
        end = range.end;
    }
    push(end, AddressEntry::NONE);
    entries
}

fn wasm_offset(loc: SourceLoc) -> u32 {
    if loc.is_default() { AddressEntry::NONE } else { loc.bits() }
}
