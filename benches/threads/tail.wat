;; Speed of tail calls: each takes the caller's place, `n` times in a row.
(module
  (type $step (func (param i32 i64) (result i64)))
  (table funcref (elem $indirect))
  (elem declare func $ref)

  (func $direct (param $n i32) (param $sum i64) (result i64)
    (if (i32.eqz (local.get $n)) (then (return (local.get $sum))))
    (return_call $other (i32.sub (local.get $n) (i32.const 1))
      (i64.add (local.get $sum) (i64.extend_i32_u (local.get $n)))))
  ;; Two functions, so that neither is a loop of its own.
  (func $other (param $n i32) (param $sum i64) (result i64)
    (if (i32.eqz (local.get $n)) (then (return (local.get $sum))))
    (return_call $direct (i32.sub (local.get $n) (i32.const 1))
      (i64.xor (local.get $sum) (i64.extend_i32_u (local.get $n)))))
  (func $indirect (type $step)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call_indirect (type $step) (i32.sub (local.get 0) (i32.const 1))
      (i64.add (local.get 1) (i64.extend_i32_u (local.get 0))) (i32.const 0)))
  (func $ref (type $step)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call_ref $step (i32.sub (local.get 0) (i32.const 1))
      (i64.add (local.get 1) (i64.extend_i32_u (local.get 0))) (ref.func $ref)))

  (func (export "tail_direct") (param i32) (result i64)
    (call $direct (local.get 0) (i64.const 0)))
  (func (export "tail_indirect") (param i32) (result i64)
    (call $indirect (local.get 0) (i64.const 0)))
  (func (export "tail_ref") (param i32) (result i64)
    (call $ref (local.get 0) (i64.const 0)))

  ;; What a loop of the same work takes.
  (func (export "loop") (param $n i32) (result i64) (local $sum i64)
    (loop $again
      (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (local.get $n))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))
