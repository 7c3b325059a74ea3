//! Vector operators.

use crate::visitor::Operators;
use wasmparser::VisitSimdOperator;

/// Operators that are not handled yet.
macro_rules! refuse {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
        $( refuse!(@$proposal $op $visit ($($($arg: $ty),*)?)); )*
    };
    (@$proposal:ident $op:ident $visit:ident ($($arg:ident: $ty:ty),*)) => {
        fn $visit(&mut self, $($arg: $ty),*) {
            $( let _ = $arg; )*
            self.0.bug(concat!("the operator ", stringify!($op)));
        }
    };
}

impl<'a> VisitSimdOperator<'a> for Operators<'_, 'a> {
    wasmparser::for_each_visit_simd_operator!(refuse);
}
