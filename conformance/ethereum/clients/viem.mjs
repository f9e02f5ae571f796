// viem: clients over HTTP and WebSocket, batches, events, errors, EIP-7702, synchronous sending, a firing.
import assert from "node:assert/strict";
import { createPublicClient, createTestClient, createWalletClient, defineChain, getContract, http, parseEther, webSocket } from "viem";
import { mnemonicToAccount, generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { artifact, check, mnemonic, result, rpc, ws } from "./common.mjs";

const chain = defineChain({
  id: Number(await result("eth_chainId")),
  name: "Triad",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [rpc], webSocket: [ws] } },
});
const reader = createPublicClient({ chain, transport: http(rpc, { batch: true }), pollingInterval: 50, cacheTime: 0 });
const account = mnemonicToAccount(mnemonic, { addressIndex: 4 });
const other = mnemonicToAccount(mnemonic, { addressIndex: 5 });
const wallet = createWalletClient({ chain, account, transport: http(rpc) });
const final = async (hash) => {
  const receipt = await reader.waitForTransactionReceipt({ hash });
  assert.equal(receipt.status, "success");
  return receipt;
};
const deploy = async (name, args = []) => {
  const { contractAddress } = await final(await wallet.deployContract({ ...artifact(name), args }));
  return getContract({ abi: artifact(name).abi, address: contractAddress, client: { public: reader, wallet } });
};

let coin;
await check("viem: fees, history, gas", async () => {
  const fees = await reader.estimateFeesPerGas();
  assert.ok(fees.maxFeePerGas > 0n && fees.maxPriorityFeePerGas >= 0n);
  const history = await reader.getFeeHistory({ blockCount: 4, rewardPercentiles: [25, 75] });
  assert.equal(history.baseFeePerGas.length, history.gasUsedRatio.length + 1);
  assert.equal(await reader.estimateGas({ account, to: other.address, value: 1n }), 21000n);
});
await check("viem: a token, its events, a batch of reads", async () => {
  coin = await deploy("Coin");
  await final(await coin.write.transfer([other.address, 3n]));
  const [supply, balance, block] = await Promise.all([coin.read.totalSupply(), coin.read.balanceOf([other.address]), reader.getBlock({ includeTransactions: true })]);
  assert.deepEqual([supply, balance], [parseEther("1000000"), 3n]);
  assert.equal(block.transactions.length >= 0, true);
  const events = await coin.getEvents.Transfer({ to: other.address }, { fromBlock: "earliest" });
  assert.deepEqual(events.map((e) => e.args.value), [3n]);
});
await check("viem: watches events through a filter and over WebSocket", async () => {
  const socket = createPublicClient({ chain, transport: webSocket(ws) });
  const once = (client) => new Promise((resolve, reject) => {
    const stop = client.watchContractEvent({ abi: coin.abi, address: coin.address, eventName: "Transfer", onError: reject, onLogs: (logs) => { stop(); resolve(logs); } });
  });
  const heads = new Promise((resolve) => { const stop = socket.watchBlocks({ onBlock: (block) => { stop(); resolve(block); } }); });
  const heard = [once(reader), once(socket)];
  await new Promise((resolve) => setTimeout(resolve, 500));
  const receipt = await final(await coin.write.transfer([other.address, 4n]));
  for (const logs of await Promise.all(heard)) assert.deepEqual([logs.length, logs[0].transactionHash], [1, receipt.transactionHash]);
  assert.ok((await heads).number > 0n);
  const client = await socket.transport.getRpcClient();
  client.close();
});
await check("viem: errors are decoded", async () => {
  const noisy = await deploy("Noisy");
  await assert.rejects(noisy.read.refuse(), (e) => /Refused/.test(e.message) && /7/.test(e.message));
  await assert.rejects(noisy.simulate.say(), (e) => /no, because/.test(e.message));
});
await check("viem: refusals have the names that it knows", async () => {
  const poor = createWalletClient({ chain, account: privateKeyToAccount(generatePrivateKey()), transport: http(rpc) });
  const transfer = { to: other.address, value: 1n, gas: 21000n };
  await assert.rejects(poor.sendTransaction(transfer), (e) => e.walk((x) => x.name === "InsufficientFundsError") !== null);
  await assert.rejects(wallet.sendTransaction({ ...transfer, nonce: 0 }), (e) => e.walk((x) => x.name === "NonceTooLowError") !== null);
  await assert.rejects(wallet.sendTransaction({ ...transfer, gas: 20000n }), (e) => e.walk((x) => x.name === "IntrinsicGasTooLowError") !== null);
  const cheap = { ...transfer, maxFeePerGas: 1n, maxPriorityFeePerGas: 0n };
  await assert.rejects(wallet.sendTransaction(cheap), (e) => e.walk((x) => x.name === "FeeCapTooLowError") !== null);
});
await check("viem: an account delegates itself (EIP-7702)", async () => {
  const noisy = await deploy("Noisy");
  const fresh = privateKeyToAccount(generatePrivateKey());
  const authorization = await fresh.signAuthorization({ contractAddress: noisy.address, chainId: chain.id, nonce: 0 });
  const receipt = await final(await wallet.sendTransaction({ to: fresh.address, data: "0x06661abd", authorizationList: [authorization], gas: 300_000n }));
  assert.equal(receipt.type, "eip7702");
  const sent = await reader.getTransaction({ hash: receipt.transactionHash });
  assert.equal(sent.authorizationList[0].address.toLowerCase(), noisy.address.toLowerCase());
});
await check("viem: blobs are refused with the reason", async () => {
  const answer = await fetch(rpc, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_sendRawTransaction", params: ["0x03f8b1"] }) });
  assert.match((await answer.json()).error.message, /type not supported.*EIP-4844/);
});
await check("viem: eth_sendRawTransactionSync answers with the receipt", async () => {
  const request = await wallet.prepareTransactionRequest({ to: other.address, value: 1n });
  const serializedTransaction = await wallet.signTransaction(request);
  const receipt = await wallet.sendRawTransactionSync({ serializedTransaction });
  assert.equal(receipt.status, "success");
});
await check("viem: the pool, through the test client", async () => {
  const test = createTestClient({ chain, mode: "anvil", transport: http(rpc) });
  const status = await test.getTxpoolStatus();
  assert.ok(status.pending >= 0 && status.queued >= 0);
  await test.getTxpoolContent();
  await test.inspectTxpool();
});
if (process.env.FIRING) {
  await check("viem: a firing and its receipt", async () => {
    const hash = process.env.FIRING;
    const receipt = await reader.getTransactionReceipt({ hash });
    assert.deepEqual([receipt.status, receipt.transactionHash], ["success", hash]);
    const sent = await reader.getTransaction({ hash });
    assert.deepEqual([sent.typeHex, sent.value], ["0x74", 0n]);
    const block = await reader.getBlock({ blockHash: receipt.blockHash, includeTransactions: true });
    assert.ok(block.transactions.some((t) => t.hash === hash));
  });
}
process.exit();
