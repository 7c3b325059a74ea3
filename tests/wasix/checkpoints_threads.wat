;; A thread that goes back to what another saved: it must not come anywhere.
(module
  (import "wasix_32v1" "stack_checkpoint" (func $stack_checkpoint (param i32 i32) (result i32)))
  (import "wasix_32v1" "stack_restore" (func $stack_restore (param i32 i64)))
  (import "wasix_32v1" "thread_spawn_v2" (func $thread_spawn (param i32 i32) (result i32)))
  (import "wasix_32v1" "thread_join" (func $thread_join (param i32) (result i32)))
  (import "env" "memory" (memory 1 4 shared))
  (export "memory" (memory 0))

  ;; 0: a thread saves its own at 256 and goes back there; 1: to what the main thread has saved.
  (func (export "wasi_thread_start") (param $tid i32) (param $start i32)
    (drop (call $stack_checkpoint (i32.const 256) (i32.const 288)))
    (if (i64.eqz (i64.load (i32.const 288)))
      (then
        (call $stack_restore
          (select (i32.const 128) (i32.const 256) (i32.load offset=60 (local.get $start)))
          (i64.const 21))))
    (i32.atomic.rmw.add (i32.const 512) (i32.wrap_i64 (i64.load (i32.const 288))))
    (drop))
  (func $spawn
    (if (call $thread_spawn (i32.const 64) (i32.const 516)) (then (unreachable)))
    (drop (call $thread_join (i32.load (i32.const 516)))))
  (func (export "own") (result i32)
    (drop (call $stack_checkpoint (i32.const 128) (i32.const 160)))
    (if (i64.eqz (i64.load (i32.const 160)))
      (then
        (call $spawn)
        (call $spawn)
        ;; The main thread's is still there.
        (call $stack_restore (i32.const 128) (i64.const 1))))
    (i32.load (i32.const 512)))
  (func (export "of_another") (result i32)
    (drop (call $stack_checkpoint (i32.const 128) (i32.const 160)))
    (i32.store (i32.const 124) (i32.const 1))
    (call $spawn)
    (i32.load (i32.const 512))))
