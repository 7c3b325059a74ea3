;; Ends with 10 for each argument, 1 for each variable, and 100 if descriptor 7 is open; writes to 5.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $fd_fdstat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "child\n")
  (func (export "_start")
    (i32.store (i32.const 16) (i32.const 64))
    (i32.store (i32.const 20) (i32.const 6))
    (drop (call $fd_write (i32.const 5) (i32.const 16) (i32.const 1) (i32.const 24)))
    (drop (call $args_sizes_get (i32.const 0) (i32.const 8)))
    (drop (call $environ_sizes_get (i32.const 4) (i32.const 8)))
    (call $proc_exit
      (i32.add
        (i32.add (i32.mul (i32.load (i32.const 0)) (i32.const 10)) (i32.load (i32.const 4)))
        (i32.mul (i32.eqz (call $fd_fdstat_get (i32.const 7) (i32.const 128))) (i32.const 100))))))
