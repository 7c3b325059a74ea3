//! Every operator by name, from the decoder's own list.

use std::sync::OnceLock;
use wasmparser::Operator;

/// A number for each operator of all proposals; the order has no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperatorId(u16);

impl OperatorId {
    /// The operator's number as an index into tables with [`count`] entries.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

macro_rules! table {
    ($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*) )*) => {
        /// The operators' proposals and method names, by number.
        const TABLE: &[(&str, &str)] = &[$( (stringify!($proposal), stringify!($visit)) ),*];

        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "one name per operator")]
        enum Number { $( $op, )* }

        /// The operator's number.
        #[must_use]
        pub fn id(operator: &Operator<'_>) -> OperatorId {
            match operator {
                $( Operator::$op $( { $($arg: _),* } )? => OperatorId(Number::$op as u16), )*
                // The list is the decoder's, so there is no other.
                _ => OperatorId(0),
            }
        }
    };
}
wasmparser::for_each_operator!(table);

/// Number of operators of all proposals.
#[must_use]
pub const fn count() -> usize {
    TABLE.len()
}

/// The proposals that wasmi knows, by the decoder's names.
const PROPOSALS: &[&str] = &[
    "mvp",
    "sign_extension",
    "saturating_float_to_int",
    "bulk_memory",
    "reference_types",
    "simd",
    "tail_call",
];

/// The operators that generated modules may have and wasmi knows.
pub fn enabled() -> impl Iterator<Item = OperatorId> {
    of_proposals(PROPOSALS)
}

/// The operators of some proposals, by the decoder's names.
pub fn of_proposals(names: &[&str]) -> impl Iterator<Item = OperatorId> {
    (0..TABLE.len() as u16).map(OperatorId).filter(move |id| names.contains(&TABLE[id.index()].0))
}

/// The operator's name in the text format.
#[must_use]
pub fn name(id: OperatorId) -> &'static str {
    static NAMES: OnceLock<Vec<String>> = OnceLock::new();
    &NAMES.get_or_init(|| TABLE.iter().map(|(_, visit)| text_name(visit)).collect())[id.index()]
}

/// The operator with this name in the text format.
#[must_use]
pub fn by_name(wanted: &str) -> Option<OperatorId> {
    (0..TABLE.len() as u16).map(OperatorId).find(|&id| name(id) == wanted)
}

/// `visit_i32_add` is `i32.add`; `visit_br_if` is `br_if`.
fn text_name(visit: &str) -> String {
    const SPACES: &[&str] = &[
        "i32", "i64", "f32", "f64", "v128", "i8x16", "i16x8", "i32x4", "i64x2", "f32x4", "f64x2",
        "local", "global", "table", "memory", "data", "elem", "ref",
    ];
    let name = visit.strip_prefix("visit_").unwrap_or(visit);
    match name.split_once('_') {
        Some((space, rest)) if SPACES.contains(&space) => format!("{space}.{rest}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_text_format() {
        for (operator, text) in [
            (Operator::I32Add, "i32.add"),
            (Operator::BrIf { relative_depth: 0 }, "br_if"),
            (Operator::V128AndNot, "v128.andnot"),
            (Operator::I32x4TruncSatF64x2SZero, "i32x4.trunc_sat_f64x2_s_zero"),
            (Operator::MemoryFill { mem: 0 }, "memory.fill"),
            (Operator::CallIndirect { type_index: 0, table_index: 0 }, "call_indirect"),
        ] {
            assert_eq!(name(id(&operator)), text);
            assert_eq!(by_name(text), Some(id(&operator)));
        }
    }

    #[test]
    fn all_operators_of_2_0_are_enabled() {
        // The specification's index of instructions, 2.0: 436 with vectors; tail calls add two.
        let enabled: Vec<_> = enabled().map(name).collect();
        assert!(enabled.contains(&"return_call_indirect"));
        assert!(!enabled.contains(&"throw"));
        assert!((430..450).contains(&enabled.len()), "{}", enabled.len());
    }
}
