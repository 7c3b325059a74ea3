// The contended lock of contended.wat in Node: node contended.mjs FILE COUNT THREADS
// Prints nanoseconds of wall time for each time that the lock is taken, median of seven rounds.
import { readFileSync } from "node:fs";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

// One word of `gate` counts the workers that are ready, the other lets them go.
const round = (file, count, threads) =>
  new Promise((resolve) => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const gate = new Int32Array(new SharedArrayBuffer(8));
    let started, left = threads;
    Array.from({ length: threads }, () => {
      const worker = new Worker(new URL(import.meta.url), { workerData: { file, count, memory, gate } });
      worker.on("message", (message) => {
        if (message === "ready" && Atomics.load(gate, 0) === threads) {
          started ??= process.hrtime.bigint();
          Atomics.store(gate, 1, 1);
          Atomics.notify(gate, 1);
        } else if (message === "done" && --left === 0) {
          resolve(Number(process.hrtime.bigint() - started) / (count * threads));
        }
      });
    });
  });

if (isMainThread) {
  const [file, count, threads] = process.argv.slice(2);
  const rounds = [];
  for (let at = 0; at < 7; at++) rounds.push(await round(file, Number(count), Number(threads)));
  rounds.sort((a, b) => a - b);
  console.log(rounds[3].toFixed(1));
} else {
  const { file, count, memory, gate } = workerData;
  const instance = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(file)), { env: { memory } });
  Atomics.add(gate, 0, 1);
  parentPort.postMessage("ready");
  Atomics.wait(gate, 1, 0);
  instance.exports.contended(count);
  parentPort.postMessage("done");
}
