;; Of two stores to one place the optimizing tier keeps the second: its trap names that one.
(module
  (memory 2 4)
  (func (export "f") (param i32 i64) (result i64)
    local.get 0
    i32.const 0x7ff00000
    i32.or
    local.tee 0
    local.get 1
    i64.store16 align=1
    local.get 0
    local.get 1
    i64.store16
    local.get 0
    i64.load32_s offset=14 align=1))
