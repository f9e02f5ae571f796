// A raw WebSocket subscriber: while logs are made as fast as they are taken, it must hear of each exactly once, in order,
// and `eth_getLogs` must have each of them at the moment it is heard of.
import assert from "node:assert/strict";
import WebSocket from "ws";
import { ethers } from "ethers";
import { artifact, check, mnemonic, result, rpc, ws } from "./common.mjs";

const TRANSACTIONS = 60;
const LOGS_EACH = 5;

const provider = new ethers.JsonRpcProvider(rpc, undefined, { cacheTimeout: -1 });
const wallet = ethers.HDNodeWallet.fromPhrase(mnemonic, undefined, "m/44'/60'/0'/0/9").connect(provider);
const { abi, bytecode } = artifact("Noisy");
const noisy = await new ethers.ContractFactory(abi, bytecode, wallet).deploy();
await noisy.waitForDeployment();

function subscribe(socket, id, ...params) {
  socket.send(JSON.stringify({ jsonrpc: "2.0", id, method: "eth_subscribe", params }));
}

await check("a subscriber hears of every log once, in order, and never before eth_getLogs has it", async () => {
  const socket = new WebSocket(ws);
  await new Promise((resolve) => socket.once("open", resolve));
  const heard = [];
  const heads = [];
  const queries = [];
  const kinds = {};
  let ready;
  const subscribed = new Promise((resolve) => (ready = resolve));
  socket.on("message", (text) => {
    const message = JSON.parse(text);
    if (message.id) {
      kinds[message.result] = message.id === 1 ? "logs" : "heads";
      if (Object.keys(kinds).length === 2) ready();
      return;
    }
    const { subscription, result: value } = message.params;
    if (kinds[subscription] === "heads") return heads.push(value);
    heard.push(value);
    queries.push(result("eth_getLogs", { address: noisy.target, blockHash: value.blockHash }).then((logs) => {
      assert.ok(logs.some((log) => log.logIndex === value.logIndex && log.transactionHash === value.transactionHash), "eth_getLogs does not have it");
    }));
  });
  subscribe(socket, 1, "logs", { address: noisy.target });
  subscribe(socket, 2, "newHeads");
  await subscribed;
  const nonce = await wallet.getNonce();
  const data = noisy.interface.encodeFunctionData("make", [LOGS_EACH]);
  const fee = (await provider.getFeeData()).maxFeePerGas;
  const { chainId } = await provider.getNetwork();
  const signed = await Promise.all(Array.from({ length: TRANSACTIONS }, (_, i) => wallet.signTransaction({
    type: 2, chainId, to: noisy.target, data, nonce: nonce + i, gasLimit: 300_000n, maxFeePerGas: fee, maxPriorityFeePerGas: 0n,
  })));
  const hashes = await Promise.all(signed.map((raw) => result("eth_sendRawTransaction", raw)));
  await provider.waitForTransaction(hashes.at(-1));
  for (let i = 0; i < 100 && heard.length < TRANSACTIONS * LOGS_EACH; i++) await new Promise((resolve) => setTimeout(resolve, 50));
  await Promise.all(queries);
  const numbers = heard.map((log) => Number(BigInt(log.topics[1])));
  assert.deepEqual(numbers, Array.from({ length: TRANSACTIONS * LOGS_EACH }, (_, i) => i));
  const expected = await result("eth_getLogs", { address: noisy.target, fromBlock: "0x0" });
  assert.deepEqual(heard, expected);
  const heights = heads.map((head) => Number(head.number));
  assert.deepEqual(heights, heights.map((_, i) => heights[0] + i), "a block was left out or told twice");
  for (const head of heads) assert.equal(head.hash, (await result("eth_getBlockByNumber", head.number, false)).hash);
  socket.close();
});
process.exit();
