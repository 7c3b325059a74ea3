#!/usr/bin/env bash
# Rebuilds a guest with threads: threaded.sh NAME, called by NAME.sh.
#
#   apt-get install clang-22 lld-22 wasi-libc libclang-rt-22-dev-wasm32
#
# The C library knows of no threads: only the main thread may use what has a state there, and `errno` is
# for nobody.
set -euo pipefail
cd "$(dirname "$0")"
name=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="--target=wasm32-wasi -Wno-deprecated --sysroot=/usr -matomics -mbulk-memory -mmutable-globals"
clang-22 $flags -c -o "$work/start.o" start.s
clang-22 $flags ${X_FLAGS-} -O2 -Wall -Wno-unused-function -c -o "$work/$name.o" "$name.c"
wasm-ld-22 -s --shared-memory --import-memory --export-memory --max-memory=67108864 --no-check-features \
    -z stack-size=262144 -L/usr/lib/wasm32-wasi -o "$name.wasm" /usr/lib/wasm32-wasi/crt1-command.o \
    "$work/$name.o" "$work/start.o" "$@" -lc /usr/lib/llvm-22/lib/clang/22/lib/wasi/libclang_rt.builtins-wasm32.a
