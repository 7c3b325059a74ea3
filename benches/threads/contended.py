"""The contended lock of contended.wat in Wasmtime's library: python contended.py FILE COUNT THREADS

Prints nanoseconds of wall time for each time that the lock is taken, median of seven rounds. Needs the
package `wasmtime`; its calls run without Python's own lock.
"""

import sys
import threading
import time

import wasmtime
from wasmtime import _ffi


def as_extern(memory):
    """Version 50 of the package hands over the address of the address."""
    union = _ffi.wasmtime_extern_union(sharedmemory=memory.ptr())
    return _ffi.wasmtime_extern_t(_ffi.WASMTIME_EXTERN_SHAREDMEMORY, union)


wasmtime.SharedMemory._as_extern = as_extern


def round_of(engine, module, count, threads):
    limits = wasmtime.Limits(1, 1)
    memory = wasmtime.SharedMemory(engine, wasmtime.MemoryType(limits, shared=True))
    ready = threading.Barrier(threads + 1)
    answers = []

    def guest():
        store = wasmtime.Store(engine)
        instance = wasmtime.Instance(store, module, [memory])
        run = instance.exports(store)["contended"]
        ready.wait()
        answers.append(run(store, count))

    guests = [threading.Thread(target=guest) for _ in range(threads)]
    for thread in guests:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in guests:
        thread.join()
    taken = time.perf_counter() - started
    assert max(answers) == count * threads, answers
    return taken * 1e9 / (count * threads)


def main():
    path, count, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    config = wasmtime.Config()
    config.wasm_threads = True
    config.shared_memory = True
    engine = wasmtime.Engine(config)
    module = wasmtime.Module(engine, open(path, "rb").read())
    rounds = sorted(round_of(engine, module, count, threads) for _ in range(7))
    print(f"{rounds[3]:.1f}")


main()
