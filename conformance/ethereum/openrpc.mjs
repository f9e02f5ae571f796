// Validates what the node answers against the public OpenRPC description of Ethereum's JSON-RPC.
// Usage: node openrpc.mjs FOLDER (with the description's `src`); deviations are listed in deviations.yaml with reasons.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import { load } from "js-yaml";
import { ethers } from "ethers";
import { artifact, call, mnemonic, result, rpc } from "./clients/common.mjs";

const folder = join(process.argv[2], "src");
const yaml = (path) => load(readFileSync(path, "utf8"));
const files = (name) => readdirSync(join(folder, name)).filter((f) => f.endsWith(".yaml")).map((f) => join(folder, name, f));
const methods = new Map(["eth", "debug", "txpool"].flatMap((group) => files(group).flatMap(yaml)).map((m) => [m.name, m]));
const schemas = Object.assign({}, ...files("schemas").map(yaml));
const deviations = new Map(yaml(join(import.meta.dirname, "deviations.yaml")).map((d) => [d.method, d]));

const ajv = new Ajv({ strict: false, allErrors: true });
const point = (node) => JSON.parse(JSON.stringify(node), (key, value) => (key === "$ref" ? `doc${value}` : value));
ajv.addSchema({ $id: "doc", components: { schemas: point(schemas) } });

// ---- something to look at ----------------------------------------------------------------------------------------

const provider = new ethers.JsonRpcProvider(rpc, undefined, { cacheTimeout: -1 });
const wallet = new ethers.NonceManager(ethers.HDNodeWallet.fromPhrase(mnemonic, undefined, "m/44'/60'/0'/0/1").connect(provider));
const at = await wallet.getAddress();
const { abi, bytecode } = artifact("Noisy");
const noisy = await new ethers.ContractFactory(abi, bytecode, wallet).deploy();
const created = await noisy.deploymentTransaction().wait();
const made = await (await noisy.make(3n)).wait();
const sent = { 4: made };
for (const type of [0, 1, 2]) sent[type] = await (await wallet.sendTransaction({ to: at, value: 1n, type })).wait();
const fresh = ethers.Wallet.createRandom().connect(provider);
const authorization = await fresh.authorize({ address: noisy.target, nonce: 0 });
sent[4] = await (await wallet.sendTransaction({ type: 4, to: fresh.address, data: noisy.interface.encodeFunctionData("count"), authorizationList: [authorization], gasLimit: 300_000n })).wait();
// One that stays: it waits behind a gap in its sender's nonces.
const gap = await wallet.signer.signTransaction(await wallet.signer.populateTransaction({ to: at, nonce: (await wallet.getNonce()) + 5, gasLimit: 21000n }));
await call("eth_sendRawTransaction", gap);

const block = ethers.toQuantity(made.blockNumber);
const make = { from: at, to: noisy.target, data: noisy.interface.encodeFunctionData("make", [1n]) };
const count = { to: noisy.target, data: noisy.interface.encodeFunctionData("count") };
const filters = {};
for (const kind of ["eth_newFilter", "eth_newBlockFilter", "eth_newPendingTransactionFilter"]) {
  filters[kind] = await result(kind, ...(kind === "eth_newFilter" ? [{ address: noisy.target, fromBlock: "0x0" }] : []));
}
await (await noisy.make(2n)).wait();
const raw = async () => wallet.signer.signTransaction(await wallet.signer.populateTransaction({ to: at, value: 1n, nonce: await provider.getTransactionCount(at, "pending") }));
const all = Object.values(sent).concat(created).map((r) => r.hash);
const unknown = `0x${"11".repeat(32)}`;
const firing = process.env.FIRING;

/** Method, then the parameters of each call. */
const calls = {
  eth_chainId: [[]], eth_syncing: [[]], eth_coinbase: [[]], eth_accounts: [[]], eth_blockNumber: [[]], net_version: [[]],
  eth_gasPrice: [[]], eth_baseFee: [[]], eth_blobBaseFee: [[]], eth_maxPriorityFeePerGas: [[]],
  eth_feeHistory: [["0x5", "latest", [10, 50, 90]], ["0x1", block, []]],
  eth_getBalance: [[at, "latest"]], eth_getTransactionCount: [[at, "latest"], [at, "pending"]],
  eth_getCode: [[noisy.target, "latest"], [at, "latest"]], eth_getStorageAt: [[noisy.target, "0x0", "latest"]],
  eth_getProof: [[noisy.target, ["0x0"], "latest"]],
  eth_call: [[count, "latest"]], eth_estimateGas: [[make], [make, "latest"]],
  eth_createAccessList: [[make, "latest"]],
  eth_simulateV1: [[{ blockStateCalls: [{ calls: [make, count] }] }, "latest"]],
  eth_sendRawTransaction: [async () => [await raw()]],
  eth_getBlockByHash: [[made.blockHash, false], [made.blockHash, true], [unknown, false]],
  eth_getBlockByNumber: [["latest", false], ["earliest", true], ["pending", false], ["safe", false], ["finalized", true], [block, true], ["0xfffffff", false], ...Object.values(sent).map((r) => [ethers.toQuantity(r.blockNumber), true])],
  eth_getBlockTransactionCountByHash: [[made.blockHash]], eth_getBlockTransactionCountByNumber: [[block]],
  eth_getBlockReceipts: [[block], ["latest"], [made.blockHash]],
  eth_getTransactionByHash: [...all.map((hash) => [hash]), [unknown]],
  eth_getTransactionByBlockHashAndIndex: [[made.blockHash, "0x0"]], eth_getTransactionByBlockNumberAndIndex: [[block, "0x0"]],
  eth_getTransactionReceipt: [...all.map((hash) => [hash]), [unknown]],
  eth_getLogs: [[{ fromBlock: "0x0", address: noisy.target }], [{ blockHash: made.blockHash }]],
  eth_newFilter: [[{ fromBlock: "latest" }]], eth_newBlockFilter: [[]], eth_newPendingTransactionFilter: [[]],
  eth_getFilterChanges: Object.values(filters).map((id) => [id]), eth_getFilterLogs: [[filters.eth_newFilter]],
  eth_uninstallFilter: [async () => [await result("eth_newBlockFilter")]],
  txpool_status: [[]], txpool_content: [[]], txpool_contentFrom: [[at]],
  debug_traceTransaction: [[made.hash, { tracer: "callTracer" }]],
  debug_traceBlockByNumber: [[block, { tracer: "callTracer" }]],
  debug_traceBlockByHash: [[made.blockHash, { tracer: "callTracer" }]],
  debug_getRawHeader: [[block], ["latest"]], debug_getRawBlock: [[block], ["latest"]],
  debug_getRawReceipts: [[block], ["latest"]], debug_getRawTransaction: [[made.hash]],
};
if (firing) {
  const receipt = await result("eth_getTransactionReceipt", firing);
  calls.eth_getTransactionReceipt.push([firing]);
  calls.eth_getBlockReceipts.push([receipt.blockNumber]);
}

// ---- validation --------------------------------------------------------------------------------------------------

let bad = 0;
let validated = 0;
const used = new Set();
for (const [name, method] of methods) {
  const deviation = deviations.get(name);
  if (!calls[name]) {
    const { error } = await call(name);
    const absent = error?.code === -32601;
    if (deviation?.absent && absent) used.add(name);
    else if (absent) { bad++; console.log(`${name}: the node does not have it, and deviations.yaml does not say why`); }
    else { bad++; console.log(`${name}: the node has it, and no call here tries it`); }
    continue;
  }
  const validate = ajv.compile(point(method.result.schema));
  for (const given of calls[name]) {
    const params = typeof given === "function" ? await given() : given;
    const answer = await call(name, ...params);
    if (answer.error?.code === -32601 && deviation?.absent) {
      used.add(name);
      break;
    }
    if (answer.error) {
      bad++;
      console.log(`${name} ${JSON.stringify(params).slice(0, 120)}: ${JSON.stringify(answer.error).slice(0, 200)}`);
    } else if (!validate(answer.result)) {
      const errors = validate.errors.filter((e) => e.keyword !== "oneOf" && e.keyword !== "anyOf");
      const allowed = deviation?.allow && errors.every((e) => deviation.allow.some((a) => new RegExp(a).test(`${e.instancePath} ${e.message} ${JSON.stringify(e.params)}`)));
      if (allowed) { used.add(name); continue; }
      bad++;
      console.log(`${name} ${JSON.stringify(params).slice(0, 120)}: ${errors.slice(0, 4).map((e) => `${e.instancePath} ${e.message} ${JSON.stringify(e.params)}`).join("; ")}`);
    } else {
      validated++;
    }
  }
}
for (const name of deviations.keys()) {
  if (!used.has(name)) console.log(`note: ${name}: deviations.yaml lists it, but nothing deviates`);
}
console.log(`${validated} answers of ${Object.keys(calls).length} methods validated, ${used.size} deviations, ${bad} unexpected`);
process.exit(bad ? 1 : 0);
