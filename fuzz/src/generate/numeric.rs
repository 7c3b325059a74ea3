//! The numeric operators with what they take and give: the list that expressions are made of.
//!
//! Kinds are finer than types: they tell whether the bits of NaNs in a value are fixed by the
//! specification. A value whose bits are open (what `f32.add` gives) may go wherever only its
//! number matters; where bits matter its NaNs are replaced first. So expressions stay as compilers
//! like them, without a replacement behind every operator.

use crate::normal::Shape;
use std::sync::OnceLock;
use wasm_encoder::{Instruction as I, ValType};

/// What is known of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit float; a NaN may be any.
    F32,
    /// 32-bit float of fixed bits.
    F32Bits,
    /// 64-bit float; a NaN may be any.
    F64,
    /// 64-bit float of fixed bits.
    F64Bits,
    /// Vector of fixed bits.
    V128,
    /// Vector of 32-bit floats; NaNs may be any.
    F32x4,
    /// Vector of 64-bit floats; NaNs may be any.
    F64x2,
}

impl Kind {
    /// The value type.
    pub(super) const fn ty(self) -> ValType {
        match self {
            Kind::I32 => ValType::I32,
            Kind::I64 => ValType::I64,
            Kind::F32 | Kind::F32Bits => ValType::F32,
            Kind::F64 | Kind::F64Bits => ValType::F64,
            Kind::V128 | Kind::F32x4 | Kind::F64x2 => ValType::V128,
        }
    }

    /// The kind of a value of this type that came from anywhere: from a local or a call.
    pub(super) const fn of(ty: ValType) -> Kind {
        match ty {
            ValType::I32 => Kind::I32,
            ValType::I64 => Kind::I64,
            ValType::F32 => Kind::F32,
            ValType::F64 => Kind::F64,
            _ => Kind::V128,
        }
    }

    /// Where NaNs of open bits may be.
    pub(super) const fn open(self) -> Option<Shape> {
        match self {
            Kind::F32 => Some(Shape::F32),
            Kind::F64 => Some(Shape::F64),
            Kind::F32x4 => Some(Shape::F32x4),
            Kind::F64x2 => Some(Shape::F64x2),
            _ => None,
        }
    }

    /// Whether a value of this kind may stand where `wanted` is.
    pub(super) fn fits(self, wanted: Kind) -> bool {
        self == wanted
            || matches!(
                (self, wanted),
                (Kind::F32Bits, Kind::F32)
                    | (Kind::F64Bits, Kind::F64)
                    | (Kind::V128, Kind::F32x4 | Kind::F64x2)
            )
    }
}

/// How an operator's instruction is made.
#[derive(Clone, Copy)]
pub(super) enum Make {
    /// It has no immediates.
    Plain(fn() -> I<'static>),
    /// It names one of so many lanes.
    Lane(fn(u8) -> I<'static>, u8),
    /// It names 16 lanes of two vectors.
    Lanes(fn([u8; 16]) -> I<'static>),
}

/// A numeric operator.
#[derive(Clone, Copy)]
pub(super) struct Numeric {
    pub(super) make: Make,
    pub(super) params: &'static [Kind],
    pub(super) result: Kind,
    /// Whether it traps for some operands.
    pub(super) traps: bool,
}

/// Operators that take and give the same kinds.
struct Group {
    params: &'static [Kind],
    result: Kind,
    traps: bool,
    makes: &'static [Make],
}

macro_rules! numeric {
    ($( $($params:ident)* => $result:ident $([$traps:ident])? { $($op:ident)* $(; $($lane:ident($lanes:literal))*)? } )*) => {
        const GROUPS: &[Group] = &[$( Group {
            params: &[$(Kind::$params),*],
            result: Kind::$result,
            traps: numeric!(@traps $($traps)?),
            makes: &[
                $( Make::Plain(|| I::$op), )*
                $( $( Make::Lane(|lane| I::$lane(lane), $lanes), )* )?
            ],
        } ),*];
    };
    (@traps) => { false };
    (@traps traps) => { true };
}

/// Every numeric operator but constants.
pub(super) fn numeric() -> &'static [Numeric] {
    static ALL: OnceLock<Vec<Numeric>> = OnceLock::new();
    ALL.get_or_init(|| {
        let of_group = |group: &Group| {
            let Group { params, result, traps, makes } = *group;
            makes.iter().map(move |&make| Numeric { make, params, result, traps })
        };
        GROUPS.iter().chain([&SHUFFLE]).flat_map(of_group).collect()
    })
}

const SHUFFLE: Group = Group {
    params: &[Kind::V128, Kind::V128],
    result: Kind::V128,
    traps: false,
    makes: &[Make::Lanes(I::I8x16Shuffle)],
};

numeric! {
    I32 => I32 { I32Eqz I32Clz I32Ctz I32Popcnt I32Extend8S I32Extend16S }
    I32 I32 => I32 {
        I32Add I32Sub I32Mul I32And I32Or I32Xor I32Shl I32ShrS I32ShrU I32Rotl I32Rotr
        I32Eq I32Ne I32LtS I32LtU I32GtS I32GtU I32LeS I32LeU I32GeS I32GeU
    }
    I32 I32 => I32 [traps] { I32DivS I32DivU I32RemS I32RemU }
    I64 => I32 { I64Eqz I32WrapI64 }
    I64 => I64 { I64Clz I64Ctz I64Popcnt I64Extend8S I64Extend16S I64Extend32S }
    I64 I64 => I32 { I64Eq I64Ne I64LtS I64LtU I64GtS I64GtU I64LeS I64LeU I64GeS I64GeU }
    I64 I64 => I64 { I64Add I64Sub I64Mul I64And I64Or I64Xor I64Shl I64ShrS I64ShrU I64Rotl I64Rotr }
    I64 I64 => I64 [traps] { I64DivS I64DivU I64RemS I64RemU }
    I32 => I64 { I64ExtendI32S I64ExtendI32U }
    F32 => F32 { F32Abs F32Neg F32Ceil F32Floor F32Trunc F32Nearest F32Sqrt }
    F32 F32 => F32 { F32Add F32Sub F32Mul F32Div F32Min F32Max }
    F32 F32Bits => F32 { F32Copysign }
    F32 F32 => I32 { F32Eq F32Ne F32Lt F32Gt F32Le F32Ge }
    F64 => F64 { F64Abs F64Neg F64Ceil F64Floor F64Trunc F64Nearest F64Sqrt }
    F64 F64 => F64 { F64Add F64Sub F64Mul F64Div F64Min F64Max }
    F64 F64Bits => F64 { F64Copysign }
    F64 F64 => I32 { F64Eq F64Ne F64Lt F64Gt F64Le F64Ge }
    F32 => I32 [traps] { I32TruncF32S I32TruncF32U }
    F64 => I32 [traps] { I32TruncF64S I32TruncF64U }
    F32 => I64 [traps] { I64TruncF32S I64TruncF32U }
    F64 => I64 [traps] { I64TruncF64S I64TruncF64U }
    F32 => I32 { I32TruncSatF32S I32TruncSatF32U }
    F64 => I32 { I32TruncSatF64S I32TruncSatF64U }
    F32 => I64 { I64TruncSatF32S I64TruncSatF32U }
    F64 => I64 { I64TruncSatF64S I64TruncSatF64U }
    I32 => F32Bits { F32ConvertI32S F32ConvertI32U F32ReinterpretI32 }
    I64 => F32Bits { F32ConvertI64S F32ConvertI64U }
    I32 => F64Bits { F64ConvertI32S F64ConvertI32U }
    I64 => F64Bits { F64ConvertI64S F64ConvertI64U F64ReinterpretI64 }
    F64 => F32 { F32DemoteF64 }
    F32 => F64 { F64PromoteF32 }
    F32Bits => I32 { I32ReinterpretF32 }
    F64Bits => I64 { I64ReinterpretF64 }
    V128 => V128 {
        V128Not
        I8x16Abs I8x16Neg I8x16Popcnt I16x8Abs I16x8Neg I32x4Abs I32x4Neg I64x2Abs I64x2Neg
        I16x8ExtAddPairwiseI8x16S I16x8ExtAddPairwiseI8x16U
        I32x4ExtAddPairwiseI16x8S I32x4ExtAddPairwiseI16x8U
        I16x8ExtendLowI8x16S I16x8ExtendHighI8x16S I16x8ExtendLowI8x16U I16x8ExtendHighI8x16U
        I32x4ExtendLowI16x8S I32x4ExtendHighI16x8S I32x4ExtendLowI16x8U I32x4ExtendHighI16x8U
        I64x2ExtendLowI32x4S I64x2ExtendHighI32x4S I64x2ExtendLowI32x4U I64x2ExtendHighI32x4U
        F32x4ConvertI32x4S F32x4ConvertI32x4U F64x2ConvertLowI32x4S F64x2ConvertLowI32x4U
    }
    V128 V128 => V128 {
        V128And V128AndNot V128Or V128Xor I8x16Swizzle
        I8x16Eq I8x16Ne I8x16LtS I8x16LtU I8x16GtS I8x16GtU I8x16LeS I8x16LeU I8x16GeS I8x16GeU
        I16x8Eq I16x8Ne I16x8LtS I16x8LtU I16x8GtS I16x8GtU I16x8LeS I16x8LeU I16x8GeS I16x8GeU
        I32x4Eq I32x4Ne I32x4LtS I32x4LtU I32x4GtS I32x4GtU I32x4LeS I32x4LeU I32x4GeS I32x4GeU
        I64x2Eq I64x2Ne I64x2LtS I64x2GtS I64x2LeS I64x2GeS
        I8x16NarrowI16x8S I8x16NarrowI16x8U I16x8NarrowI32x4S I16x8NarrowI32x4U
        I8x16Add I8x16AddSatS I8x16AddSatU I8x16Sub I8x16SubSatS I8x16SubSatU
        I8x16MinS I8x16MinU I8x16MaxS I8x16MaxU I8x16AvgrU
        I16x8Add I16x8AddSatS I16x8AddSatU I16x8Sub I16x8SubSatS I16x8SubSatU I16x8Mul
        I16x8MinS I16x8MinU I16x8MaxS I16x8MaxU I16x8AvgrU I16x8Q15MulrSatS
        I16x8ExtMulLowI8x16S I16x8ExtMulHighI8x16S I16x8ExtMulLowI8x16U I16x8ExtMulHighI8x16U
        I32x4Add I32x4Sub I32x4Mul I32x4MinS I32x4MinU I32x4MaxS I32x4MaxU I32x4DotI16x8S
        I32x4ExtMulLowI16x8S I32x4ExtMulHighI16x8S I32x4ExtMulLowI16x8U I32x4ExtMulHighI16x8U
        I64x2Add I64x2Sub I64x2Mul
        I64x2ExtMulLowI32x4S I64x2ExtMulHighI32x4S I64x2ExtMulLowI32x4U I64x2ExtMulHighI32x4U
    }
    V128 V128 V128 => V128 { V128Bitselect }
    V128 I32 => V128 {
        I8x16Shl I8x16ShrS I8x16ShrU I16x8Shl I16x8ShrS I16x8ShrU
        I32x4Shl I32x4ShrS I32x4ShrU I64x2Shl I64x2ShrS I64x2ShrU;
        I8x16ReplaceLane(16) I16x8ReplaceLane(8) I32x4ReplaceLane(4)
    }
    V128 I64 => V128 { ; I64x2ReplaceLane(2) }
    V128 => I32 {
        V128AnyTrue I8x16AllTrue I16x8AllTrue I32x4AllTrue I64x2AllTrue
        I8x16Bitmask I16x8Bitmask I32x4Bitmask I64x2Bitmask;
        I8x16ExtractLaneS(16) I8x16ExtractLaneU(16) I16x8ExtractLaneS(8) I16x8ExtractLaneU(8)
        I32x4ExtractLane(4)
    }
    V128 => I64 { ; I64x2ExtractLane(2) }
    I32 => V128 { I8x16Splat I16x8Splat I32x4Splat }
    I64 => V128 { I64x2Splat }
    F32 => F32x4 { F32x4Splat }
    F64 => F64x2 { F64x2Splat }
    F32x4 => F32 { ; F32x4ExtractLane(4) }
    F64x2 => F64 { ; F64x2ExtractLane(2) }
    F32x4 F32 => F32x4 { ; F32x4ReplaceLane(4) }
    F64x2 F64 => F64x2 { ; F64x2ReplaceLane(2) }
    F32x4 => F32x4 { F32x4Abs F32x4Neg F32x4Sqrt F32x4Ceil F32x4Floor F32x4Trunc F32x4Nearest }
    F64x2 => F64x2 { F64x2Abs F64x2Neg F64x2Sqrt F64x2Ceil F64x2Floor F64x2Trunc F64x2Nearest }
    F32x4 F32x4 => F32x4 { F32x4Add F32x4Sub F32x4Mul F32x4Div F32x4Min F32x4Max F32x4PMin F32x4PMax }
    F64x2 F64x2 => F64x2 { F64x2Add F64x2Sub F64x2Mul F64x2Div F64x2Min F64x2Max F64x2PMin F64x2PMax }
    F32x4 F32x4 => V128 { F32x4Eq F32x4Ne F32x4Lt F32x4Gt F32x4Le F32x4Ge }
    F64x2 F64x2 => V128 { F64x2Eq F64x2Ne F64x2Lt F64x2Gt F64x2Le F64x2Ge }
    F32x4 => V128 { I32x4TruncSatF32x4S I32x4TruncSatF32x4U }
    F64x2 => V128 { I32x4TruncSatF64x2SZero I32x4TruncSatF64x2UZero }
    F64x2 => F32x4 { F32x4DemoteF64x2Zero }
    F32x4 => F64x2 { F64x2PromoteLowF32x4 }
}
