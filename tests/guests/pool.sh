#!/usr/bin/env bash
# Rebuilds pool.wasm.
#
#   apt-get install clang-22 lld-22 && tests/guests/pool.sh
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="--target=wasm32-unknown-unknown -matomics -mbulk-memory -mmutable-globals"
clang-22 $flags -c -o "$work/start.o" start.s
clang-22 $flags -ffreestanding -fno-builtin -O2 -Wall -c -o "$work/pool.o" pool.c
wasm-ld-22 -s --shared-memory --import-memory --export-memory --max-memory=1048576 --no-entry -o pool.wasm \
    "$work/pool.o" "$work/start.o"
