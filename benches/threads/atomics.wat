;; Speed of atomic operators and of a lock, and of 64-bit memories beside 32-bit ones on one source.
;; Every function takes how often to repeat and gives a sum that depends on all of the work.
(module
  (memory $small (export "memory") 1 1 shared)

  (func (export "atomic_add") (param $n i32) (result i64)
    (loop $again
      (drop (i64.atomic.rmw.add $small (i32.const 8) (i64.const 1)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.atomic.load $small (i32.const 8)))

  (func (export "atomic_or") (param $n i32) (result i64)
    (loop $again
      (drop (i64.atomic.rmw.or $small (i32.const 16) (i64.extend_i32_u (local.get $n))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.atomic.load $small (i32.const 16)))

  (func (export "atomic_load") (param $n i32) (result i64) (local $sum i64)
    (loop $again
      (local.set $sum (i64.add (local.get $sum) (i64.atomic.load $small (i32.const 24))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  (func (export "lock") (param $n i32) (result i64)
    (loop $again
      (loop $take
        (br_if $take (i32.atomic.rmw.cmpxchg $small (i32.const 0) (i32.const 0) (i32.const 1))))
      (i64.store $small (i32.const 32) (i64.add (i64.load $small (i32.const 32)) (i64.const 1)))
      (i32.atomic.store $small (i32.const 0) (i32.const 0))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.load $small (i32.const 32))))
