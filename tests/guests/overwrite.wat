;; Opens the file "self.wasm" in its first directory, cuts it to nothing, writes zeroes over it, and
;; then calls a function for the first time, which ends with status 9. Any failure before: status 1.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "self.wasm")
  (func $check (param $errno i32)
    (if (local.get $errno) (then (call $exit (i32.const 1)))))
  (func $late (call $exit (i32.const 9)))
  (func (export "_start")
    ;; descriptor 3, no lookup flags, "self.wasm", O_TRUNC, rights to write
    (call $check
      (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 9) (i32.const 8)
        (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 8)))
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 4096))
    (call $check
      (call $write (i32.load (i32.const 8)) (i32.const 0) (i32.const 1) (i32.const 12)))
    (call $late)))
