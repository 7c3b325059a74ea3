//! Unreachable operators: nothing but their nesting matters.

use crate::error::Result;
use crate::translate::Translator;
use wasmparser::{BlockType, TryTable, VisitOperator, VisitSimdOperator};

/// Skips unreachable operators until an `else` or `end` makes code reachable again.
pub(crate) struct DeadCode<'t, 'a>(pub(crate) &'t mut Translator<'a>);

impl DeadCode<'_, '_> {
    /// Enters a block that is dead as a whole.
    fn nest(&mut self) -> Result {
        self.0.dead_depth += 1;
        Ok(())
    }
}

/// Methods that do nothing, but for operators that open or close blocks.
macro_rules! skip {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
        $( skip!(@method $op $visit ($($($arg: $ty),*)?)); )*
    };
    (@method Block $visit:ident $args:tt) => {};
    (@method Loop $visit:ident $args:tt) => {};
    (@method If $visit:ident $args:tt) => {};
    (@method Else $visit:ident $args:tt) => {};
    (@method End $visit:ident $args:tt) => {};
    (@method TryTable $visit:ident $args:tt) => {};
    (@method Try $visit:ident $args:tt) => {};
    (@method Catch $visit:ident $args:tt) => {};
    (@method CatchAll $visit:ident $args:tt) => {};
    (@method Delegate $visit:ident $args:tt) => {};
    (@method $op:ident $visit:ident ($($arg:ident: $ty:ty),*)) => {
        fn $visit(&mut self, $($arg: $ty),*) -> Result {
            $( let _ = $arg; )*
            Ok(())
        }
    };
}

impl<'a> VisitOperator<'a> for DeadCode<'_, '_> {
    type Output = Result;

    fn simd_visitor(&mut self) -> Option<&mut dyn VisitSimdOperator<'a, Output = Result>> {
        Some(self)
    }

    fn visit_block(&mut self, _: BlockType) -> Result {
        self.nest()
    }

    fn visit_loop(&mut self, _: BlockType) -> Result {
        self.nest()
    }

    fn visit_if(&mut self, _: BlockType) -> Result {
        self.nest()
    }

    fn visit_try_table(&mut self, _: TryTable) -> Result {
        self.nest()
    }

    fn visit_try(&mut self, _: BlockType) -> Result {
        self.nest()
    }

    fn visit_catch(&mut self, tag: u32) -> Result {
        if self.0.dead_depth > 0 { Ok(()) } else { self.0.begin_catch(Some(tag)) }
    }

    fn visit_catch_all(&mut self) -> Result {
        if self.0.dead_depth > 0 { Ok(()) } else { self.0.begin_catch(None) }
    }

    fn visit_delegate(&mut self, label: u32) -> Result {
        match self.0.dead_depth.checked_sub(1) {
            Some(depth) => self.0.dead_depth = depth,
            None => self.0.delegate(label)?,
        }
        Ok(())
    }

    fn visit_else(&mut self) -> Result {
        if self.0.dead_depth > 0 { Ok(()) } else { self.0.begin_else() }
    }

    fn visit_end(&mut self) -> Result {
        match self.0.dead_depth.checked_sub(1) {
            Some(depth) => self.0.dead_depth = depth,
            None => self.0.end()?,
        }
        Ok(())
    }

    wasmparser::for_each_visit_operator!(skip);
}

impl<'a> VisitSimdOperator<'a> for DeadCode<'_, '_> {
    wasmparser::for_each_visit_simd_operator!(skip);
}
