//! Wide arithmetic: 128-bit numbers as pairs of `i64`, the low half first.

use super::visitor::Ins;
use crate::error::Result;
use crate::translate::Translator;
use cranelift_codegen::ir::{InstBuilder as _, Value};

impl<'a> Translator<'a> {
    /// An instruction on two 128-bit numbers.
    pub(super) fn binary_wide(
        &mut self,
        make: impl FnOnce(Ins<'_, 'a>, Value, Value) -> Value,
    ) -> Result {
        let right = self.pop_wide()?;
        let left = self.pop_wide()?;
        let result = make(self.builder.ins(), left, right);
        self.push_wide(result);
        Ok(())
    }

    /// The whole product of two 64-bit numbers, which `extend` makes 128 bits wide.
    pub(super) fn multiply_wide(&mut self, extend: impl Fn(Ins<'_, 'a>, Value) -> Value) -> Result {
        let (left, right) = self.pop2()?;
        let left = extend(self.builder.ins(), left);
        let right = extend(self.builder.ins(), right);
        let result = self.builder.ins().imul(left, right);
        self.push_wide(result);
        Ok(())
    }

    fn pop_wide(&mut self) -> Result<Value> {
        let (low, high) = self.pop2()?;
        Ok(self.builder.ins().iconcat(low, high))
    }

    fn push_wide(&mut self, value: Value) {
        let (low, high) = self.builder.ins().isplit(value);
        self.push(low);
        self.push(high);
    }
}
