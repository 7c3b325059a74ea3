;; Guests that go on where they were: one exported function per case. `save` names a checkpoint by a
;; number, `jump` goes on there, `value` is 0 until then and what `jump` was given afterwards.
(module
  (import "host" "save" (func $save (param i32) (result i32)))
  (import "host" "jump" (func $jump (param i32 i32)))
  (import "host" "value" (func $value (result i32)))
  (import "host" "reenter" (func $reenter (param i32)))
  (import "host" "attempt" (func $attempt (param i32) (result i32)))
  (memory (export "memory") 1)
  (tag $tag (param i32))
  (type $wide (func (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64)))
  (global $count (export "count") (mut i32) (i32.const 0))

  ;; Memory is as it was left: here guests count.
  (func $step (result i32)
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
    (i32.load (i32.const 0)))
  ;; As `setjmp` of a library does: what is saved is a frame that returns.
  (func $setjmp (param i32) (result i32) (drop (call $save (local.get 0))) (call $value))
  ;; Uses registers and the stack for something else.
  (func $deep (param $depth i32) (param $x i64) (result i64) (local $y i64) (local $z f64)
    (local.set $y (i64.mul (local.get $x) (i64.const 0x9e3779b97f4a7c15)))
    (local.set $z (f64.convert_i64_s (local.get $y)))
    (if (local.get $depth)
      (then (local.set $y (i64.xor (local.get $y)
        (call $deep (i32.sub (local.get $depth) (i32.const 1)) (local.get $y))))))
    (i64.add (local.get $y) (i64.trunc_sat_f64_s (local.get $z))))

  ;; Values in every kind of register and more than there are of them, changed after the first return.
  (func (export "locals") (param $n i64) (result i64)
    (local $a i64) (local $b i64) (local $c i64) (local $d i64) (local $e i64) (local $f i64)
    (local $g i64) (local $h i64) (local $i i64) (local $j i64) (local $k i64) (local $l i64)
    (local $x f64) (local $y f32) (local $v v128)
    (local.set $a (i64.add (local.get $n) (i64.const 1)))
    (local.set $b (i64.mul (local.get $a) (i64.const 3)))
    (local.set $c (i64.mul (local.get $b) (i64.const 3)))
    (local.set $d (i64.mul (local.get $c) (i64.const 3)))
    (local.set $e (i64.mul (local.get $d) (i64.const 3)))
    (local.set $f (i64.mul (local.get $e) (i64.const 3)))
    (local.set $g (i64.mul (local.get $f) (i64.const 3)))
    (local.set $h (i64.mul (local.get $g) (i64.const 3)))
    (local.set $i (i64.mul (local.get $h) (i64.const 3)))
    (local.set $j (i64.mul (local.get $i) (i64.const 3)))
    (local.set $k (i64.mul (local.get $j) (i64.const 3)))
    (local.set $l (i64.mul (local.get $k) (i64.const 3)))
    (local.set $x (f64.convert_i64_s (local.get $n)))
    (local.set $y (f32.convert_i64_s (local.get $n)))
    (local.set $v (i64x2.splat (local.get $n)))
    (if (i32.eqz (call $setjmp (i32.const 0)))
      (then
        (loop $again
          (local.set $a (i64.add (local.get $a) (local.get $l)))
          (local.set $b (i64.add (local.get $b) (local.get $a)))
          (local.set $c (i64.add (local.get $c) (local.get $b)))
          (local.set $d (i64.add (local.get $d) (local.get $c)))
          (local.set $e (i64.add (local.get $e) (local.get $d)))
          (local.set $f (i64.add (local.get $f) (local.get $e)))
          (local.set $g (i64.add (local.get $g) (local.get $f)))
          (local.set $h (i64.add (local.get $h) (local.get $g)))
          (local.set $i (i64.add (local.get $i) (local.get $h)))
          (local.set $j (i64.add (local.get $j) (local.get $i)))
          (local.set $k (i64.add (local.get $k) (local.get $j)))
          (local.set $l (i64.add (local.get $l) (call $deep (i32.const 20) (local.get $k))))
          (local.set $x (f64.mul (local.get $x) (f64.const 1.5)))
          (local.set $y (f32.mul (local.get $y) (f32.const 1.5)))
          (local.set $v (i64x2.add (local.get $v) (i64x2.splat (local.get $l))))
          (br_if $again (i32.lt_u (call $step) (i32.const 10))))
        ;; All of them are used, so all of them were changed.
        (i64.store (i32.const 8) (i64.add (i64.add (i64.add (i64.add (local.get $a) (local.get $b))
          (i64.add (local.get $c) (local.get $d))) (i64.add (i64.add (local.get $e) (local.get $f))
          (i64.add (local.get $g) (local.get $h)))) (i64.add (i64.add (local.get $i) (local.get $j))
          (i64.add (local.get $k) (i64.add (i64.trunc_sat_f64_s (local.get $x)) (i64.add
          (i64.trunc_sat_f32_s (local.get $y)) (i64x2.extract_lane 1 (local.get $v))))))))
        (call $jump (i32.const 0) (i32.const 1000))
        (unreachable)))
    (i64.add (i64.extend_i32_u (call $value))
      (i64.add (i64.add (i64.add (i64.add (local.get $a) (local.get $b))
        (i64.add (local.get $c) (local.get $d))) (i64.add (i64.add (local.get $e) (local.get $f))
        (i64.add (local.get $g) (local.get $h)))) (i64.add (i64.add (i64.add (local.get $i) (local.get $j))
        (i64.add (local.get $k) (local.get $l))) (i64.add (i64.trunc_sat_f64_s (local.get $x)) (i64.add
        (i64.trunc_sat_f32_s (local.get $y)) (i64x2.extract_lane 1 (local.get $v))))))))

  ;; Arguments on the stack belong to the function, which changes them.
  (func $on_stack (type $wide)
    (if (i32.eqz (call $setjmp (i32.const 0)))
      (then
        (local.set 10 (call $deep (i32.const 3) (local.get 10)))
        (local.set 11 (i64.const -1))
        (drop (call $wider (local.get 11) (local.get 10) (i64.const 1) (i64.const 1) (i64.const 1)
          (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1)
          (i64.const 1)))))
    (i64.add (i64.mul (local.get 0) (i64.const 10000))
      (i64.add (i64.mul (local.get 10) (i64.const 100)) (local.get 11))))
  ;; Leaves by a tail call with as many arguments.
  (func $wider (type $wide)
    (return_call $jumper (i64.const 7) (i64.const 7) (i64.const 7) (i64.const 7) (i64.const 7)
      (i64.const 7) (i64.const 7) (i64.const 7) (i64.const 7) (i64.const 7) (local.get 1)
      (local.get 0)))
  (func $jumper (type $wide) (call $jump (i32.const 0) (i32.const 1)) (unreachable))
  (func (export "arguments") (param $n i64) (result i64)
    (call $on_stack (local.get $n) (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0)
      (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 31)
      (i64.const 41)))

  ;; Half way down, and back from the bottom. Each level adds its depth.
  (func $down (param $depth i32) (param $saved i32) (result i64) (local $below i64)
    (if (i32.eqz (local.get $depth))
      (then
        (if (i32.eqz (call $value)) (then (call $jump (i32.const 0) (i32.const 1))))
        (return (i64.const 0))))
    (if (i32.eq (local.get $depth) (local.get $saved))
      (then (if (call $setjmp (i32.const 0)) (then (i64.store (i32.const 16) (i64.const 1))))))
    (local.set $below (call $down (i32.sub (local.get $depth) (i32.const 1)) (local.get $saved)))
    (i64.add (local.get $below) (i64.extend_i32_u (local.get $depth))))
  (func (export "deep") (param $n i64) (result i64)
    (call $down (i32.wrap_i64 (local.get $n)) (i32.div_u (i32.wrap_i64 (local.get $n)) (i32.const 2))))

  ;; The frame that saved has returned, and another lies there: its values come back all the same.
  (func $returns (param $x i64) (result i64) (local $y i64)
    (local.set $y (i64.mul (local.get $x) (i64.const 3)))
    (drop (call $setjmp (i32.const 0)))
    (i64.add (local.get $x) (local.get $y)))
  (func (export "returned") (param $n i64) (result i64) (local $r i64)
    (local.set $r (call $returns (local.get $n)))
    (if (i32.lt_u (call $step) (i32.const 3))
      (then
        (drop (call $deep (i32.const 10) (local.get $r)))
        (call $jump (i32.const 0) (i32.const 5))))
    (i64.add (local.get $r) (i64.extend_i32_u (call $value))))

  ;; n times there and back, with a loop's state in memory, and in a local that stays.
  (func (export "pairs") (param $n i64) (result i64) (local $kept i64)
    (local.set $kept (i64.add (local.get $n) (i64.const 5)))
    (drop (call $setjmp (i32.const 0)))
    (if (i64.lt_u (i64.extend_i32_u (call $step)) (local.get $n))
      (then (call $jump (i32.const 0) (i32.const 1))))
    (i64.add (local.get $kept) (i64.extend_i32_u (i32.load (i32.const 0)))))

  ;; n checkpoints in a frame that stays; the newest is of use.
  (func (export "many") (param $n i64) (result i64) (local $i i64)
    (loop $again
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (if (i32.eqz (call $setjmp (i32.const 0)))
        (then (br_if $again (i64.lt_u (local.get $i) (local.get $n)))
          (call $jump (i32.const 0) (i32.const 3)))))
    (i64.add (local.get $i) (i64.extend_i32_u (call $value))))
  ;; One in each of n frames that follow each other.
  (func (export "many_frames") (param $n i64) (result i64) (local $i i64)
    (loop $again
      (drop (call $returns (local.get $i)))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br_if $again (i64.lt_u (local.get $i) (local.get $n))))
    (local.get $i))
  ;; One in each of n frames within each other; whether the outermost can be used at the end. Answers
  ;; at which depth there was no room.
  (func $nested (param $i i64) (param $n i64) (result i64)
    (if (i64.eq (local.get $i) (local.get $n)) (then (return (local.get $n))))
    (if (call $save (i32.wrap_i64 (local.get $i))) (then (return (local.get $i))))
    (call $nested (i64.add (local.get $i) (i64.const 1)) (local.get $n)))
  (func (export "nested") (param $n i64) (result i64) (local $deepest i64)
    (if (i32.eqz (call $setjmp (i32.const -1)))
      (then
        (i64.store (i32.const 24) (call $nested (i64.const 0) (local.get $n)))
        (call $jump (i32.const -1) (i32.const 1))))
    (i64.load (i32.const 24)))

  ;; Whether one more has no room when all of those have returned.
  (func (export "after_nested") (param $n i64) (result i64)
    (drop (call $nested (i64.const 0) (local.get $n)))
    (i64.extend_i32_u (call $save (i32.const 7))))

  ;; What was interrupted by the host, which calls the guest, which goes back.
  (func (export "back") (call $jump (i32.const 0) (i32.const 4)))
  (func (export "inner") (param i32)
    ;; An own checkpoint, which ends with this call.
    (drop (call $save (i32.const 1)))
    (drop (call $deep (i32.const 5) (i64.const 5)))
    (if (local.get 0) (then (call $jump (i32.const 0) (local.get 0)))))
  (func (export "through_host") (param $n i64) (result i64) (local $kept i64)
    (local.set $kept (i64.mul (local.get $n) (i64.const 7)))
    (if (i32.eqz (call $setjmp (i32.const 0))) (then (call $reenter (i32.const 2)) (unreachable)))
    (i64.add (local.get $kept) (i64.extend_i32_u (call $value))))
  ;; The host keeps the guest from going back, once.
  (func (export "stopped_by_host") (param $n i64) (result i64)
    (if (i32.eqz (call $setjmp (i32.const 0)))
      (then
        (local.set $n (i64.add (local.get $n) (i64.extend_i32_u (call $attempt (i32.const 2)))))
        (i64.store (i32.const 32) (local.get $n))
        (call $jump (i32.const 0) (i32.const 3))))
    (i64.add (i64.mul (i64.load (i32.const 32)) (i64.const 100)) (i64.extend_i32_u (call $value))))
  ;; The checkpoint of an inner call is gone.
  (func (export "ended") (param $n i64) (result i64)
    (call $reenter (i32.const 0))
    (call $jump (i32.const 1) (i32.const 3))
    (local.get $n))
  ;; A hook of the host ends the loop.
  (func (export "interrupted") (param $n i64) (result i64) (local $kept i64) (local $i i64)
    (local.set $kept (i64.mul (local.get $n) (i64.const 11)))
    (if (i32.eqz (call $setjmp (i32.const 0)))
      (then (loop $for_ever
        (local.set $kept (i64.add (local.get $kept) (local.get $i)))
        (local.set $i (i64.add (local.get $i) (i64.const 1)))
        (i64.store (i32.const 40) (local.get $kept))
        (br $for_ever))))
    (i64.add (local.get $kept) (i64.extend_i32_u (call $value))))
  ;; Nothing but the host ends this.
  (func (export "for_ever") (param $n i64) (result i64)
    (drop (call $setjmp (i32.const 0)))
    (call $jump (i32.const 0) (i32.const 1))
    (local.get $n))

  ;; An exception that only the saved stack refers to, while others come and go.
  (func $rethrown (param $e exnref) (result i32)
    (block $caught (result i32) (try_table (catch $tag $caught) (throw_ref (local.get $e))) (unreachable)))
  (func (export "exception") (param $n i64) (result i64) (local $e exnref) (local $i i32)
    (block $caught (result i32 exnref)
      (try_table (catch_ref $tag $caught) (throw $tag (i32.wrap_i64 (local.get $n))))
      (unreachable))
    (local.set $e)
    (drop)
    (if (i32.eqz (call $setjmp (i32.const 0)))
      (then
        (local.set $e (ref.null exn))
        (loop $again
          (block $caught (result i32) (try_table (catch $tag $caught) (throw $tag (local.get $i))) (unreachable))
          (drop)
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $i) (i32.const 5000))))
        (call $jump (i32.const 0) (i32.const 1))))
    (i64.extend_i32_s (call $rethrown (local.get $e))))
  ;; Back into a block with a handler that was left.
  (func (export "handler") (param $n i64) (result i64)
    (block $caught (result i32)
      (try_table (catch $tag $caught)
        (drop (call $setjmp (i32.const 0)))
        (if (call $value) (then (throw $tag (i32.wrap_i64 (local.get $n))))))
      (drop (call $deep (i32.const 4) (i64.const 9)))
      (call $jump (i32.const 0) (i32.const 1))
      (unreachable))
    (i64.extend_i32_s))
  ;; Globals come back, memory does not.
  (func (export "state") (param $n i64) (result i64)
    (global.set $count (i32.const 5))
    (i32.store (i32.const 48) (i32.const 5))
    (if (i32.eqz (call $setjmp (i32.const 0)))
      (then
        (global.set $count (i32.const 6))
        (i32.store (i32.const 48) (i32.const 6))
        (call $jump (i32.const 0) (i32.const 1))))
    (i64.extend_i32_u (i32.add (i32.mul (global.get $count) (i32.const 10)) (i32.load (i32.const 48)))))
  (func (export "answer") (param $n i64) (result i64)
    (i64.extend_i32_u (call $save (i32.const 0))))
  ;; Old checkpoints of a loop go before others of the same frame.
  (func (export "outer_and_many") (param $n i64) (result i64) (local $i i64)
    (if (i32.eqz (call $setjmp (i32.const 0)))
      (then
        (loop $again
          (drop (call $setjmp (i32.const 1)))
          (local.set $i (i64.add (local.get $i) (i64.const 1)))
          (br_if $again (i64.lt_u (local.get $i) (local.get $n))))
        (call $jump (i32.const 0) (i32.const 3))))
    (i64.add (local.get $n) (i64.extend_i32_u (call $value))))
  (func (export "direct_outer_and_many") (param $n i64) (result i64) (local $i i64)
    (drop (call $save (i32.const 0)))
    (if (i32.eqz (call $value))
      (then
        (loop $again
          (drop (call $save (i32.const 1)))
          (local.set $i (i64.add (local.get $i) (i64.const 1)))
          (br_if $again (i64.lt_u (local.get $i) (local.get $n))))
        (call $jump (i32.const 0) (i32.const 3))))
    (i64.add (local.get $n) (i64.extend_i32_u (call $value))))
  ;; A trap after the second return, two frames down from the export.
  (func $trap (param i32) (i32.store (i32.const -4) (local.get 0)))
  (func $saves_and_traps
    (if (i32.eqz (call $setjmp (i32.const 0)))
      (then (drop (call $deep (i32.const 30) (i64.const 2))) (call $jump (i32.const 0) (i32.const 1))))
    (call $trap (call $value)))
  (func $traps (export "traps") (param $n i64) (result i64)
    (call $saves_and_traps)
    (local.get $n))
  (func (export "direct") (param $n i64) (result i64) (drop (call $save (i32.const 0))) (local.get $n)))
