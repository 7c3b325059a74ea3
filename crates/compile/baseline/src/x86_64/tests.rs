//! The encoder against an independent disassembler: every instruction of the list, with every
//! register and every form of memory operand.

use super::asm::{Alu, Asm, Fused, Shift, VectorShift};
use super::insts::{Op, all};
use super::regs::{Cc, Gpr, Mem, Rm, Size, Xmm};
use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind, Register};

/// Encodes with `emit` and decodes the one instruction that must come out.
fn decoded(emit: impl FnOnce(&mut Asm)) -> Instruction {
    let mut asm = Asm::default();
    emit(&mut asm);
    let len = asm.here();
    let code = asm.finish();
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let instruction = decoder.decode();
    assert!(!instruction.is_invalid(), "invalid: {:02x?}", &code[..len as usize]);
    assert_eq!(instruction.len() as u32, len, "{instruction:?}: {:02x?}", &code[..len as usize]);
    instruction
}

fn gpr_name(reg: Gpr, size: Size) -> String {
    const NAMES: [&str; 8] = ["AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI"];
    match (NAMES.get(usize::from(reg.0)), size) {
        (Some(name), Size::S32) => format!("E{name}"),
        (Some(name), Size::S64) => format!("R{name}"),
        (None, Size::S32) => format!("R{}D", reg.0),
        (None, Size::S64) => format!("R{}", reg.0),
    }
}

fn xmm_name(reg: Xmm) -> String {
    format!("XMM{}", reg.0)
}

fn name_of(register: Register) -> String {
    format!("{register:?}")
}

/// The mnemonic of a list entry: its name without the suffix that tells forms apart.
fn mnemonic(name: &str, size: Size) -> String {
    let name = name.trim_end_matches("_MR").trim_end_matches("_W");
    match (name, size) {
        ("MOVD", Size::S64) => "MOVQ".into(),
        ("PINSRD", Size::S64) => "PINSRQ".into(),
        ("PEXTRD", Size::S64) => "PEXTRQ".into(),
        _ => name.into(),
    }
}

fn check_mnemonic(instruction: &Instruction, name: &str, size: Size) {
    let found = format!("{:?}", instruction.mnemonic()).to_uppercase();
    assert_eq!(found, mnemonic(name, size), "{instruction:?}");
}

fn gprs() -> impl Iterator<Item = Gpr> {
    (0..16).map(Gpr)
}

fn xmms() -> impl Iterator<Item = Xmm> {
    (0..16).map(Xmm)
}

const SIZES: [Size; 2] = [Size::S32, Size::S64];
const DISPS: [i32; 7] = [0, 1, -128, 127, 128, i32::MIN, i32::MAX];

/// Every form of memory operand.
fn mems() -> Vec<Mem> {
    let mut mems = Vec::new();
    for base in gprs() {
        mems.extend(DISPS.map(|disp| Mem::new(base, disp)));
        for index in gprs().filter(|&index| index != Gpr::RSP) {
            mems.extend([0, 5, -300].map(|disp| Mem::indexed(base, index, disp)));
            mems.push(Mem::scaled(base, index, 3));
        }
    }
    mems
}

fn check_mem(instruction: &Instruction, mem: Mem) {
    assert_eq!(name_of(instruction.memory_base()), gpr_name(Gpr(mem.base), Size::S64));
    if mem.index == Mem::NO_INDEX {
        assert_eq!(instruction.memory_index(), Register::None);
    } else {
        assert_eq!(name_of(instruction.memory_index()), gpr_name(Gpr(mem.index), Size::S64));
        assert_eq!(instruction.memory_index_scale(), 1 << mem.scale);
    }
    assert_eq!(instruction.memory_displacement64() as i64, i64::from(mem.disp), "{instruction:?}");
}

/// Registers to try, and what the disassembler calls each.
type Registers<'a, R> = (&'a [R], fn(R, Size) -> String);

/// Checks a list whose register operands are named by functions, in both operand orders.
fn check_list<A: Copy, B: Copy>(
    list: &[(&str, Op)],
    sizes: &[Size],
    (regs, reg_name): Registers<'_, A>,
    (rms, rm_name): Registers<'_, B>,
    emit: fn(&mut Asm, Op, Size, A, Rm<B>),
    rm_first: bool,
) {
    let (reg_at, rm_at) = if rm_first { (1, 0) } else { (0, 1) };
    for &(name, op) in list {
        for &size in sizes {
            for &reg in regs {
                for &rm in rms {
                    let got = decoded(|asm| emit(asm, op, size, reg, Rm::Reg(rm)));
                    check_mnemonic(&got, name, size);
                    assert_eq!(name_of(got.op_register(reg_at)), reg_name(reg, size), "{name}");
                    assert_eq!(name_of(got.op_register(rm_at)), rm_name(rm, size), "{name}");
                }
            }
            // All memory operands for one instruction, a few for each.
            let step = if name == list[0].0 { 1 } else { 37 };
            for mem in mems().into_iter().step_by(step) {
                let got = decoded(|asm| emit(asm, op, size, regs[9], Rm::Mem(mem)));
                check_mnemonic(&got, name, size);
                assert_eq!(got.op_kind(rm_at), OpKind::Memory);
                check_mem(&got, mem);
            }
        }
    }
}

#[test]
fn every_instruction_of_the_list() {
    let gprs: Vec<Gpr> = gprs().collect();
    let xmms: Vec<Xmm> = xmms().collect();
    let g = (&gprs[..], gpr_name as fn(Gpr, Size) -> String);
    let x = (&xmms[..], (|reg, _| xmm_name(reg)) as fn(Xmm, Size) -> String);
    let g32 = (&gprs[..], (|reg, _| gpr_name(reg, Size::S32)) as fn(Gpr, Size) -> String);
    const S32: &[Size] = &[Size::S32];
    // `movsx` and `movzx` of words from registers have a narrow operand; they are checked below.
    let plain: Vec<_> = all::GG.iter().copied().filter(|(name, _)| !name.ends_with("_W")).collect();
    check_list(&plain, &SIZES, g, g, |asm, op, size, reg, rm| asm.gg(op, size, reg, rm), false);
    check_list(all::GG_MR, &SIZES, g, g, |asm, op, size, reg, rm| asm.gg(op, size, reg, rm), true);
    check_list(all::XX, S32, x, x, |asm, op, _, reg, rm| asm.xx(op, reg, rm), false);
    check_list(all::XX_MR, S32, x, x, |asm, op, _, reg, rm| asm.xx(op, reg, rm), true);
    check_list(all::XXI, S32, x, x, |asm, op, _, reg, rm| asm.xxi(op, reg, rm, 3), false);
    check_list(all::XG, &SIZES, x, g, |asm, op, size, reg, rm| asm.xg(op, size, reg, rm), false);
    let moves = all::GX_MR;
    check_list(moves, &SIZES, x, g, |asm, op, size, reg, rm| asm.gx_mr(op, size, rm, reg), true);
    let (wide, narrow): (Vec<_>, Vec<_>) =
        all::XGI.iter().chain(all::GXI_MR).copied().partition(|(name, _)| name.ends_with('D'));
    let emit = |asm: &mut Asm, op, size, reg, rm| asm.xgi(op, size, reg, rm, 1);
    let insert = |(name, _): &&(&str, Op)| name.starts_with("PINSR");
    for (list, sizes) in [(wide, &SIZES[..]), (narrow, S32)] {
        let inserts: Vec<_> = list.iter().filter(insert).copied().collect();
        let extracts: Vec<_> = list.iter().filter(|entry| !insert(entry)).copied().collect();
        check_list(&inserts, sizes, x, if sizes.len() == 1 { g32 } else { g }, emit, false);
        check_list(&extracts, sizes, x, if sizes.len() == 1 { g32 } else { g }, emit, true);
    }
}

#[test]
fn general_registers_from_vectors() {
    for &(name, op) in all::XX_REG {
        for rm in xmms() {
            let got = decoded(|asm| asm.xx(op, Xmm(9), rm));
            check_mnemonic(&got, name, Size::S32);
            assert_eq!(name_of(got.op1_register()), xmm_name(rm));
        }
    }
    for (list, sizes) in [(all::GX, &SIZES[..]), (all::GX_REG, &[Size::S32])] {
        for &(name, op) in list {
            for &size in sizes {
                for reg in gprs() {
                    for rm in xmms() {
                        let got = decoded(|asm| asm.gx(op, size, reg, rm));
                        check_mnemonic(&got, name, size);
                        assert_eq!(name_of(got.op0_register()), gpr_name(reg, size));
                        assert_eq!(name_of(got.op1_register()), xmm_name(rm));
                    }
                }
            }
        }
    }
}

/// What an instruction must decode to, as the disassembler's debug form of mnemonic and operands.
fn check(emit: impl FnOnce(&mut Asm), mnemonic: &str, operands: &[&str], immediate: Option<u64>) {
    let got = decoded(emit);
    assert_eq!(format!("{:?}", got.mnemonic()), mnemonic);
    for (at, &operand) in operands.iter().enumerate() {
        assert_eq!(name_of(got.op_register(at as u32)), operand, "{got:?}");
    }
    if let Some(immediate) = immediate {
        // The disassembler sign-extends the constants of 32-bit operations too.
        let found = got.immediate(got.op_count() - 1);
        let found = if immediate <= u64::from(u32::MAX) { found & 0xffff_ffff } else { found };
        assert_eq!(found, immediate, "{got:?}");
    }
}

#[test]
fn narrow_moves() {
    for dst in gprs() {
        let name = gpr_name(dst, Size::S32);
        for src in gprs() {
            let low = format!("{:?}", low_register(src));
            check(|asm| asm.movzx_b(dst, src), "Movzx", &[&name, &low], None);
            check(|asm| asm.movsx_b(Size::S32, dst, src), "Movsx", &[&name, &low], None);
            let wide = gpr_name(dst, Size::S64);
            let half = gpr_name(src, Size::S32);
            check(|asm| asm.movsxd(dst, src), "Movsxd", &[&wide, &half], None);
        }
        check(|asm| asm.setcc(Cc::L, dst), "Setl", &[&format!("{:?}", low_register(dst))], None);
        let mem = Mem::new(Gpr::R12, 8);
        let stored = decoded(|asm| asm.store8(mem, dst));
        assert_eq!(stored.op1_register(), low_register(dst));
        check_mem(&stored, mem);
        let stored = decoded(|asm| asm.store16(mem, dst));
        assert_eq!(stored.op1_register().size(), 2);
        check_mem(&stored, mem);
    }
}

fn low_register(reg: Gpr) -> Register {
    const LOW: [Register; 16] = [
        Register::AL,
        Register::CL,
        Register::DL,
        Register::BL,
        Register::SPL,
        Register::BPL,
        Register::SIL,
        Register::DIL,
        Register::R8L,
        Register::R9L,
        Register::R10L,
        Register::R11L,
        Register::R12L,
        Register::R13L,
        Register::R14L,
        Register::R15L,
    ];
    LOW[usize::from(reg.0)]
}

#[test]
fn immediates() {
    const VALUES: [i32; 8] = [0, 1, -1, 127, 128, -128, -129, i32::MIN];
    let alus = [
        (Alu::Add, "Add"),
        (Alu::Or, "Or"),
        (Alu::And, "And"),
        (Alu::Sub, "Sub"),
        (Alu::Xor, "Xor"),
        (Alu::Cmp, "Cmp"),
    ];
    for reg in gprs() {
        for size in SIZES {
            let name = gpr_name(reg, size);
            let cut = |value: i32| match size {
                Size::S32 => u64::from(value.cast_unsigned()),
                Size::S64 => i64::from(value).cast_unsigned(),
            };
            for value in VALUES {
                for (alu, mnemonic) in alus {
                    let emit = |asm: &mut Asm| asm.alu_imm(alu, size, reg, value);
                    check(emit, mnemonic, &[&name], Some(cut(value)));
                }
                let emit = |asm: &mut Asm| asm.imul_imm(size, reg, Gpr::R9, value);
                check(emit, "Imul", &[&name, &gpr_name(Gpr::R9, size)], Some(cut(value)));
            }
            for (shift, mnemonic) in SHIFTS {
                check(|asm| asm.shift_imm(shift, size, reg, 5), mnemonic, &[&name], Some(5));
                check(|asm| asm.shift_cl(shift, size, reg), mnemonic, &[&name, "CL"], None);
            }
            check(|asm| asm.btc_imm(size, reg, 31), "Btc", &[&name], Some(31));
            check(|asm| asm.div(size, reg), "Div", &[&name], None);
            check(|asm| asm.idiv(size, reg), "Idiv", &[&name], None);
        }
        for value in [0, 1, 0xffff_ffff, 0x8000_0000, 1 << 32, u64::MAX, 1 << 63] {
            let got = decoded(|asm| asm.mov_imm(reg, value));
            assert_eq!(got.immediate(1), value, "{got:?}");
            assert_eq!(got.op0_register().full_register(), Register::from_gpr(reg));
        }
    }
}

const SHIFTS: [(Shift, &str); 5] = [
    (Shift::Rotl, "Rol"),
    (Shift::Rotr, "Ror"),
    (Shift::Shl, "Shl"),
    (Shift::Shr, "Shr"),
    (Shift::Sar, "Sar"),
];

/// A register by our number.
trait FromGpr {
    fn from_gpr(reg: Gpr) -> Register;
}

impl FromGpr for Register {
    fn from_gpr(reg: Gpr) -> Register {
        low_register(reg).full_register()
    }
}

#[test]
fn shifts_by_any_register() {
    for (shift, mnemonic) in [(Shift::Shl, "Shlx"), (Shift::Shr, "Shrx"), (Shift::Sar, "Sarx")] {
        for size in SIZES {
            let name = |reg| gpr_name(reg, size);
            for a in gprs() {
                for b in gprs() {
                    let expected = [&*name(a), &*name(b), &*name(Gpr::R13)];
                    let emit = |asm: &mut Asm| asm.shift_x(shift, size, a, Rm::Reg(b), Gpr::R13);
                    check(emit, mnemonic, &expected, None);
                }
                let got = decoded(|asm| {
                    asm.shift_x(shift, size, a, Rm::Mem(Mem::new(Gpr::R8, 64)), Gpr::RAX);
                });
                assert_eq!(name_of(got.op2_register()), name(Gpr::RAX));
                check_mem(&got, Mem::new(Gpr::R8, 64));
            }
        }
    }
}

#[test]
fn fused_multiplications() {
    let mnemonics = ["Vfmadd231ps", "Vfmadd231pd", "Vfnmadd231ps", "Vfnmadd231pd"];
    for (number, mnemonic) in mnemonics.into_iter().enumerate() {
        let op = Fused { double: number % 2 == 1, negated: number >= 2 };
        for a in xmms() {
            for b in xmms() {
                let names = [a, b, Xmm(7)].map(xmm_name);
                let expected: Vec<&str> = names.iter().map(String::as_str).collect();
                check(|asm| asm.fused(op, a, b, Xmm(7)), mnemonic, &expected, None);
                let names = [Xmm(8), a, b].map(xmm_name);
                let expected: Vec<&str> = names.iter().map(String::as_str).collect();
                check(|asm| asm.fused(op, Xmm(8), a, b), mnemonic, &expected, None);
            }
        }
    }
}

#[test]
fn wide_multiplications() {
    for size in SIZES {
        for reg in gprs() {
            let name = gpr_name(reg, size);
            check(|asm| asm.mul(size, reg), "Mul", &[&name], None);
            check(|asm| asm.imul(size, reg), "Imul", &[&name], None);
        }
    }
}

#[test]
fn vector_shifts() {
    let shifts = [
        (VectorShift::PSRLW, "Psrlw"),
        (VectorShift::PSLLW, "Psllw"),
        (VectorShift::PSRLD, "Psrld"),
        (VectorShift::PSRAD, "Psrad"),
        (VectorShift::PSLLD, "Pslld"),
        (VectorShift::PSRLQ, "Psrlq"),
        (VectorShift::PSLLQ, "Psllq"),
    ];
    for (shift, mnemonic) in shifts {
        for reg in xmms() {
            check(|asm| asm.vector_shift(shift, reg, 7), mnemonic, &[&xmm_name(reg)], Some(7));
        }
    }
}

#[test]
fn jumps_reach_their_labels() {
    for distance in [0, 1, 100, 130, 5000] {
        // Forward.
        let mut asm = Asm::default();
        let label = asm.new_label();
        asm.jcc(Cc::NE, label);
        let start = asm.here();
        for _ in 0..distance {
            asm.leave();
        }
        asm.bind(label);
        asm.leave();
        let code = asm.finish();
        let jump = Decoder::with_ip(64, code, 0, DecoderOptions::NONE).decode();
        assert_eq!(jump.near_branch64(), u64::from(start + distance), "{jump:?}");
        // Backward.
        let mut asm = Asm::default();
        let label = asm.new_label();
        asm.bind(label);
        for _ in 0..distance {
            asm.leave();
        }
        asm.jmp(label);
        let code = &asm.finish()[distance as usize..];
        let jump = Decoder::with_ip(64, code, u64::from(distance), DecoderOptions::NONE).decode();
        assert_eq!(jump.near_branch64(), 0, "{jump:?}");
    }
}

#[test]
fn constants_lie_behind_the_code_and_aligned() {
    let mut asm = Asm::default();
    asm.leave();
    asm.xx_wide(super::insts::PXOR, Xmm(9), [7; 16]);
    let after = asm.here();
    asm.xx_narrow(super::insts::MOVSD, Xmm(1), 0x0102_0304_0506_0708);
    let end = asm.here();
    let code = asm.finish().to_vec();
    let mut decoder = Decoder::with_ip(64, &code[1..], 1, DecoderOptions::NONE);
    let wide = decoder.decode();
    assert_eq!(decoder.ip(), u64::from(after));
    let narrow = decoder.decode();
    assert_eq!(decoder.ip(), u64::from(end));
    let at = wide.memory_displacement64() as usize;
    assert!(at.is_multiple_of(16) && at >= end as usize);
    assert_eq!(code[at..at + 16], [7; 16]);
    let at = narrow.memory_displacement64() as usize;
    assert_eq!(code[at..at + 8], 0x0102_0304_0506_0708u64.to_le_bytes());
}
