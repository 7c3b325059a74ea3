#!/usr/bin/env bash
# Rebuilds sqlite_server.wasm; threaded.sh says what it needs, and cargo has the source of SQLite, which is
# in the crate libsqlite3-sys. SQLite is built without instructions for threads, as the C library is: it
# goes by the locks that the guest gives it.
set -euo pipefail
cd "$(dirname "$0")"
manifest=$(cargo metadata --format-version 1 | grep -o '"manifest_path":"[^"]*libsqlite3-sys-[^"/]*/Cargo.toml"' | head -1)
manifest=${manifest#*:\"}
sqlite=$(dirname "${manifest%\"}")/sqlite3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# It includes a header that it needs nothing of.
touch "$work/pthread.h"
clang-22 --target=wasm32-wasi -Wno-deprecated --sysroot=/usr -mbulk-memory -mmutable-globals -Os -w -I"$work" \
    -D_WASI_EMULATED_GETPID -DSQLITE_THREADSAFE=1 -DSQLITE_MUTEX_NOOP -DSQLITE_OMIT_LOAD_EXTENSION \
    -DSQLITE_OMIT_DEPRECATED -DSQLITE_OMIT_WAL -DSQLITE_MAX_WORKER_THREADS=0 -DSQLITE_TEMP_STORE=3 -DSQLITE_DQS=0 \
    -c -o "$work/sqlite3.o" "$sqlite/sqlite3.c"
X_FLAGS="-I$sqlite" ./threaded.sh sqlite_server "$work/sqlite3.o" -lwasi-emulated-getpid
