;; What throwing costs, and what a `try` around a call costs. `bench.wasm` and `older.wasm` are this file
;; and `older.wat` in binary form
;; (`wat2wasm`), for runtimes that take no text.
(module
  (tag $e (param i32))
  (func $throw (param i32) (throw $e (local.get 0)))
  (func $nop (param i32) (result i32) (if (i32.eq (local.get 0) (i32.const -1)) (then (throw $e (i32.const 0)))) (i32.add (local.get 0) (i32.const 1)))
  (func $deep (param i32 i32) (if (i32.eqz (local.get 0)) (then (throw $e (local.get 1)))) (call $deep (i32.sub (local.get 0) (i32.const 1)) (local.get 1)))
  (func (export "throw") (param $n i32) (result i32) (local $s i32)
    (loop $l
      (local.set $s (i32.add (local.get $s)
        (block $h (result i32) (try_table (catch $e $h) (call $throw (local.get $n))) (i32.const 0))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s))
  (func (export "deep") (param $n i32) (result i32) (local $s i32)
    (loop $l
      (local.set $s (i32.add (local.get $s)
        (block $h (result i32) (try_table (catch $e $h) (call $deep (i32.const 20) (local.get $n))) (i32.const 0))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s))
  (func (export "plain") (param $n i32) (result i32) (local $s i32)
    (loop $l
      (local.set $s (call $nop (local.get $s)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s))
  (func (export "try") (param $n i32) (result i32) (local $s i32)
    (loop $l
      (block $h (result i32) (try_table (catch $e $h) (local.set $s (call $nop (local.get $s)))) (i32.const 0)) drop
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s)))
