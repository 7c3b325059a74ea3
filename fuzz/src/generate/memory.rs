//! Modules that load and store around the ends of memories, with offsets that overlap, and that
//! copy, fill, initialise and grow. Addresses and lengths are parameters; the calls' arguments
//! favour ends of pages.

use super::body::Body;
use super::numeric::Kind;
use crate::random::Random;
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataCountSection, DataSection, ExportKind, ExportSection,
    FunctionSection, Instruction as I, MemArg, MemArgTarget, MemorySection, MemoryType, Module,
    TypeSection, ValType,
};

/// An access of so many bytes (as a power of two).
#[derive(Clone, Copy)]
enum Access {
    Load(fn(MemArg) -> I<'static>, u32, Kind),
    Store(fn(MemArg) -> I<'static>, u32, Kind),
    LoadLane(fn(MemArg, u8) -> I<'static>, u32),
    StoreLane(fn(MemArg, u8) -> I<'static>, u32),
}

macro_rules! lane {
    ($op:ident) => {
        |memarg, lane| I::$op { memarg, lane }
    };
}

const ACCESSES: &[Access] = &[
    Access::Load(I::I32Load, 2, Kind::I32),
    Access::Load(I::I32Load8S, 0, Kind::I32),
    Access::Load(I::I32Load8U, 0, Kind::I32),
    Access::Load(I::I32Load16S, 1, Kind::I32),
    Access::Load(I::I32Load16U, 1, Kind::I32),
    Access::Load(I::I64Load, 3, Kind::I64),
    Access::Load(I::I64Load8S, 0, Kind::I64),
    Access::Load(I::I64Load8U, 0, Kind::I64),
    Access::Load(I::I64Load16S, 1, Kind::I64),
    Access::Load(I::I64Load16U, 1, Kind::I64),
    Access::Load(I::I64Load32S, 2, Kind::I64),
    Access::Load(I::I64Load32U, 2, Kind::I64),
    Access::Load(I::F32Load, 2, Kind::F32Bits),
    Access::Load(I::F64Load, 3, Kind::F64Bits),
    Access::Load(I::V128Load, 4, Kind::V128),
    Access::Load(I::V128Load8x8S, 3, Kind::V128),
    Access::Load(I::V128Load8x8U, 3, Kind::V128),
    Access::Load(I::V128Load16x4S, 3, Kind::V128),
    Access::Load(I::V128Load16x4U, 3, Kind::V128),
    Access::Load(I::V128Load32x2S, 3, Kind::V128),
    Access::Load(I::V128Load32x2U, 3, Kind::V128),
    Access::Load(I::V128Load8Splat, 0, Kind::V128),
    Access::Load(I::V128Load16Splat, 1, Kind::V128),
    Access::Load(I::V128Load32Splat, 2, Kind::V128),
    Access::Load(I::V128Load64Splat, 3, Kind::V128),
    Access::Load(I::V128Load32Zero, 2, Kind::V128),
    Access::Load(I::V128Load64Zero, 3, Kind::V128),
    Access::Store(I::I32Store, 2, Kind::I32),
    Access::Store(I::I32Store8, 0, Kind::I32),
    Access::Store(I::I32Store16, 1, Kind::I32),
    Access::Store(I::I64Store, 3, Kind::I64),
    Access::Store(I::I64Store8, 0, Kind::I64),
    Access::Store(I::I64Store16, 1, Kind::I64),
    Access::Store(I::I64Store32, 2, Kind::I64),
    Access::Store(I::F32Store, 2, Kind::F32Bits),
    Access::Store(I::F64Store, 3, Kind::F64Bits),
    Access::Store(I::V128Store, 4, Kind::V128),
    Access::LoadLane(lane!(V128Load8Lane), 0),
    Access::LoadLane(lane!(V128Load16Lane), 1),
    Access::LoadLane(lane!(V128Load32Lane), 2),
    Access::LoadLane(lane!(V128Load64Lane), 3),
    Access::StoreLane(lane!(V128Store8Lane), 0),
    Access::StoreLane(lane!(V128Store16Lane), 1),
    Access::StoreLane(lane!(V128Store32Lane), 2),
    Access::StoreLane(lane!(V128Store64Lane), 3),
];

/// Bytes of the passive segment.
const SEGMENT_BYTES: usize = 300;

pub(super) fn module(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let memories: Vec<MemoryType> =
        (0..random.between(1, 2)).map(|_| memory_type(&mut random)).collect();
    let mut functions = Functions { memories, ..Functions::default() };
    for _ in 0..6 {
        functions.accesses(&mut random);
    }
    functions.walk(&mut random);
    for _ in 0..4 {
        functions.bulk(&mut random);
    }
    functions.finish(&mut random)
}

fn memory_type(random: &mut Random) -> MemoryType {
    let minimum = *random.pick(&[0, 1, 1, 1, 1, 2, 2, 2]);
    MemoryType {
        minimum,
        maximum: Some(minimum + random.between(0, 2) as u64),
        memory64: random.chance(1, 4),
        shared: false,
        page_size_log2: None,
    }
}

#[derive(Default)]
struct Functions {
    memories: Vec<MemoryType>,
    types: TypeSection,
    functions: FunctionSection,
    exports: ExportSection,
    code: CodeSection,
    count: u32,
}

impl Functions {
    fn add(&mut self, params: Vec<ValType>, result: ValType, body: Body<'_>) {
        self.types.ty().function(params, [result]);
        self.functions.function(self.count);
        self.exports.export(&format!("f{}", self.count), ExportKind::Func, self.count);
        self.code.function(&body.finish());
        self.count += 1;
    }

    fn memory(&self, random: &mut Random) -> (u32, ValType) {
        let index = random.below(self.memories.len());
        let address = if self.memories[index].memory64 { ValType::I64 } else { ValType::I32 };
        (index as u32, address)
    }

    /// A few accesses near one address, the last of which decides the result.
    fn accesses(&mut self, random: &mut Random) {
        let (memory, address) = self.memory(random);
        let params =
            vec![address, ValType::I32, ValType::I64, ValType::F32, ValType::F64, ValType::V128];
        let mut body = Body::new(&params, random);
        if body.random.chance(2, 3) {
            mask_address(&mut body, address);
        }
        for _ in 0..body.random.between(0, 4) {
            let access = *body.random.pick(ACCESSES);
            one_access(&mut body, access, memory, address);
            if let Some(kind) = access.result() {
                // Parameters carry host bits, loads fixed bits: any of them may be stored again.
                let set = body.local(kind.ty()).filter(|&local| local != 0);
                body.emit([set.map_or(I::Drop, I::LocalSet)]);
            }
        }
        let last = loop {
            let access = *body.random.pick(ACCESSES);
            if let Some(kind) = access.result() {
                one_access(&mut body, access, memory, address);
                break kind.ty();
            }
        };
        self.add(params, last, body);
    }

    /// A loop that loads or stores in equal steps, which may leave the memory on its way; the
    /// result is the sum of what was loaded.
    fn walk(&mut self, random: &mut Random) {
        let (memory, address) = self.memory(random);
        let params = vec![address, ValType::I32];
        let mut body = Body::new(&params, random);
        let counter = body.reserve(ValType::I32);
        let sum = body.reserve(ValType::I32);
        let (rounds, step) = (body.random.between(1, 40), body.random.between(0, 40) as i64 - 8);
        let (load, store) = (memarg(body.random, 2, memory), memarg(body.random, 1, memory));
        if body.random.chance(2, 3) {
            mask_address(&mut body, address);
        }
        body.emit([I::I32Const(rounds as i32), I::LocalSet(counter), I::Loop(BlockType::Empty)]);
        body.emit([I::LocalGet(0), I::LocalGet(1), I::I32Store16(store)]);
        body.emit([I::LocalGet(0), I::I32Load(load), I::LocalGet(sum), I::I32Add]);
        body.emit([I::LocalSet(sum), I::LocalGet(0)]);
        body.emit(add_constant(address, step));
        body.emit([I::LocalSet(0), I::LocalGet(counter), I::I32Const(-1), I::I32Add]);
        body.emit([I::LocalTee(counter), I::BrIf(0), I::End, I::LocalGet(sum)]);
        self.add(params, ValType::I32, body);
    }

    /// One bulk operation of parameters; the result is the memory's size in pages.
    fn bulk(&mut self, random: &mut Random) {
        let (memory, address) = self.memory(random);
        let (source, source_address) = self.memory(random);
        let both_64 = address == ValType::I64 && source_address == ValType::I64;
        let copy_length = if both_64 { ValType::I64 } else { ValType::I32 };
        let operation = random.below(5);
        let params = match operation {
            0 => vec![address, ValType::I32, address],
            1 => vec![address, source_address, copy_length],
            2 | 3 => vec![address, ValType::I32, ValType::I32],
            _ => vec![address],
        };
        let mut body = Body::new(&params, random);
        body.emit((0..params.len() as u32).map(I::LocalGet));
        let operator = match operation {
            0 => I::MemoryFill(memory),
            1 => I::MemoryCopy { src_mem: source, dst_mem: memory },
            2 | 3 => I::MemoryInit { mem: memory, data_index: 0 },
            _ => I::MemoryGrow(memory),
        };
        body.emit([operator]);
        if operation == 4 {
            body.emit([I::Drop]);
        }
        if operation == 3 && body.random.chance(1, 3) {
            body.emit([I::DataDrop(0)]);
        }
        body.emit([I::MemorySize(memory)]);
        self.add(params, address, body);
    }

    fn finish(mut self, random: &mut Random) -> Vec<u8> {
        let mut memories = MemorySection::new();
        let mut data = DataSection::new();
        data.passive(random.bytes(SEGMENT_BYTES));
        for (index, ty) in (0..).zip(&self.memories) {
            memories.memory(*ty);
            self.exports.export(&format!("m{index}"), ExportKind::Memory, index);
            if ty.minimum > 0 {
                // Random bytes at both ends of the first page.
                for start in [0, 65536 - 64] {
                    let offset = if ty.memory64 {
                        ConstExpr::i64_const(start)
                    } else {
                        ConstExpr::i32_const(start as i32)
                    };
                    data.active(index, &offset, random.bytes(64));
                }
            }
        }
        let mut module = Module::new();
        module.section(&self.types).section(&self.functions).section(&memories);
        module.section(&self.exports).section(&DataCountSection { count: data.len() });
        module.section(&self.code).section(&data);
        module.finish()
    }
}

impl Access {
    /// What it leaves on the stack.
    fn result(self) -> Option<Kind> {
        match self {
            Access::Load(_, _, kind) => Some(kind),
            Access::LoadLane(..) => Some(Kind::V128),
            Access::Store(..) | Access::StoreLane(..) => None,
        }
    }
}

/// Code that adds to an address.
fn add_constant(address: ValType, addend: i64) -> [I<'static>; 2] {
    match address {
        ValType::I64 => [I::I64Const(addend), I::I64Add],
        _ => [I::I32Const(addend as i32), I::I32Add],
    }
}

/// Brings most addresses into the first pages.
fn mask_address(body: &mut Body<'_>, address: ValType) {
    let mask = *body.random.pick(&[0xffff, 0xfff8, 0x1_ffff, 0xff]);
    body.emit([I::LocalGet(0)]);
    body.emit(match address {
        ValType::I64 => [I::I64Const(mask), I::I64And],
        _ => [I::I32Const(mask as i32), I::I32And],
    });
    body.emit([I::LocalSet(0)]);
}

/// Appends an access at, or near, the address in local 0.
fn one_access(body: &mut Body<'_>, access: Access, memory: u32, address: ValType) {
    body.emit([I::LocalGet(0)]);
    if body.random.chance(1, 4) {
        let near = body.random.between(0, 40) as i64 - 20;
        body.emit(add_constant(address, near));
    }
    let bytes_log2 = match access {
        Access::Load(_, bytes_log2, _) | Access::LoadLane(_, bytes_log2) => bytes_log2,
        Access::Store(_, bytes_log2, _) | Access::StoreLane(_, bytes_log2) => bytes_log2,
    };
    let memarg = memarg(body.random, bytes_log2, memory);
    let lane = body.random.below(16 >> bytes_log2) as u8;
    let instruction = match access {
        Access::Load(make, ..) => make(memarg),
        Access::Store(make, _, kind) => {
            operand(body, kind);
            make(memarg)
        }
        Access::LoadLane(make, _) | Access::StoreLane(make, _) => {
            operand(body, Kind::V128);
            make(memarg, lane)
        }
    };
    body.emit([instruction]);
}

/// Leaves a value of fixed bits on the stack: a local (all hold such) or a constant. Not the
/// address: wasmi 2.0.0 panics when it has both operands of a store in one register.
fn operand(body: &mut Body<'_>, kind: Kind) {
    match body.local(kind.ty()) {
        Some(local) if local != 0 && body.random.chance(3, 4) => body.emit([I::LocalGet(local)]),
        _ => body.constant(kind),
    }
}

fn memarg(random: &mut Random, bytes_log2: u32, memory: u32) -> MemArg {
    let offset = match random.below(16) {
        0..=5 => 0,
        6..=11 => random.between(1, 20) as u64,
        12 | 13 => 65536 - random.between(0, 20) as u64,
        14 => 65536 * random.between(1, 3) as u64 + random.between(0, 20) as u64,
        _ => *random.pick(&[u32::MAX as u64, 0x7fff_ffff, 0x8000_0000, 1 << 25, 0xffff_fff0]),
    };
    let align = random.between(0, bytes_log2 as usize) as u32;
    MemArg { offset, align, target: MemArgTarget::Memory(memory), ordering: None }
}
