;; Waits with `poll_oneoff`: the argument's first letter says for what.
;; "s": for an hour; "i": for standard input; "b": for both, the hour first.
;; Ends with status 0 when the wait ends, 3 when the call fails.
(module
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $letter i32) (local $first i32) (local $count i32)
    (drop (call $args (i32.const 4096) (i32.const 8192)))
    (local.set $letter (i32.load8_u (i32.load (i32.const 4100))))
    ;; At 1024: the monotonic clock, 3600 s from now. At 1072: reading from descriptor 0.
    (i32.store (i32.const 1040) (i32.const 1))
    (i64.store (i32.const 1048) (i64.const 3600000000000))
    (i32.store8 (i32.const 1080) (i32.const 1))
    (local.set $first (i32.const 1024))
    (local.set $count (i32.const 1))
    (if (i32.eq (local.get $letter) (i32.const 105)) (then (local.set $first (i32.const 1072))))
    (if (i32.eq (local.get $letter) (i32.const 98)) (then (local.set $count (i32.const 2))))
    (if (call $poll (local.get $first) (i32.const 2048) (local.get $count) (i32.const 0))
      (then (call $exit (i32.const 3))))))
