#!/usr/bin/env node
// Compiles src/ and the examples with the npm package `solc` and writes one artifact a contract:
// artifacts/<Name>.json = {"abi", "bytecode", "deployedBytecode"}. With --check it compares instead of writing.
// Everything is compiled at once from the same source names, without metadata, so that every machine makes the same
// bytes. (forge is needed for the tests only: its npm package does not exist for every platform.)
import { createRequire } from "node:module";
import { readFileSync, readdirSync, writeFileSync, mkdirSync, rmSync, existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const solc = require("solc");
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const out = join(root, "artifacts");
const check = process.argv.includes("--check");
const folders = { "src/": join(root, "src"), "examples/": join(root, "../examples/contracts") };
/** What is deployed on other chains too: for the oldest EVM that such a chain may have. */
const PORTABLE = ["src/TriadVerifier.sol"];
/** EIP-170: the longest code that a contract may have. */
const CODE_LIMIT = 24576;

const sources = {};
for (const [name, folder] of Object.entries(folders)) {
  if (!existsSync(folder)) continue;
  for (const file of readdirSync(folder).sort()) {
    if (file.endsWith(".sol")) sources[name + file] = { content: readFileSync(join(folder, file), "utf8") };
  }
}
const load = (path) => ({ contents: readFileSync(join(root, "node_modules", path), "utf8") });
/** Compiles `files` for an EVM version; a warning counts as an error, but for what OpenZeppelin wrote. */
function compile(files, evmVersion) {
  const outputs = { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] };
  const input = {
    language: "Solidity",
    sources,
    settings: {
      remappings: ["triad/=src/"],
      evmVersion,
      optimizer: { enabled: true, runs: 10000 },
      metadata: { bytecodeHash: "none", appendCBOR: false },
      outputSelection: Object.fromEntries(files.map((file) => [file, outputs])),
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: load }));
  const problems = (output.errors ?? []).filter(
    (e) => e.severity === "error" || (e.severity === "warning" && !e.sourceLocation?.file.startsWith("@openzeppelin/")),
  );
  for (const e of problems) console.error(e.formattedMessage);
  if (problems.length > 0) process.exit(1);
  return output.contracts;
}
const own = Object.keys(sources).filter((file) => !PORTABLE.includes(file));
const compiled = { ...compile(own, "osaka"), ...compile(PORTABLE, "paris") };

const artifacts = new Map();
const sizes = [];
for (const file of Object.keys(sources)) {
  for (const [name, c] of Object.entries(compiled[file] ?? {})) {
    if (c.abi.every((item) => item.type === "error")) continue; // a library of internal functions
    const code = c.evm.deployedBytecode.object;
    const abi = c.abi.map((item) => "    " + JSON.stringify(item)).join(",\n");
    if (artifacts.has(`${name}.json`)) throw new Error(`two contracts are called ${name}`);
    artifacts.set(
      `${name}.json`,
      `{\n  "abi": [\n${abi}\n  ],\n  "bytecode": "0x${c.evm.bytecode.object}",\n  "deployedBytecode": "0x${code}"\n}\n`,
    );
    if (code.length > 0) sizes.push([name, code.length / 2]);
  }
}
for (const [name, size] of sizes) {
  if (size > CODE_LIMIT) throw new Error(`${name} has ${size} bytes of code, the limit is ${CODE_LIMIT}`);
}

mkdirSync(out, { recursive: true });
const existing = readdirSync(out).filter((f) => f.endsWith(".json"));
const stale = existing.filter((f) => !artifacts.has(f));
if (check) {
  const changed = [...artifacts].filter(
    ([file, text]) => !existing.includes(file) || readFileSync(join(out, file), "utf8") !== text,
  );
  const wrong = [...changed.map(([file]) => file), ...stale];
  if (wrong.length > 0) {
    console.error(`artifacts differ from what the sources compile to: ${wrong.join(", ")}; run contracts/build`);
    process.exit(1);
  }
  console.log(`${artifacts.size} artifacts are what the sources compile to (solc ${solc.version()})`);
} else {
  for (const file of stale) rmSync(join(out, file));
  for (const [file, text] of artifacts) writeFileSync(join(out, file), text);
  for (const [name, size] of sizes) console.log(`${name.padEnd(24)} ${String(size).padStart(6)} bytes of code`);
  console.log(`${artifacts.size} artifacts written (solc ${solc.version()})`);
}
