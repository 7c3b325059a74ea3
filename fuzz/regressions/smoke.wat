;; Not a regression: the form that one has. Exported functions are called with corner cases.
(module
  (memory (export "memory") 1)
  (func (export "div") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "load") (param i32) (result i64) (i64.load offset=8 (local.get 0)))
  (func (export "sum") (param f32 f32) (result f32) (f32.add (local.get 0) (local.get 1))))
