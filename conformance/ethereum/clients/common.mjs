// What the clients share: where the node is, the dev accounts, compiled contracts, and one line a check.
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const rpc = process.env.TRIAD_RPC;
export const ws = rpc.replace(/^http/, "ws");
/** The first accounts of `triad node --dev`: the mnemonic that everybody knows. */
export const mnemonic = "test test test test test test test test test test test junk";
export const artifact = (name) => JSON.parse(readFileSync(join(process.env.BUILD, `${name}.json`), "utf8"));

let id = 0;
/** One JSON-RPC call as it is on the wire: {result} or {error}. */
export async function call(method, ...params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: ++id, method, params });
  const response = await fetch(rpc, { method: "POST", headers: { "content-type": "application/json" }, body });
  return response.json();
}
export async function result(method, ...params) {
  const answer = await call(method, ...params);
  if (answer.error) throw new Error(`${method}: ${JSON.stringify(answer.error)}`);
  return answer.result;
}

/** Runs one check; its name and how it ended are a line for `run` to count. */
export async function check(name, body) {
  try {
    await body();
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`FAIL ${name}: ${String(error?.stack ?? error).split("\n").slice(0, 6).join(" | ").slice(0, 900)}`);
    process.exitCode = 1;
  }
}
