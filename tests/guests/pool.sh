#!/usr/bin/env bash
# Rebuilds pool.wasm.
#
#   apt-get install clang-22 lld-22 && tests/guests/pool.sh
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A thread begins here: its stack is in the first word of what it was started with.
cat > "$work/start.s" <<'S'
	.globaltype	__stack_pointer, i32
	.functype	run_thread (i32, i32) -> ()
	.export_name	wasi_thread_start, wasi_thread_start
	.globl	wasi_thread_start
	.type	wasi_thread_start,@function
wasi_thread_start:
	.functype	wasi_thread_start (i32, i32) -> ()
	local.get 1
	i32.load 0
	global.set __stack_pointer
	local.get 0
	local.get 1
	call run_thread
	end_function
S
flags="--target=wasm32-unknown-unknown -matomics -mbulk-memory -mmutable-globals"
clang-22 $flags -c -o "$work/start.o" "$work/start.s"
clang-22 $flags -ffreestanding -fno-builtin -O2 -Wall -c -o "$work/pool.o" pool.c
wasm-ld-22 -s --shared-memory --import-memory --export-memory --max-memory=1048576 --no-entry -o pool.wasm \
    "$work/pool.o" "$work/start.o"
