#!/usr/bin/env bash
# Rebuilds fault_check.wasm; threaded.sh says what it needs.
exec "$(dirname "$0")/threaded.sh" fault_check
