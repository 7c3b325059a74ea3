#!/usr/bin/env bash
# Rebuilds soak.wasm; threaded.sh says what it needs.
exec "$(dirname "$0")/threaded.sh" soak
