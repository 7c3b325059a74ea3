;; Has 1 MiB; grows a page at a time until that is refused, then ends with the number of pages that
;; it got beyond the first 16.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 16)
  (func (export "_start")
    (loop $more
      (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (call $exit (i32.sub (memory.size) (i32.const 16)))))
