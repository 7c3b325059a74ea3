;; Traps three calls deep.
(module
  (func $outer (export "_start") (call $middle))
  (func $middle (call $inner))
  (func $inner unreachable))
