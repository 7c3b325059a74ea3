;; Opens the folder of descriptor 3 until that fails; its status is how often it went well. Without
;; descriptor 3 the status is 100.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) ".")
  (func (export "_start") (local $count i32)
    (if (call $prestat (i32.const 3) (i32.const 0)) (then (call $exit (i32.const 100))))
    (loop $again
      ;; descriptor 3, no lookup flags, ".", O_DIRECTORY, no rights
      (if (i32.eqz
            (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 2)
              (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 8)))
        (then
          (local.set $count (i32.add (local.get $count) (i32.const 1)))
          (br $again))))
    (call $exit (local.get $count))))
