#!/usr/bin/env bash
# Rebuilds thread_check.wasm; threaded.sh says what it needs.
exec "$(dirname "$0")/threaded.sh" thread_check
