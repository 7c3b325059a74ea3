// Runs bench.wasm under Node: node node.mjs NAME FOLDER [COUNT]; the guest sees FOLDER as /data.
import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const [name, folder, ...rest] = process.argv.slice(2);
const wasi = new WASI({
  version: "preview1",
  args: ["bench", name, "/data", ...rest],
  preopens: { "/data": folder },
});
const bytes = await readFile(new URL("bench.wasm", import.meta.url));
const { instance } = await WebAssembly.instantiate(bytes, wasi.getImportObject());
process.exitCode = wasi.start(instance);
