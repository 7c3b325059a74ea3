// Runs one export of a module: node invoke.mjs FILE EXPORT COUNT
import { readFileSync } from "node:fs";

const [file, name, count] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(readFileSync(file));
console.log(instance.exports[name](Number(count)));
