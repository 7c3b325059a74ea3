;; Is standard input a terminal? Then it echoes one read of it, makes it non-blocking, reads again
;; and ends with status 0. Other statuses: 1 no character device, 2 it can seek, 3 a failed call,
;; 4 the second reading did not say that it would wait.
(module
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $stat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_set_flags"
    (func $set_flags (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  ;; A vector: 100 bytes at 512.
  (data (i32.const 256) "\00\02\00\00\64\00\00\00")
  (func $check (param $errno i32)
    (if (local.get $errno) (then (call $exit (i32.const 3)))))
  (func (export "_start")
    (call $check (call $stat (i32.const 0) (i32.const 16)))
    (if (i32.ne (i32.load8_u (i32.const 16)) (i32.const 2)) (then (call $exit (i32.const 1))))
    ;; The rights to seek and to tell: how the C library knows a terminal is their absence.
    (if (i64.ne (i64.and (i64.load (i32.const 24)) (i64.const 0x24)) (i64.const 0))
      (then (call $exit (i32.const 2))))
    (call $check (call $read (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 260)))
    (call $check (call $write (i32.const 1) (i32.const 256) (i32.const 1) (i32.const 8)))
    (call $check (call $set_flags (i32.const 0) (i32.const 4)))
    (if (i32.ne
          (call $read (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 8)) (i32.const 6))
      (then (call $exit (i32.const 4))))
    (call $exit (i32.const 0))))
