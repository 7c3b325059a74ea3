;; A load that the optimizing tier merges into the instruction that uses its value: it said of the
;; load's trap that it was the user's.
(module
  (memory 1)
  (func $outside (param i32) (result i32)
    local.get 0
    i32.const 0x7ff00000
    i32.or)
  (func (export "add") (param i32 i32) (result i32)
    local.get 1
    local.get 0
    i32.const 0x7ff00000
    i32.or
    i32.load
    i32.add)
  (func (export "add of two") (param i32 i64) (result i64)
    local.get 0
    i32.const 0xffff
    i32.and
    i64.load8_u
    local.get 0
    i32.const 0x7ff00000
    i32.or
    i64.load offset=8
    i64.add)
  (func (export "compare and branch") (param i32 i32) (result i32)
    local.get 0
    i32.const 0x7ff00000
    i32.or
    i32.load
    local.get 1
    i32.lt_u
    if (result i32)
      i32.const 1
    else
      local.get 1
    end)
  (func (export "add to memory") (param i32 i32)
    local.get 0
    i32.const 0x7ff00000
    i32.or
    local.tee 0
    local.get 0
    i32.load
    local.get 1
    i32.add
    i32.store)
  (func (export "copy") (param i32 i32)
    local.get 0
    i32.const 0x7ff00000
    i32.or
    local.get 0
    i32.const 0xffff
    i32.and
    i32.load
    i32.store)
  (func (export "extend") (param i32) (result i64)
    local.get 0
    i32.const 0x7ff00000
    i32.or
    i32.load
    i64.extend_i32_s)
  (func (export "float") (param i32 f64) (result f64)
    local.get 1
    local.get 0
    i32.const 0x7ff00000
    i32.or
    f64.load
    f64.mul)
  (func (export "vector") (param i32 i32) (result i32)
    local.get 1
    i32x4.splat
    local.get 0
    i32.const 0x7ff00000
    i32.or
    v128.load
    i32x4.add
    i32x4.extract_lane 2)
  (func (export "divide") (param i32 i32) (result i32)
    local.get 1
    local.get 0
    i32.const 0x7ff00000
    i32.or
    i32.load
    i32.div_s)
  (func (export "call") (param i32) (result i32)
    local.get 0
    call $outside
    i32.load
    call $outside
    local.get 0
    i32.add))
