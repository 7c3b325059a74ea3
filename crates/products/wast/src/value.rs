//! Values of scripts: arguments, and patterns that results are compared with.

use std::collections::HashMap;
use std::fmt;
use wasmoor::{AsContext, AsContextMut, Error, ExternRef, RefFamily, Store, Val};
use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::token::{F32, F64};
use wast::{WastArg, WastRet};

/// Host references of a script, by the number that the script calls them.
#[derive(Debug, Default)]
pub(crate) struct HostRefs {
    refs: HashMap<u32, ExternRef>,
}

/// Why an argument has no value.
#[derive(Debug)]
pub(crate) enum ArgError {
    /// It is of a type that the API does not have.
    Unsupported,
    /// The store refused it.
    Refused(Error),
}

impl HostRefs {
    fn get(&mut self, store: &mut Store<()>, number: u32) -> Result<ExternRef, ArgError> {
        if let Some(&found) = self.refs.get(&number) {
            return Ok(found);
        }
        let made = ExternRef::new(store.as_context_mut(), number).map_err(ArgError::Refused)?;
        self.refs.insert(number, made);
        Ok(made)
    }

    /// The value of an argument.
    pub(crate) fn argument(
        &mut self,
        store: &mut Store<()>,
        arg: &WastArg<'_>,
    ) -> Result<Val, ArgError> {
        let WastArg::Core(arg) = arg else { return Err(ArgError::Unsupported) };
        Ok(match arg {
            WastArgCore::I32(value) => Val::I32(*value),
            WastArgCore::I64(value) => Val::I64(*value),
            WastArgCore::F32(value) => Val::F32(value.bits),
            WastArgCore::F64(value) => Val::F64(value.bits),
            WastArgCore::V128(value) => Val::V128(u128::from_le_bytes(value.to_le_bytes())),
            WastArgCore::RefNull(heap) => match family(heap) {
                Some(RefFamily::Func) => Val::FuncRef(None),
                Some(RefFamily::Extern) => Val::ExternRef(None),
                Some(RefFamily::Exn) => Val::ExnRef(None),
                Some(RefFamily::Any) => Val::AnyRef(None),
                None => return Err(ArgError::Unsupported),
            },
            WastArgCore::RefExtern(number) => Val::ExternRef(Some(self.get(store, *number)?)),
            WastArgCore::RefHost(_) => return Err(ArgError::Unsupported),
        })
    }
}

fn family(heap: &HeapType<'_>) -> Option<RefFamily> {
    use AbstractHeapType as Abstract;
    let HeapType::Abstract { ty, .. } = heap else {
        // A null of a defined type: functions, as long as there are no objects.
        return matches!(heap, HeapType::Concrete(_)).then_some(RefFamily::Func);
    };
    Some(match ty {
        Abstract::Func | Abstract::NoFunc => RefFamily::Func,
        Abstract::Extern | Abstract::NoExtern => RefFamily::Extern,
        Abstract::Exn | Abstract::NoExn => RefFamily::Exn,
        Abstract::Any
        | Abstract::Eq
        | Abstract::I31
        | Abstract::Struct
        | Abstract::Array
        | Abstract::None => RefFamily::Any,
        Abstract::Cont | Abstract::NoCont => return None,
    })
}

/// Whether the results are what the patterns demand, in number and value.
pub(crate) fn all_match(store: &Store<()>, results: &[Val], patterns: &[WastRet<'_>]) -> bool {
    results.len() == patterns.len()
        && results.iter().zip(patterns).all(|(result, pattern)| match pattern {
            WastRet::Core(pattern) => matches(store, result, pattern),
            _ => false,
        })
}

fn matches(store: &Store<()>, result: &Val, pattern: &WastRetCore<'_>) -> bool {
    match (pattern, result) {
        (WastRetCore::I32(expected), Val::I32(value)) => expected == value,
        (WastRetCore::I64(expected), Val::I64(value)) => expected == value,
        (WastRetCore::F32(expected), Val::F32(bits)) => f32_matches(*bits, expected),
        (WastRetCore::F64(expected), Val::F64(bits)) => f64_matches(*bits, expected),
        (WastRetCore::V128(expected), Val::V128(bits)) => v128_matches(*bits, expected),
        (WastRetCore::RefNull(heap), _) => null_matches(result, heap.as_ref()),
        (WastRetCore::RefExtern(number), Val::ExternRef(Some(object))) => {
            let data = object.data(store).and_then(|data| data.downcast_ref::<u32>());
            number.is_none_or(|number| data == Some(&number))
        }
        // An index would name a function of an instance that scripts cannot name: any will do.
        (WastRetCore::RefFunc(_), Val::FuncRef(func)) => func.is_some(),
        (WastRetCore::Either(patterns), _) => {
            patterns.iter().any(|pattern| matches(store, result, pattern))
        }
        _ => false,
    }
}

fn null_matches(result: &Val, heap: Option<&HeapType<'_>>) -> bool {
    let found = match result {
        Val::FuncRef(None) => RefFamily::Func,
        Val::ExternRef(None) => RefFamily::Extern,
        Val::ExnRef(None) => RefFamily::Exn,
        Val::AnyRef(None) => RefFamily::Any,
        _ => return false,
    };
    heap.is_none_or(|heap| family(heap) == Some(found))
}

/// A NaN is *canonical* when only the payload's highest bit is set, *arithmetic* when at least
/// that bit is (syntax-nan); the sign does not matter.
fn f32_matches(bits: u32, pattern: &NanPattern<F32>) -> bool {
    const QUIET: u32 = 0x7fc0_0000;
    match pattern {
        NanPattern::CanonicalNan => bits & !(1 << 31) == QUIET,
        NanPattern::ArithmeticNan => bits & QUIET == QUIET,
        NanPattern::Value(value) => value.bits == bits,
    }
}

fn f64_matches(bits: u64, pattern: &NanPattern<F64>) -> bool {
    const QUIET: u64 = 0x7ff8_0000_0000_0000;
    match pattern {
        NanPattern::CanonicalNan => bits & !(1 << 63) == QUIET,
        NanPattern::ArithmeticNan => bits & QUIET == QUIET,
        NanPattern::Value(value) => value.bits == bits,
    }
}

fn v128_matches(bits: u128, pattern: &V128Pattern) -> bool {
    let bytes = bits.to_le_bytes();
    match pattern {
        V128Pattern::I8x16(lanes) => {
            lanes_match(&bytes, lanes, |b: [u8; 1], lane| i8::from_le_bytes(b) == *lane)
        }
        V128Pattern::I16x8(lanes) => {
            lanes_match(&bytes, lanes, |b, lane| i16::from_le_bytes(b) == *lane)
        }
        V128Pattern::I32x4(lanes) => {
            lanes_match(&bytes, lanes, |b, lane| i32::from_le_bytes(b) == *lane)
        }
        V128Pattern::I64x2(lanes) => {
            lanes_match(&bytes, lanes, |b, lane| i64::from_le_bytes(b) == *lane)
        }
        V128Pattern::F32x4(lanes) => {
            lanes_match(&bytes, lanes, |b, lane| f32_matches(u32::from_le_bytes(b), lane))
        }
        V128Pattern::F64x2(lanes) => {
            lanes_match(&bytes, lanes, |b, lane| f64_matches(u64::from_le_bytes(b), lane))
        }
    }
}

/// Compares each lane of `N` bytes with its pattern.
fn lanes_match<const N: usize, T>(
    bytes: &[u8; 16],
    lanes: &[T],
    matches: impl Fn([u8; N], &T) -> bool,
) -> bool {
    let (found, rest) = bytes.as_chunks::<N>();
    debug_assert!(rest.is_empty() && found.len() == lanes.len());
    found.iter().zip(lanes).all(|(found, lane)| matches(*found, lane))
}

/// Values in messages, with the bits of floats.
pub(crate) struct Shown<'a>(pub(crate) &'a Store<()>, pub(crate) &'a [Val]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown(store, values) = self;
        if values.is_empty() {
            return f.write_str("no results");
        }
        for (i, value) in values.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            show(f, store, value)?;
        }
        Ok(())
    }
}

fn show(f: &mut fmt::Formatter<'_>, store: &Store<()>, value: &Val) -> fmt::Result {
    match value {
        Val::I32(value) => write!(f, "i32 {value}"),
        Val::I64(value) => write!(f, "i64 {value}"),
        Val::F32(bits) => write!(f, "f32 {:?} ({bits:#010x})", f32::from_bits(*bits)),
        Val::F64(bits) => write!(f, "f64 {:?} ({bits:#018x})", f64::from_bits(*bits)),
        Val::V128(bits) => write!(f, "v128 {bits:#034x}"),
        Val::FuncRef(None) => f.write_str("null funcref"),
        Val::FuncRef(Some(_)) => f.write_str("funcref"),
        Val::ExternRef(None) => f.write_str("null externref"),
        Val::ExnRef(None) => f.write_str("null exnref"),
        Val::ExnRef(Some(_)) => f.write_str("exnref"),
        Val::AnyRef(None) => f.write_str("null anyref"),
        Val::AnyRef(Some(_)) => f.write_str("anyref"),
        Val::ExternRef(Some(object)) => {
            let store = store.as_context();
            match object.data(&store).and_then(|data| data.downcast_ref::<u32>()) {
                Some(number) => write!(f, "externref {number}"),
                None => f.write_str("externref"),
            }
        }
    }
}

/// Patterns in messages.
pub(crate) fn show_patterns(patterns: &[WastRet<'_>]) -> String {
    if patterns.is_empty() {
        return "no results".to_string();
    }
    patterns.iter().map(show_pattern).collect::<Vec<_>>().join(", ")
}

fn show_pattern(pattern: &WastRet<'_>) -> String {
    match pattern {
        WastRet::Core(pattern) => show_core_pattern(pattern),
        other => format!("{other:?}"),
    }
}

fn show_core_pattern(pattern: &WastRetCore<'_>) -> String {
    match pattern {
        WastRetCore::I32(value) => format!("i32 {value}"),
        WastRetCore::I64(value) => format!("i64 {value}"),
        WastRetCore::F32(NanPattern::Value(value)) => {
            format!("f32 {:?} ({:#010x})", f32::from_bits(value.bits), value.bits)
        }
        WastRetCore::F64(NanPattern::Value(value)) => {
            format!("f64 {:?} ({:#018x})", f64::from_bits(value.bits), value.bits)
        }
        WastRetCore::F32(nan) => format!("f32 {}", show_nan(nan)),
        WastRetCore::F64(nan) => format!("f64 {}", show_nan(nan)),
        WastRetCore::RefExtern(Some(number)) => format!("externref {number}"),
        WastRetCore::Either(patterns) => {
            patterns.iter().map(show_core_pattern).collect::<Vec<_>>().join(" or ")
        }
        other => format!("{other:?}"),
    }
}

fn show_nan<T>(pattern: &NanPattern<T>) -> &'static str {
    match pattern {
        NanPattern::CanonicalNan => "nan:canonical",
        NanPattern::ArithmeticNan => "nan:arithmetic",
        NanPattern::Value(_) => "value",
    }
}
