//! Values that all engines understand, and the interesting ones among them.

use crate::random::Random;
use wasmparser::ValType;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 128-bit vector.
    V128,
    /// Nullable reference to a function.
    FuncRef,
    /// Nullable reference to something of the host's.
    ExternRef,
}

impl Type {
    /// The type in our terms; `None`: no generated module uses it.
    #[must_use]
    pub fn of(ty: ValType) -> Option<Type> {
        Some(match ty {
            ValType::I32 => Type::I32,
            ValType::I64 => Type::I64,
            ValType::F32 => Type::F32,
            ValType::F64 => Type::F64,
            ValType::V128 => Type::V128,
            ValType::FUNCREF => Type::FuncRef,
            ValType::EXTERNREF => Type::ExternRef,
            ValType::Ref(_) => return None,
        })
    }
}

/// A value.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// 32-bit integer.
    I32(i32),
    /// 64-bit integer.
    I64(i64),
    /// Bits of a 32-bit float.
    F32(u32),
    /// Bits of a 64-bit float.
    F64(u64),
    /// 128-bit vector, little-endian.
    V128(u128),
    /// Whether there is a function: engines have no common names for functions.
    FuncRef(bool),
    /// The host's number for the object.
    ExternRef(Option<u32>),
}

impl Value {
    /// Whether two engines agree. All NaNs are one: WebAssembly does not say which one arithmetic
    /// makes (`nan propagation`), and a program that looks at the bits was kept from it
    /// (see [`crate::normal`]).
    #[must_use]
    pub fn agrees(&self, other: &Value) -> bool {
        self.bits() == other.bits()
    }

    /// Kind and bits, with one pattern for all NaNs.
    #[must_use]
    pub fn bits(&self) -> (u8, u128) {
        match *self {
            Value::I32(value) => (0, value as u32 as u128),
            Value::I64(value) => (1, value as u64 as u128),
            Value::F32(bits) if f32::from_bits(bits).is_nan() => (2, u128::MAX),
            Value::F32(bits) => (2, bits.into()),
            Value::F64(bits) if f64::from_bits(bits).is_nan() => (3, u128::MAX),
            Value::F64(bits) => (3, bits.into()),
            Value::V128(bits) => (4, bits),
            Value::FuncRef(some) => (5, some.into()),
            Value::ExternRef(object) => (6, object.map_or(u128::MAX, u128::from)),
        }
    }

    /// A value of this type that is likely to be a corner case. Functions are null: the engines
    /// could not be given the same one.
    pub fn interesting(ty: Type, random: &mut Random) -> Value {
        match ty {
            Type::I32 => Value::I32(interesting_i32(random)),
            Type::I64 => Value::I64(interesting_i64(random)),
            Type::F32 => Value::F32(interesting_f32(random)),
            Type::F64 => Value::F64(interesting_f64(random)),
            Type::V128 => Value::V128(interesting_v128(random)),
            Type::FuncRef => Value::FuncRef(false),
            Type::ExternRef => {
                Value::ExternRef(random.chance(3, 4).then(|| random.below(100) as u32))
            }
        }
    }
}

/// Bytes of a memory page: ends of pages are corner cases among integers, too.
const PAGE: i64 = 65536;

fn interesting_i32(random: &mut Random) -> i32 {
    interesting_i64(random) as i32
}

fn interesting_i64(random: &mut Random) -> i64 {
    match random.below(12) {
        0 => 0,
        1 => -1,
        2 => *random.pick(&[i64::MIN, i64::MAX, i32::MIN.into(), i32::MAX.into()]),
        3 => i64::from(u32::MAX) + random.between(0, 2) as i64,
        4 | 5 => random.between(0, 40) as i64,
        6 => -(random.between(0, 40) as i64),
        7 | 8 => PAGE * random.between(1, 3) as i64 - random.between(0, 20) as i64,
        // A power of two or one beside it.
        9 => (1i64 << random.below(64)).wrapping_add(random.between(0, 2) as i64 - 1),
        // A byte repeated: what lanes and extensions like.
        10 => i64::from_le_bytes([random.bits() as u8; 8]),
        _ => random.bits() as i64,
    }
}

fn interesting_f32(random: &mut Random) -> u32 {
    let sign = if random.chance(1, 2) { 0x8000_0000 } else { 0 };
    sign | match random.below(9) {
        0 => 0,
        1 => f32::INFINITY.to_bits(),
        2 => *random.pick(&[0x7fc0_0000, 0x7f80_0001, 0x7fff_ffff, 0x7fa0_0000]),
        3 => *random.pick(&[1, 0x007f_ffff, 0x0080_0000, 0x7f7f_ffff]),
        4 => (random.between(0, 9) as f32 / 2.0).to_bits(),
        // Around the ends of the integers.
        5 => {
            let end = *random.pick(&[
                128f32,
                256.0,
                32768.0,
                65536.0,
                2e9,
                2147483648.0,
                4294967296.0,
                9.223_372e18,
                1.844_674_4e19,
            ]);
            end.to_bits().wrapping_add(random.between(0, 2) as u32).wrapping_sub(1)
        }
        6 => (random.bits() as i32 as f32).abs().to_bits(),
        _ => random.bits() as u32 & 0x7fff_ffff,
    }
}

fn interesting_f64(random: &mut Random) -> u64 {
    let sign = if random.chance(1, 2) { 1 << 63 } else { 0 };
    sign | match random.below(9) {
        0 => 0,
        1 => f64::INFINITY.to_bits(),
        2 => *random.pick(&[0x7ff8 << 48, (0x7ff0 << 48) | 1, u64::MAX >> 1, 0x7ff4 << 48]),
        3 => *random.pick(&[1, (1 << 52) - 1, 1 << 52, f64::MAX.to_bits()]),
        4 => (random.between(0, 9) as f64 / 2.0).to_bits(),
        5 => {
            let end = *random.pick(&[
                2147483648f64,
                4294967296.0,
                9.223_372_036_854_776e18,
                1.844_674_407_370_955_2e19,
                4_503_599_627_370_496.0,
                3.402_823_466e38,
            ]);
            end.to_bits().wrapping_add(random.between(0, 2) as u64).wrapping_sub(1)
        }
        6 => (random.bits() as i64 as f64).abs().to_bits(),
        // What a 32-bit float holds exactly.
        7 => {
            f64::from(f32::from_bits(interesting_f32(random) & 0x7fff_ffff)).to_bits() & !(1 << 63)
        }
        _ => random.bits() >> 1,
    }
}

fn interesting_v128(random: &mut Random) -> u128 {
    let mut lanes = [0u8; 16];
    let shape = random.below(6);
    let width = [1, 2, 4, 8, 4, 8][shape];
    for lane in lanes.chunks_exact_mut(width) {
        let bits = match shape {
            4 => u64::from(interesting_f32(random)),
            5 => interesting_f64(random),
            0 => *random.pick(&[0, 1, 2, 15, 16, 0x7f, 0x80, 0xff, 0x40]),
            1 => *random.pick(&[0, 1, 2, 0x7fff, 0x8000, 0xffff, 0x00ff, 0x0080, 0x4000]),
            _ => interesting_i64(random) as u64,
        };
        lane.copy_from_slice(&bits.to_le_bytes()[..width]);
    }
    u128::from_le_bytes(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_agree() {
        let nan = |bits: u32| Value::F32(f32::NAN.to_bits() ^ bits);
        let cases = [
            (Value::I32(1), Value::I32(1), true),
            (Value::I32(1), Value::I64(1), false),
            (Value::I32(-1), Value::I32(1), false),
            (nan(1), nan(0x8000_0000), true),
            (Value::F32(0), Value::F32(0x8000_0000), false),
            (Value::F64(f64::NAN.to_bits()), Value::F64(0), false),
            (Value::ExternRef(None), Value::ExternRef(Some(0)), false),
            (Value::FuncRef(true), Value::FuncRef(true), true),
        ];
        for (left, right, agree) in cases {
            assert_eq!(left.agrees(&right), agree, "{left:?} {right:?}");
        }
    }

    #[test]
    fn corner_cases_come_up() {
        let mut random = Random::new(1);
        let mut seen = |ty, wanted: Value| {
            (0..10_000).any(|_| Value::interesting(ty, &mut random).agrees(&wanted))
        };
        for (ty, value) in [
            (Type::I32, Value::I32(i32::MIN)),
            (Type::I32, Value::I32(i32::MAX)),
            (Type::I32, Value::I32(65535)),
            (Type::I64, Value::I64(i64::MIN)),
            (Type::F32, Value::F32(f32::NAN.to_bits())),
            (Type::F32, Value::F32(2147483648f32.to_bits())),
            (Type::F64, Value::F64(1)),
            (Type::F64, Value::F64((-0.0f64).to_bits())),
        ] {
            assert!(seen(ty, value), "{value:?}");
        }
    }
}
