#!/usr/bin/env bash
# Rebuilds threads.wasm.
#
#   pip install ziglang==0.17.1 && tests/guests/threads.sh
set -euo pipefail
cd "$(dirname "$0")"
zig=${ZIG:-"python3 -m ziglang"}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
$zig cc -target wasm32-freestanding -O2 -matomics -mbulk-memory -c -o "$work/threads.o" threads.c
$zig wasm-ld --no-entry -s --import-memory --shared-memory --max-memory=4194304 \
    --export=__wasm_init_tls --export=__stack_pointer -o threads.wasm "$work/threads.o"
