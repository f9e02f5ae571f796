// Compiles contracts/ with the npm package `solc` into the folder that is given: a JSON file a contract, {abi, bytecode}.
// Usage: node compile.mjs FOLDER
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(import.meta.url);
const solc = require("solc");
const here = import.meta.dirname;
const out = process.argv[2];

const sources = {};
for (const file of readdirSync(join(here, "contracts"))) {
  sources[file] = { content: readFileSync(join(here, "contracts", file), "utf8") };
}
const input = {
  language: "Solidity",
  sources,
  settings: {
    evmVersion: "osaka",
    optimizer: { enabled: true, runs: 200 },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
  },
};
const found = (path) => ({ contents: readFileSync(require.resolve(path), "utf8") });
const done = JSON.parse(solc.compile(JSON.stringify(input), { import: found }));
const errors = (done.errors ?? []).filter((e) => e.severity === "error");
if (errors.length) {
  console.error(errors.map((e) => e.formattedMessage).join("\n"));
  process.exit(1);
}
mkdirSync(out, { recursive: true });
for (const file of Object.keys(sources)) {
  for (const [name, contract] of Object.entries(done.contracts[file])) {
    writeFileSync(join(out, `${name}.json`), JSON.stringify({ abi: contract.abi, bytecode: `0x${contract.evm.bytecode.object}` }));
  }
}
