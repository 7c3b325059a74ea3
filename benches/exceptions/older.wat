;; The same as bench.wat with the older operators, for Node.
(module
  (tag $e (param i32))
  (func $throw (param i32) (throw $e (local.get 0)))
  (func $nop (param i32) (result i32) (if (i32.eq (local.get 0) (i32.const -1)) (then (throw $e (i32.const 0)))) (i32.add (local.get 0) (i32.const 1)))
  (func $deep (param i32 i32) (if (i32.eqz (local.get 0)) (then (throw $e (local.get 1)))) (call $deep (i32.sub (local.get 0) (i32.const 1)) (local.get 1)))
  (func (export "throw") (param $n i32) (result i32) (local $s i32)
    (loop $l
      (local.set $s (i32.add (local.get $s)
        (block (result i32) try (result i32) (call $throw (local.get $n)) (i32.const 0) catch $e end)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s))
  (func (export "deep") (param $n i32) (result i32) (local $s i32)
    (loop $l
      (local.set $s (i32.add (local.get $s)
        (block (result i32) try (result i32) (call $deep (i32.const 20) (local.get $n)) (i32.const 0) catch $e end)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s))
  (func (export "plain") (param $n i32) (result i32) (local $s i32)
    (loop $l
      (local.set $s (call $nop (local.get $s)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s))
  (func (export "try") (param $n i32) (result i32) (local $s i32)
    (loop $l
      (block (result i32) try (result i32) (local.set $s (call $nop (local.get $s))) (i32.const 0) catch $e end) drop
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s)))
