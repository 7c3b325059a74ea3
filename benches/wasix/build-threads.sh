#!/bin/sh
# Builds threads.wasm. Debian: clang-22 lld-22.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="--target=wasm32-unknown-unknown -matomics -mbulk-memory -mmutable-globals"
clang-22 $flags -c -o "$work/start.o" start.s
clang-22 $flags -ffreestanding -fno-builtin -O2 -Wall -c -o "$work/threads.o" threads.c
wasm-ld-22 -s --shared-memory --import-memory --export-memory --max-memory=1048576 --no-entry \
    --export=_start -o threads.wasm "$work/threads.o" "$work/start.o"
