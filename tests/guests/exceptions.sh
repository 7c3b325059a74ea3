#!/usr/bin/env bash
# Rebuilds exceptions.wasm and exceptions-older.wasm (the operators before `try_table`).
#
#   pip install ziglang==0.17.1 && tests/guests/exceptions.sh
#
# Zig's own library of the C++ runtime aborts where something is thrown, but it comes with the sources of
# the one that throws: they are compiled here and take the other's place.
set -euo pipefail
cd "$(dirname "$0")"
zig=${ZIG:-"python3 -m ziglang"}
lib=$(python3 -c 'import pathlib, ziglang; print(pathlib.Path(ziglang.__file__).parent / "lib")')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
runtime="cxa_exception cxa_exception_storage cxa_personality cxa_handlers cxa_default_handlers
    private_typeinfo stdlib_exception stdlib_typeinfo cxa_aux_runtime abort_message fallback_malloc"
target="-target wasm32-wasi -O2"

build() {
    local flags="-fwasm-exceptions -mexception-handling -mllvm -wasm-use-legacy-eh=$1" name
    $zig cc $target $flags -D_LIBUNWIND_HAS_NO_THREADS -D_LIBUNWIND_HIDE_SYMBOLS -fdeclspec -w \
        -I"$lib/libunwind/include" -c -o "$work/unwind.o" "$lib/libunwind/src/Unwind-wasm.c"
    for name in $runtime; do
        $zig c++ $target $flags -std=c++23 -w -D_LIBCXXABI_HAS_NO_THREADS -D_LIBCXXABI_BUILDING_LIBRARY \
            -D_LIBCPP_BUILDING_LIBRARY -I"$lib/libcxxabi/include" -I"$lib/libcxx/src" \
            -I"$lib/libunwind/include" -c -o "$work/$name.o" "$lib/libcxxabi/src/$name.cpp"
    done
    $zig c++ $target $flags -std=c++20 -c -o "$work/program.o" exceptions.cpp
    # The tag of all exceptions of C++: their address.
    printf '.globl __cpp_exception\n.tagtype __cpp_exception i32\n__cpp_exception:\n' > "$work/tag.s"
    $zig cc $target $flags -c -o "$work/tag.o" "$work/tag.s"
    # How the linker is called for a program that throws nothing.
    echo 'int main() {}' > "$work/empty.cpp"
    local link
    link=$($zig c++ -v $target -o "$work/empty.wasm" "$work/empty.cpp" 2>&1 | grep '^wasm-ld')
    link=$(tr ' ' '\n' <<< "${link#wasm-ld}" | grep -v -e 'empty\.o$' -e '^-o$' -e 'empty\.wasm$')
    $zig wasm-ld -o "$2" -s -z muldefs "$work"/*.o $link
}

build false exceptions.wasm
build true exceptions-older.wasm
