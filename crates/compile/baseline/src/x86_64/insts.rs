//! The list of instructions: prefix, opcode map and opcode of each.
//!
//! Names are mnemonics; a suffix tells forms of one mnemonic apart (`_MR`: the register operand
//! is the source). Tests decode every entry with an independent disassembler.

/// An instruction with a ModRM byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    /// Mandatory or operand-size prefix; 0 for none.
    pub(super) prefix: u8,
    /// 0: one byte, 1: `0F`, 2: `0F 38`, 3: `0F 3A`.
    pub(super) map: u8,
    pub(super) opcode: u8,
}

macro_rules! instructions {
    ($( $group:ident { $( $name:ident = $prefix:literal $map:literal $opcode:literal; )* } )*) => {
        $( $( pub(crate) const $name: Op = Op { prefix: $prefix, map: $map, opcode: $opcode }; )* )*
        /// Every instruction with its name, by the kinds of its operands.
        #[cfg(test)]
        pub(super) mod all {
            use super::Op;
            $( pub(in super::super) const $group: &[(&str, Op)] = &[$( (stringify!($name), super::$name) ),*]; )*
        }
    };
}

instructions! {
    // General register, general register or memory.
    GG {
        MOV = 0x00 0 0x8b;
        ADD = 0x00 0 0x03;
        ADC = 0x00 0 0x13;
        SBB = 0x00 0 0x1b;
        OR = 0x00 0 0x0b;
        AND = 0x00 0 0x23;
        SUB = 0x00 0 0x2b;
        XOR = 0x00 0 0x33;
        CMP = 0x00 0 0x3b;
        IMUL = 0x00 1 0xaf;
        BSF = 0x00 1 0xbc;
        BSR = 0x00 1 0xbd;
        POPCNT = 0xf3 1 0xb8;
        TZCNT = 0xf3 1 0xbc;
        LZCNT = 0xf3 1 0xbd;
        MOVZX_W = 0x00 1 0xb7;
        MOVSX_W = 0x00 1 0xbf;
    }
    // General register or memory, general register.
    GG_MR {
        MOV_MR = 0x00 0 0x89;
        TEST_MR = 0x00 0 0x85;
        XCHG_MR = 0x00 0 0x87;
    }
    // Vector register, vector register or memory.
    XX {
        MOVUPS = 0x00 1 0x10;
        MOVAPS = 0x00 1 0x28;
        MOVSS = 0xf3 1 0x10;
        MOVSD = 0xf2 1 0x10;
        ADDSS = 0xf3 1 0x58;
        ADDSD = 0xf2 1 0x58;
        MULSS = 0xf3 1 0x59;
        MULSD = 0xf2 1 0x59;
        SUBSS = 0xf3 1 0x5c;
        SUBSD = 0xf2 1 0x5c;
        DIVSS = 0xf3 1 0x5e;
        DIVSD = 0xf2 1 0x5e;
        MINSS = 0xf3 1 0x5d;
        MINSD = 0xf2 1 0x5d;
        MAXSS = 0xf3 1 0x5f;
        MAXSD = 0xf2 1 0x5f;
        SQRTSS = 0xf3 1 0x51;
        SQRTSD = 0xf2 1 0x51;
        CVTSS2SD = 0xf3 1 0x5a;
        CVTSD2SS = 0xf2 1 0x5a;
        UCOMISS = 0x00 1 0x2e;
        UCOMISD = 0x66 1 0x2e;
        ANDPS = 0x00 1 0x54;
        ANDNPS = 0x00 1 0x55;
        ORPS = 0x00 1 0x56;
        XORPS = 0x00 1 0x57;
        ADDPS = 0x00 1 0x58;
        ADDPD = 0x66 1 0x58;
        MULPS = 0x00 1 0x59;
        MULPD = 0x66 1 0x59;
        SUBPS = 0x00 1 0x5c;
        SUBPD = 0x66 1 0x5c;
        DIVPS = 0x00 1 0x5e;
        DIVPD = 0x66 1 0x5e;
        MINPS = 0x00 1 0x5d;
        MINPD = 0x66 1 0x5d;
        MAXPS = 0x00 1 0x5f;
        MAXPD = 0x66 1 0x5f;
        SQRTPS = 0x00 1 0x51;
        SQRTPD = 0x66 1 0x51;
        CVTDQ2PS = 0x00 1 0x5b;
        CVTTPS2DQ = 0xf3 1 0x5b;
        CVTDQ2PD = 0xf3 1 0xe6;
        CVTTPD2DQ = 0x66 1 0xe6;
        CVTPS2PD = 0x00 1 0x5a;
        CVTPD2PS = 0x66 1 0x5a;
        UNPCKLPS = 0x00 1 0x14;
        PUNPCKLQDQ = 0x66 1 0x6c;
        PACKSSWB = 0x66 1 0x63;
        PACKSSDW = 0x66 1 0x6b;
        PACKUSWB = 0x66 1 0x67;
        PACKUSDW = 0x66 2 0x2b;
        PCMPGTB = 0x66 1 0x64;
        PCMPGTW = 0x66 1 0x65;
        PCMPGTD = 0x66 1 0x66;
        PCMPEQB = 0x66 1 0x74;
        PCMPEQW = 0x66 1 0x75;
        PCMPEQD = 0x66 1 0x76;
        PCMPEQQ = 0x66 2 0x29;
        PADDB = 0x66 1 0xfc;
        PADDW = 0x66 1 0xfd;
        PADDD = 0x66 1 0xfe;
        PADDQ = 0x66 1 0xd4;
        PSUBB = 0x66 1 0xf8;
        PSUBW = 0x66 1 0xf9;
        PSUBD = 0x66 1 0xfa;
        PSUBQ = 0x66 1 0xfb;
        PADDSB = 0x66 1 0xec;
        PADDSW = 0x66 1 0xed;
        PADDUSB = 0x66 1 0xdc;
        PADDUSW = 0x66 1 0xdd;
        PSUBSB = 0x66 1 0xe8;
        PSUBSW = 0x66 1 0xe9;
        PSUBUSB = 0x66 1 0xd8;
        PSUBUSW = 0x66 1 0xd9;
        PMULLW = 0x66 1 0xd5;
        PMULUDQ = 0x66 1 0xf4;
        PMULLD = 0x66 2 0x40;
        PMULDQ = 0x66 2 0x28;
        PMULHRSW = 0x66 2 0x0b;
        PMADDWD = 0x66 1 0xf5;
        PMADDUBSW = 0x66 2 0x04;
        PHADDSW = 0x66 2 0x03;
        PAVGB = 0x66 1 0xe0;
        PAVGW = 0x66 1 0xe3;
        PMINUB = 0x66 1 0xda;
        PMINSW = 0x66 1 0xea;
        PMAXUB = 0x66 1 0xde;
        PMAXSW = 0x66 1 0xee;
        PMINSB = 0x66 2 0x38;
        PMINSD = 0x66 2 0x39;
        PMINUW = 0x66 2 0x3a;
        PMINUD = 0x66 2 0x3b;
        PMAXSB = 0x66 2 0x3c;
        PMAXSD = 0x66 2 0x3d;
        PMAXUW = 0x66 2 0x3e;
        PMAXUD = 0x66 2 0x3f;
        PABSB = 0x66 2 0x1c;
        PABSW = 0x66 2 0x1d;
        PABSD = 0x66 2 0x1e;
        PSHUFB = 0x66 2 0x00;
        PTEST = 0x66 2 0x17;
        PMOVSXBW = 0x66 2 0x20;
        PMOVSXWD = 0x66 2 0x23;
        PMOVSXDQ = 0x66 2 0x25;
        PMOVZXBW = 0x66 2 0x30;
        PMOVZXWD = 0x66 2 0x33;
        PMOVZXDQ = 0x66 2 0x35;
        PSLLW = 0x66 1 0xf1;
        PSLLD = 0x66 1 0xf2;
        PSLLQ = 0x66 1 0xf3;
        PSRLW = 0x66 1 0xd1;
        PSRLD = 0x66 1 0xd2;
        PSRLQ = 0x66 1 0xd3;
        PSRAW = 0x66 1 0xe1;
        PSRAD = 0x66 1 0xe2;
        PAND = 0x66 1 0xdb;
        PANDN = 0x66 1 0xdf;
        POR = 0x66 1 0xeb;
        PXOR = 0x66 1 0xef;
    }
    // Two vector registers.
    XX_REG {
        MOVLHPS = 0x00 1 0x16;
    }
    // Vector register, vector register or memory, one byte.
    XXI {
        ROUNDSS = 0x66 3 0x0a;
        ROUNDSD = 0x66 3 0x0b;
        ROUNDPS = 0x66 3 0x08;
        ROUNDPD = 0x66 3 0x09;
        CMPPS = 0x00 1 0xc2;
        CMPPD = 0x66 1 0xc2;
        SHUFPS = 0x00 1 0xc6;
        PSHUFD = 0x66 1 0x70;
        PSHUFLW = 0xf2 1 0x70;
        INSERTPS = 0x66 3 0x21;
        PBLENDW = 0x66 3 0x0e;
    }
    // Vector register or memory, vector register.
    XX_MR {
        MOVUPS_MR = 0x00 1 0x11;
        MOVSS_MR = 0xf3 1 0x11;
        MOVSD_MR = 0xf2 1 0x11;
    }
    // Vector register, general register or memory.
    XG {
        MOVD = 0x66 1 0x6e;
        CVTSI2SS = 0xf3 1 0x2a;
        CVTSI2SD = 0xf2 1 0x2a;
    }
    // General register, vector register or memory.
    GX {
        CVTTSS2SI = 0xf3 1 0x2c;
        CVTTSD2SI = 0xf2 1 0x2c;
    }
    // General register or memory, vector register.
    GX_MR {
        MOVD_MR = 0x66 1 0x7e;
    }
    // General register, vector register.
    GX_REG {
        PMOVMSKB = 0x66 1 0xd7;
        MOVMSKPS = 0x00 1 0x50;
        MOVMSKPD = 0x66 1 0x50;
    }
    // Vector register, general register or memory, one byte.
    XGI {
        PINSRB = 0x66 3 0x20;
        PINSRW = 0x66 1 0xc4;
        PINSRD = 0x66 3 0x22;
    }
    // General register or memory, vector register, one byte.
    GXI_MR {
        PEXTRB = 0x66 3 0x14;
        PEXTRW = 0x66 3 0x15;
        PEXTRD = 0x66 3 0x16;
    }
}
