#!/bin/sh
# Builds bench.wasm from bench.c. Debian: clang-22 lld-22 wasi-libc libclang-rt-22-dev-wasm32.
set -eu
cd "$(dirname "$0")"
clang-22 --target=wasm32-wasi --sysroot=/usr -O2 -Wall -Wno-deprecated -s -o bench.wasm bench.c
sha256sum bench.c > bench.c.sha256
