;; Relaxed vector instructions in the deterministic profile of the specification: one result each.
;; An assertion fails without the mode where its line ends in `differs` (on x86-64) or
;; `differs if fused` (on x86-64 with FMA).

(module
  (func (export "swizzle") (param v128 v128) (result v128)
    (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))
  (func (export "trunc f32 s") (param v128) (result v128)
    (i32x4.relaxed_trunc_f32x4_s (local.get 0)))
  (func (export "trunc f32 u") (param v128) (result v128)
    (i32x4.relaxed_trunc_f32x4_u (local.get 0)))
  (func (export "trunc f64 s") (param v128) (result v128)
    (i32x4.relaxed_trunc_f64x2_s_zero (local.get 0)))
  (func (export "trunc f64 u") (param v128) (result v128)
    (i32x4.relaxed_trunc_f64x2_u_zero (local.get 0)))
  (func (export "madd f32") (param v128 v128 v128) (result v128)
    (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get 2)))
  (func (export "nmadd f32") (param v128 v128 v128) (result v128)
    (f32x4.relaxed_nmadd (local.get 0) (local.get 1) (local.get 2)))
  (func (export "madd f64") (param v128 v128 v128) (result v128)
    (f64x2.relaxed_madd (local.get 0) (local.get 1) (local.get 2)))
  (func (export "nmadd f64") (param v128 v128 v128) (result v128)
    (f64x2.relaxed_nmadd (local.get 0) (local.get 1) (local.get 2)))
  (func (export "select i8") (param v128 v128 v128) (result v128)
    (i8x16.relaxed_laneselect (local.get 0) (local.get 1) (local.get 2)))
  (func (export "select i16") (param v128 v128 v128) (result v128)
    (i16x8.relaxed_laneselect (local.get 0) (local.get 1) (local.get 2)))
  (func (export "select i32") (param v128 v128 v128) (result v128)
    (i32x4.relaxed_laneselect (local.get 0) (local.get 1) (local.get 2)))
  (func (export "select i64") (param v128 v128 v128) (result v128)
    (i64x2.relaxed_laneselect (local.get 0) (local.get 1) (local.get 2)))
  (func (export "min f32") (param v128 v128) (result v128)
    (f32x4.relaxed_min (local.get 0) (local.get 1)))
  (func (export "max f32") (param v128 v128) (result v128)
    (f32x4.relaxed_max (local.get 0) (local.get 1)))
  (func (export "min f64") (param v128 v128) (result v128)
    (f64x2.relaxed_min (local.get 0) (local.get 1)))
  (func (export "max f64") (param v128 v128) (result v128)
    (f64x2.relaxed_max (local.get 0) (local.get 1)))
  (func (export "q15mulr") (param v128 v128) (result v128)
    (i16x8.relaxed_q15mulr_s (local.get 0) (local.get 1)))
  (func (export "dot") (param v128 v128) (result v128)
    (i16x8.relaxed_dot_i8x16_i7x16_s (local.get 0) (local.get 1)))
  (func (export "dot add") (param v128 v128 v128) (result v128)
    (i32x4.relaxed_dot_i8x16_i7x16_add_s (local.get 0) (local.get 1) (local.get 2))))

;; An index of no lane selects zero.
(assert_return (invoke "swizzle" ;; differs
    (v128.const i8x16 100 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115)
    (v128.const i8x16 0 15 16 17 31 32 64 127 128 144 255 1 2 3 4 5))
  (v128.const i8x16 100 115 0 0 0 0 0 0 0 0 0 101 102 103 104 105))

;; Not a number becomes zero, what is out of range the nearest integer.
(assert_return (invoke "trunc f32 s" (v128.const f32x4 nan inf -inf 3e9)) ;; differs
  (v128.const i32x4 0 2147483647 -2147483648 2147483647))
(assert_return (invoke "trunc f32 s" (v128.const f32x4 -nan -3e9 1.9 -1.9)) ;; differs
  (v128.const i32x4 0 -2147483648 1 -1))
(assert_return (invoke "trunc f32 u" (v128.const f32x4 nan -1 inf 3e9))
  (v128.const i32x4 0 0 4294967295 3000000000))
(assert_return (invoke "trunc f32 u" (v128.const f32x4 -nan -inf 5e9 1.9))
  (v128.const i32x4 0 0 4294967295 1))
(assert_return (invoke "trunc f64 s" (v128.const f64x2 nan 3e9)) ;; differs
  (v128.const i32x4 0 2147483647 0 0))
(assert_return (invoke "trunc f64 s" (v128.const f64x2 inf -1.9)) ;; differs
  (v128.const i32x4 2147483647 -1 0 0))
(assert_return (invoke "trunc f64 s" (v128.const f64x2 -inf -3e9))
  (v128.const i32x4 -2147483648 -2147483648 0 0))
(assert_return (invoke "trunc f64 u" (v128.const f64x2 nan -1))
  (v128.const i32x4 0 0 0 0))
(assert_return (invoke "trunc f64 u" (v128.const f64x2 inf 3e9))
  (v128.const i32x4 4294967295 3000000000 0 0))

;; The product is rounded before it is added to: (1 + e)^2 loses e^2, and twice the greatest number
;; is infinite.
(assert_return (invoke "madd f32" ;; differs if fused
    (v128.const f32x4 0x1.001p+0 0x1.fffffep+127 2 inf)
    (v128.const f32x4 0x1.001p+0 2 3 2)
    (v128.const f32x4 -0x1.002p+0 -0x1.fffffep+127 4 1))
  (v128.const f32x4 0 inf 10 inf))
(assert_return (invoke "nmadd f32" ;; differs if fused
    (v128.const f32x4 0x1.001p+0 0x1.fffffep+127 2 inf)
    (v128.const f32x4 0x1.001p+0 2 3 2)
    (v128.const f32x4 0x1.002p+0 0x1.fffffep+127 4 1))
  (v128.const f32x4 0 -inf -2 -inf))
(assert_return (invoke "madd f64" ;; differs if fused
    (v128.const f64x2 0x1.0000002p+0 0x1.fffffffffffffp+1023)
    (v128.const f64x2 0x1.0000002p+0 2)
    (v128.const f64x2 -0x1.0000004p+0 -0x1.fffffffffffffp+1023))
  (v128.const f64x2 0 inf))
(assert_return (invoke "nmadd f64" ;; differs if fused
    (v128.const f64x2 0x1.0000002p+0 0x1.fffffffffffffp+1023)
    (v128.const f64x2 0x1.0000002p+0 2)
    (v128.const f64x2 0x1.0000004p+0 0x1.fffffffffffffp+1023))
  (v128.const f64x2 0 -inf))

;; Bit by bit, whatever the width of the lanes.
(assert_return (invoke "select i8"
    (v128.const i64x2 0xaaaaaaaaaaaaaaaa 0xaaaaaaaaaaaaaaaa)
    (v128.const i64x2 0x5555555555555555 0x5555555555555555)
    (v128.const i64x2 0x0f0f0f0f0f0f0f0f 0x80ff0001f00f7f3c))
  (v128.const i64x2 0x5a5a5a5a5a5a5a5a 0xd5aa5554a55a2a69))
(assert_return (invoke "select i16"
    (v128.const i64x2 0xaaaaaaaaaaaaaaaa 0xaaaaaaaaaaaaaaaa)
    (v128.const i64x2 0x5555555555555555 0x5555555555555555)
    (v128.const i64x2 0x0f0f0f0f0f0f0f0f 0x80ff0001f00f7f3c))
  (v128.const i64x2 0x5a5a5a5a5a5a5a5a 0xd5aa5554a55a2a69))
(assert_return (invoke "select i32"
    (v128.const i64x2 0xaaaaaaaaaaaaaaaa 0xaaaaaaaaaaaaaaaa)
    (v128.const i64x2 0x5555555555555555 0x5555555555555555)
    (v128.const i64x2 0x0f0f0f0f0f0f0f0f 0x80ff0001f00f7f3c))
  (v128.const i64x2 0x5a5a5a5a5a5a5a5a 0xd5aa5554a55a2a69))
(assert_return (invoke "select i64"
    (v128.const i64x2 0xaaaaaaaaaaaaaaaa 0xaaaaaaaaaaaaaaaa)
    (v128.const i64x2 0x5555555555555555 0x5555555555555555)
    (v128.const i64x2 0x0f0f0f0f0f0f0f0f 0x80ff0001f00f7f3c))
  (v128.const i64x2 0x5a5a5a5a5a5a5a5a 0xd5aa5554a55a2a69))

;; Like the operators that are not relaxed.
(assert_return (invoke "min f32" ;; differs
    (v128.const f32x4 nan 1 -0 0) (v128.const f32x4 1 nan 0 -0))
  (v128.const f32x4 nan:canonical nan:canonical -0 -0))
(assert_return (invoke "max f32" ;; differs
    (v128.const f32x4 nan 1 -0 0) (v128.const f32x4 1 nan 0 -0))
  (v128.const f32x4 nan:canonical nan:canonical 0 0))
(assert_return (invoke "min f64" ;; differs
    (v128.const f64x2 nan -0) (v128.const f64x2 1 0))
  (v128.const f64x2 nan:canonical -0))
(assert_return (invoke "min f64"
    (v128.const f64x2 1 0) (v128.const f64x2 nan -0))
  (v128.const f64x2 nan:canonical -0))
(assert_return (invoke "max f64" ;; differs
    (v128.const f64x2 nan 0) (v128.const f64x2 1 -0))
  (v128.const f64x2 nan:canonical 0))
(assert_return (invoke "max f64"
    (v128.const f64x2 1 -0) (v128.const f64x2 nan 0))
  (v128.const f64x2 nan:canonical 0))

;; The square of the least number is saturated.
(assert_return (invoke "q15mulr" ;; differs
    (v128.const i16x8 -32768 -32768 16384 32767 1 0 -1 5)
    (v128.const i16x8 -32768 32767 16384 32767 1 0 -1 -32768))
  (v128.const i16x8 32767 -32767 8192 32766 0 0 0 -5))

;; Both factors are signed, and sums of two products are saturated.
(assert_return (invoke "dot" ;; differs
    (v128.const i8x16 -128 -128 -128 -128 127 127 1 2 -128 127 0 0 -1 -1 9 0)
    (v128.const i8x16 -128 -128 -127 -127 -128 -128 3 4 -128 127 0 0 -1 1 9 9))
  (v128.const i16x8 32767 32512 -32512 11 32513 0 0 81))
(assert_return (invoke "dot"
    (v128.const i8x16 -128 -128 127 127 1 2 3 4 5 6 7 8 9 10 11 12)
    (v128.const i8x16 127 127 127 127 1 2 3 4 5 6 7 8 9 10 11 12))
  (v128.const i16x8 -32512 32258 5 25 61 113 181 265))
(assert_return (invoke "dot add" ;; differs
    (v128.const i8x16 -128 -128 -128 -128 127 127 127 127 1 2 3 4 1 0 0 0)
    (v128.const i8x16 -128 -128 -128 -128 -128 -128 -128 -128 5 6 7 8 1 0 0 0)
    (v128.const i32x4 1 2 -100 2147483647))
  (v128.const i32x4 65535 -65022 -30 -2147483648))
