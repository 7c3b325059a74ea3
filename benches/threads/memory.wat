;; One source for a memory with 32-bit addresses and one with 64-bit addresses: INDEX is `i32` or
;; `i64`.
(module
  (memory INDEX 2 2)
  (func (export "run") (param $n i32) (result i64) (local $at INDEX) (local $sum i64)
    (loop $again
      (local.set $at (INDEX.const 0))
      (loop $word
        (local.set $sum (i64.add (i64.load (local.get $at)) (local.get $sum)))
        (i64.store offset=8 (local.get $at) (local.get $sum))
        (br_if $word (INDEX.lt_u
          (local.tee $at (INDEX.add (local.get $at) (INDEX.const 8))) (INDEX.const 65536))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))
