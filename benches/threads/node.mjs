// Runs one export of a module, with threads of Node's that share a memory where it asks for one:
// node node.mjs FILE EXPORT COUNT [THREADS]
import { readFileSync } from "node:fs";
import { Worker, isMainThread, workerData } from "node:worker_threads";

const run = (file, name, count, memory) => {
  const module = new WebAssembly.Module(readFileSync(file));
  const instance = new WebAssembly.Instance(module, memory ? { env: { memory } } : {});
  return instance.exports[name](Number(count));
};

if (isMainThread) {
  const [file, name, count, threads] = process.argv.slice(2);
  if (threads) {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    for (let i = 0; i < Number(threads); i++) {
      new Worker(new URL(import.meta.url), { workerData: { file, name, count, memory } });
    }
  } else {
    console.log(run(file, name, count));
  }
} else {
  const { file, name, count, memory } = workerData;
  run(file, name, count, memory);
}
