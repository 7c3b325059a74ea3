;; Reads, writes, lists, links, renames, creates and removes through `swap`, which somebody swaps for
;; a link that leads out of descriptor 3, until there is a file `stop`. Statuses: 0 after both a
;; successful and a refused reading, 96 and 97 when one of them never came, 98 when a listing and
;; 99 when a file showed something that starts with `S`: the secret.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_readdir"
    (func $readdir (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_create_directory"
    (func $mkdir (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_remove_directory"
    (func $rmdir (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file"
    (func $unlink (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_symlink"
    (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_rename"
    (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_link"
    (func $link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "swap/file")
  (data (i32.const 32) "swap/a/../file")
  (data (i32.const 48) "swap/new")
  (data (i32.const 64) "stop")
  (data (i32.const 80) "linked")
  (data (i32.const 96) "swap/")
  (data (i32.const 112) "moved")
  (data (i32.const 128) "public")
  ;; One vector: 6 bytes at 512, for reading; another: the text "public", for writing.
  (data (i32.const 256) "\00\02\00\00\06\00\00\00\80\00\00\00\06\00\00\00")
  (global $public (mut i32) (i32.const 0))
  (global $refused (mut i32) (i32.const 0))

  ;; Opens with the rights to read (2), write (64) or list (16384); the descriptor or -1.
  (func $opened (param $path i32) (param $len i32) (param $how i32) (param $rights i64) (result i32)
    (local $errno i32)
    (local.set $errno
      (call $open (i32.const 3) (i32.const 1) (local.get $path) (local.get $len) (local.get $how)
        (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 8)))
    (if (i32.eqz (local.get $errno)) (then (return (i32.load (i32.const 8)))))
    ;; 63: not permitted, because it leads out.
    (if (i32.eq (local.get $errno) (i32.const 63))
      (then (global.set $refused (i32.add (global.get $refused) (i32.const 1)))))
    (i32.const -1))

  (func $look (param $path i32) (param $len i32) (local $fd i32)
    (local.set $fd (call $opened (local.get $path) (local.get $len) (i32.const 0) (i64.const 2)))
    (if (i32.lt_s (local.get $fd) (i32.const 0)) (then (return)))
    (i32.store8 (i32.const 512) (i32.const 0))
    (drop (call $read (local.get $fd) (i32.const 256) (i32.const 1) (i32.const 8)))
    (if (i32.eq (i32.load8_u (i32.const 512)) (i32.const 83)) (then (call $exit (i32.const 99))))
    (if (i32.eq (i32.load8_u (i32.const 512)) (i32.const 112))
      (then (global.set $public (i32.add (global.get $public) (i32.const 1)))))
    (drop (call $close (local.get $fd))))

  (func $overwrite (param $path i32) (param $len i32) (param $how i32) (local $fd i32)
    (local.set $fd (call $opened (local.get $path) (local.get $len) (local.get $how) (i64.const 64)))
    (if (i32.lt_s (local.get $fd) (i32.const 0)) (then (return)))
    (drop (call $write (local.get $fd) (i32.const 264) (i32.const 1) (i32.const 8)))
    (drop (call $close (local.get $fd))))

  (func $list (local $fd i32) (local $at i32) (local $end i32)
    (local.set $fd (call $opened (i32.const 96) (i32.const 5) (i32.const 2) (i64.const 16384)))
    (if (i32.lt_s (local.get $fd) (i32.const 0)) (then (return)))
    (if (i32.eqz
          (call $readdir (local.get $fd) (i32.const 4096) (i32.const 4096) (i64.const 0)
            (i32.const 8)))
      (then
        (local.set $at (i32.const 4096))
        (local.set $end (i32.add (i32.load (i32.const 8)) (i32.const 4096)))
        (block $done (loop $next
          ;; 24 bytes of an entry, then its name, whose length is at 16.
          (br_if $done
            (i32.ge_u (i32.add (local.get $at) (i32.const 24)) (local.get $end)))
          (if (i32.eq (i32.load8_u offset=24 (local.get $at)) (i32.const 83))
            (then (call $exit (i32.const 98))))
          (local.set $at
            (i32.add (i32.add (local.get $at) (i32.const 24))
              (i32.load offset=16 (local.get $at))))
          (br $next)))))
    (drop (call $close (local.get $fd))))

  (func $change
    (call $overwrite (i32.const 16) (i32.const 9) (i32.const 0))
    ;; Created.
    (call $overwrite (i32.const 48) (i32.const 8) (i32.const 1))
    (drop (call $unlink (i32.const 3) (i32.const 48) (i32.const 8)))
    (drop (call $mkdir (i32.const 3) (i32.const 48) (i32.const 8)))
    (drop (call $rmdir (i32.const 3) (i32.const 48) (i32.const 8)))
    (drop (call $symlink (i32.const 16) (i32.const 9) (i32.const 3) (i32.const 48) (i32.const 8)))
    (drop
      (call $rename (i32.const 3) (i32.const 48) (i32.const 8) (i32.const 3) (i32.const 112)
        (i32.const 5)))
    (drop (call $unlink (i32.const 3) (i32.const 112) (i32.const 5)))
    (drop (call $unlink (i32.const 3) (i32.const 48) (i32.const 8)))
    (drop
      (call $link (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 9) (i32.const 3)
        (i32.const 80) (i32.const 6)))
    (call $look (i32.const 80) (i32.const 6))
    (drop (call $unlink (i32.const 3) (i32.const 80) (i32.const 6))))

  (func (export "_start")
    (loop $again
      (call $look (i32.const 16) (i32.const 9))
      (call $look (i32.const 32) (i32.const 14))
      (call $list)
      (call $change)
      (br_if $again
        (i32.lt_s
          (call $opened (i32.const 64) (i32.const 4) (i32.const 0) (i64.const 2)) (i32.const 0))))
    (if (i32.eqz (global.get $public)) (then (call $exit (i32.const 96))))
    (if (i32.eqz (global.get $refused)) (then (call $exit (i32.const 97))))
    (call $exit (i32.const 0))))
