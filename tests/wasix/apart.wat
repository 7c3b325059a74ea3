;; Threads, of which one forks or acts for a child while others go on: one exported function per case,
;; called by name.
(module
  (import "wasix_32v1" "proc_fork" (func $proc_fork (param i32 i32) (result i32)))
  (import "wasix_32v1" "proc_fork_env" (func $proc_fork_env (param i32) (result i32)))
  (import "wasix_32v1" "proc_exec3" (func $exec3 (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "proc_exit2" (func $proc_exit2 (param i32)))
  (import "wasix_32v1" "proc_join" (func $proc_join (param i32 i32 i32) (result i32)))
  (import "wasix_32v1" "proc_signal" (func $proc_signal (param i32 i32) (result i32)))
  (import "wasix_32v1" "fd_event" (func $fd_event (param i64 i32 i32) (result i32)))
  (import "wasix_32v1" "fd_pipe" (func $fd_pipe (param i32 i32) (result i32)))
  (import "wasix_32v1" "fd_renumber" (func $dup2 (param i32 i32) (result i32)))
  (import "wasix_32v1" "sock_open" (func $sock_open (param i32 i32 i32 i32) (result i32)))
  (import "wasix_32v1" "sock_bind" (func $sock_bind (param i32 i32) (result i32)))
  (import "wasix_32v1" "thread_spawn_v2" (func $thread_spawn (param i32 i32) (result i32)))
  (import "wasix_32v1" "thread_join" (func $thread_join (param i32) (result i32)))
  (import "wasix_32v1" "thread_sleep" (func $thread_sleep (param i64) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
  (import "env" "memory" (memory 1 1 shared))
  (export "memory" (memory 0))
  (table 4 funcref)
  (elem (i32.const 0) $binds $parts $closes $part)
  (data (i32.const 16) "/opens.wasm")
  (data (i32.const 32) "s")
  ;; The address of the socket `/s`.
  (data (i32.const 48) "\03\00/s")

  (func $check (param $is i32) (if (i32.eqz (local.get $is)) (then unreachable)))
  ;; Threads run the function of the table whose number is at 1000; their own number is at 1004.
  (func $start (param $does i32)
    (i32.store (i32.const 1000) (local.get $does))
    (call $check (i32.eqz (call $thread_spawn (i32.const 64) (i32.const 1004)))))
  (func (export "wasi_thread_start") (param i32 i32) (call_indirect (i32.load (i32.const 1000))))
  (func $join_thread (call $check (i32.eqz (call $thread_join (i32.load (i32.const 1004))))))
  ;; The thread has come to where it is meant to be: 1008. It may go on: 1012.
  (func $set (param $flag i32)
    (i32.atomic.store (local.get $flag) (i32.const 1))
    (drop (memory.atomic.notify (local.get $flag) (i32.const 1))))
  (func $wait_for (param $flag i32)
    (loop $l
      (drop (memory.atomic.wait32 (local.get $flag) (i32.const 0) (i64.const -1)))
      (br_if $l (i32.eqz (i32.atomic.load (local.get $flag))))))

  ;; A child's number is at 1024: how it ended, 1000 times the kind and the status.
  (func $status (result i32)
    (i32.store (i32.const 1032) (i32.const 1))
    (i32.store (i32.const 1036) (i32.load (i32.const 1024)))
    (call $check (i32.eqz (call $proc_join (i32.const 1032) (i32.const 0) (i32.const 1040))))
    (i32.add (i32.mul (i32.load8_u (i32.const 1040)) (i32.const 1000)) (i32.load16_u (i32.const 1042))))
  (func $part (call $check (i32.eqz (call $proc_fork_env (i32.const 1024)))))
  ;; Opens as many as there may be; how many there were.
  (func $fill (result i32) (local $count i32)
    (loop $l
      (if (i32.eqz (call $fd_event (i64.const 0) (i32.const 0) (i32.const 1048))) (then
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (br $l))))
    (local.get $count))

  ;; Forks while another thread closes sockets that have a name, with many descriptors to look through.
  (func $binds
    (loop $l
      (call $check (i32.eqz (call $sock_open (i32.const 3) (i32.const 1) (i32.const 0) (i32.const 1052))))
      (call $check (i32.eqz (call $sock_bind (i32.load (i32.const 1052)) (i32.const 48))))
      (call $check (i32.eqz (call $fd_close (i32.load (i32.const 1052)))))
      (call $check (i32.eqz (call $unlink (i32.const 3) (i32.const 32) (i32.const 1))))
      (br $l)))
  (func (export "sockets_that_go") (result i32) (local $forks i32)
    (drop (call $fill))
    ;; The other thread needs two.
    (drop (call $fd_close (i32.const 10)))
    (drop (call $fd_close (i32.const 11)))
    ;; What an earlier run has left.
    (drop (call $unlink (i32.const 3) (i32.const 32) (i32.const 1)))
    (call $start (i32.const 0))
    (loop $l
      (call $check (i32.eqz (call $proc_fork (i32.const 1) (i32.const 1024))))
      (if (i32.eqz (i32.load (i32.const 1024))) (then (call $proc_exit2 (i32.const 1))))
      (call $check (i32.eq (call $status) (i32.const 1001)))
      (br_if $l (i32.lt_u (local.tee $forks (i32.add (local.get $forks) (i32.const 1))) (i32.const 50))))
    (local.get $forks))

  ;; Forks while another thread acts for a child: nothing of that keeps open what the first child closes.
  (func $parts
    (call $check (i32.eqz (call $proc_fork_env (i32.const 1056))))
    (call $set (i32.const 1008))
    (call $wait_for (i32.const 1012))
    (call $proc_exit2 (i32.const 1)))
  (func (export "pipe_of_a_fork") (result i32)
    (call $check (i32.eqz (call $fd_pipe (i32.const 1100) (i32.const 1104))))
    (call $start (i32.const 1))
    (call $wait_for (i32.const 1008))
    (call $check (i32.eqz (call $proc_fork (i32.const 1) (i32.const 1024))))
    (if (i32.eqz (i32.load (i32.const 1024))) (then
      (call $check (i32.eqz (call $fd_close (i32.load (i32.const 1100)))))
      (call $check (i32.eqz (call $fd_close (i32.load (i32.const 1104)))))
      (drop (call $thread_sleep (i64.const 20_000_000_000)))
      (call $proc_exit2 (i32.const 1))))
    (call $set (i32.const 1012))
    (call $join_thread)
    (call $check (i32.eqz (call $fd_close (i32.load (i32.const 1104)))))
    (i32.store (i32.const 1108) (i32.const 1200))
    (i32.store (i32.const 1112) (i32.const 100))
    (call $check
      (i32.eqz (call $fd_read (i32.load (i32.const 1100)) (i32.const 1108) (i32.const 1) (i32.const 1116))))
    (call $check (i32.eqz (i32.load (i32.const 1116))))
    (call $check (i32.eqz (call $proc_signal (i32.load (i32.const 1024)) (i32.const 9))))
    (call $status))

  ;; What another thread closes meanwhile is the child's still: its program opens as many as are left.
  (func $closes (local $fd i32)
    (call $wait_for (i32.const 1012))
    (local.set $fd (i32.const 5))
    (loop $l
      (drop (call $fd_close (local.get $fd)))
      (br_if $l (i32.lt_u (local.tee $fd (i32.add (local.get $fd) (i32.const 1))) (i32.const 40)))))
  (func (export "closed_meanwhile") (result i32)
    (drop (call $fill))
    (call $start (i32.const 2))
    (call $part)
    (call $set (i32.const 1012))
    (call $join_thread)
    (call $check (i32.eqz
      (call $exec3 (i32.const 16) (i32.const 11) (i32.const 900) (i32.const 0) (i32.const 900)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))
    (call $status))
  ;; A number that is open can stand for something else, also where there may be no more numbers.
  (func (export "dup2_at_the_limit") (result i32) (local $before i32) (local $apart i32)
    (drop (call $fill))
    (local.set $before (call $dup2 (i32.const 5) (i32.const 6)))
    (call $part)
    (local.set $apart (call $dup2 (i32.const 5) (i32.const 7)))
    (call $proc_exit2 (i32.const 1))
    (call $check (i32.eq (call $status) (i32.const 1001)))
    (i32.add (i32.mul (i32.const 1000) (local.get $before)) (local.get $apart)))

  ;; No thread begins with what is a child's.
  (func (export "thread_of_a_child") (result i32) (local $error i32)
    (call $part)
    (local.set $error (call $thread_spawn (i32.const 64) (i32.const 1004)))
    (call $proc_exit2 (i32.const 1))
    (call $check (i32.eq (call $status) (i32.const 1001)))
    (local.get $error))

  ;; Threads that end while they act for a child: that will not be.
  (func (export "ended_apart") (result i32) (local $count i32)
    (loop $l
      (call $start (i32.const 3))
      (call $join_thread)
      (br_if $l (i32.lt_u (local.tee $count (i32.add (local.get $count) (i32.const 1))) (i32.const 6))))
    (call $proc_fork_env (i32.const 1024))))
