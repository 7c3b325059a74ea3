#!/usr/bin/env bash
# Rebuilds the guests written in Rust: hyper_server.wasm and rustls_client.wasm.
#
#   apt-get install rustc-web cargo-web rust-web-src clang-22 llvm-22 lld-22 wasi-libc && tests/guests/rust/build.sh
set -euo pipefail
cd "$(dirname "$0")"
export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTC_WRAPPER=
export CARGO_TARGET_WASM32_WASIP1_LINKER=wasm-ld-22
export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="-C link-self-contained=no -L /usr/lib/wasm32-wasi
    -C link-arg=/usr/lib/wasm32-wasi/crt1-command.o"
export CC_wasm32_wasip1=clang-22 AR_wasm32_wasip1=llvm-ar-22 CFLAGS_wasm32_wasip1=--sysroot=/usr
target=${CARGO_TARGET_DIR:-../../../target}/guests
/usr/bin/cargo build --release --locked -Zbuild-std=std,panic_abort --target wasm32-wasip1 --target-dir "$target"
for guest in hyper_server rustls_client; do
    install -m 644 "$target/wasm32-wasip1/release/$guest.wasm" ..
done
