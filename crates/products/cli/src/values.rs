//! Arguments and results of `--invoke`, as text.

use wasmoor::{Val, ValType};

/// The value of this type that the text means.
///
/// Integers may be signed or unsigned, decimal or `0x`; floats are those of Rust, `inf` and `nan`
/// included; a vector is 128 bits in `0x` form; the only reference that can be written is `null`.
///
/// # Errors
/// The text means no value of the type.
pub(crate) fn parse(text: &str, ty: ValType) -> Result<Val, String> {
    let value = match ty {
        ValType::I32 => integer(text, 32).map(|bits| Val::I32(bits as u32 as i32)),
        ValType::I64 => integer(text, 64).map(|bits| Val::I64(bits as u64 as i64)),
        ValType::F32 => text.parse::<f32>().ok().map(Val::from),
        ValType::F64 => text.parse::<f64>().ok().map(Val::from),
        ValType::V128 => hex(text).map(Val::V128),
        ValType::Ref(ty) if ty.nullable && text == "null" => {
            Some(Val::default_for(ValType::Ref(ty)))
        }
        ValType::Ref(_) => None,
    };
    value.ok_or_else(|| format!("`{text}` is no {ty}"))
}

/// Two's complement of an integer that fits in so many bits, read as signed or unsigned.
fn integer(text: &str, bits: u32) -> Option<u128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = match hex(digits) {
        Some(value) => value,
        None if digits.starts_with(|c: char| c.is_ascii_digit()) => digits.parse().ok()?,
        None => return None,
    };
    let limit = if negative { 1_u128 << (bits - 1) } else { (1_u128 << bits) - 1 };
    if magnitude > limit {
        return None;
    }
    Some(if negative { magnitude.wrapping_neg() } else { magnitude })
}

fn hex(text: &str) -> Option<u128> {
    let digits = text.strip_prefix("0x")?;
    // `from_str_radix` would take a sign.
    let plain = digits.starts_with(|c: char| c.is_ascii_hexdigit());
    if plain { u128::from_str_radix(digits, 16).ok() } else { None }
}

/// A value as people read it; integers are signed.
pub(crate) fn show(value: &Val) -> String {
    match value {
        Val::I32(value) => value.to_string(),
        Val::I64(value) => value.to_string(),
        Val::F32(bits) => f32::from_bits(*bits).to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        Val::V128(bits) => format!("{bits:#034x}"),
        Val::FuncRef(None) | Val::ExternRef(None) | Val::ExnRef(None) | Val::AnyRef(None) => {
            "null".to_owned()
        }
        Val::FuncRef(Some(_)) => "funcref".to_owned(),
        Val::ExternRef(Some(_)) => "externref".to_owned(),
        Val::ExnRef(Some(_)) => "exnref".to_owned(),
        Val::AnyRef(Some(_)) => "anyref".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmoor::RefType;

    #[test]
    fn values_round_trip() {
        for (ty, text, shown) in [
            (ValType::I32, "0", Some("0")),
            (ValType::I32, "-1", Some("-1")),
            (ValType::I32, "+1", Some("1")),
            (ValType::I32, "4294967295", Some("-1")),
            (ValType::I32, "0xffffffff", Some("-1")),
            (ValType::I32, "-0x80000000", Some("-2147483648")),
            (ValType::I32, "2147483647", Some("2147483647")),
            (ValType::I32, "-2147483649", None),
            (ValType::I32, "4294967296", None),
            (ValType::I32, "", None),
            (ValType::I32, "0x", None),
            (ValType::I32, "0x+1", None),
            (ValType::I32, "--1", None),
            (ValType::I32, "1.5", None),
            (ValType::I64, "18446744073709551615", Some("-1")),
            (ValType::I64, "-9223372036854775808", Some("-9223372036854775808")),
            (ValType::I64, "18446744073709551616", None),
            (ValType::F32, "1.5", Some("1.5")),
            (ValType::F64, "1e3", Some("1000")),
            (ValType::F64, "-inf", Some("-inf")),
            (ValType::F64, "nan", Some("NaN")),
            (ValType::F64, "x", None),
            (ValType::V128, "0x1", Some("0x00000000000000000000000000000001")),
            (ValType::V128, "1", None),
            (ValType::FUNCREF, "null", Some("null")),
            (ValType::EXTERNREF, "null", Some("null")),
            (ValType::EXTERNREF, "x", None),
            (ValType::Ref(RefType { nullable: false, ..RefType::FUNCREF }), "null", None),
        ] {
            let value = parse(text, ty).ok();
            assert_eq!(value.as_ref().map(show).as_deref(), shown, "{ty} {text}");
        }
    }
}
