// ethers v6: OpenZeppelin's tokens, an ERC-4337 account, errors, types, a firing.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { ethers } from "ethers";
import { artifact, check, mnemonic, rpc, ws } from "./common.mjs";

const provider = new ethers.JsonRpcProvider(rpc, undefined, { polling: true, cacheTimeout: -1 });
provider.pollingInterval = 50;
const account = (index) => new ethers.NonceManager(ethers.HDNodeWallet.fromPhrase(mnemonic, undefined, `m/44'/60'/0'/0/${index}`).connect(provider));
const alice = account(2);
const bob = account(3);
const [aliceAt, bobAt] = [await alice.getAddress(), await bob.getAddress()];

async function deploy(name, ...args) {
  const { abi, bytecode } = artifact(name);
  const contract = await new ethers.ContractFactory(abi, bytecode, alice).deploy(...args);
  return contract.waitForDeployment();
}
const done = async (sent) => {
  const receipt = await (await sent).wait();
  assert.equal(receipt.status, 1);
  return receipt;
};

let coin;
await check("ethers: fee data, network, block", async () => {
  const fees = await provider.getFeeData();
  assert.ok(fees.gasPrice > 0n && fees.maxFeePerGas >= fees.gasPrice && fees.maxPriorityFeePerGas >= 0n);
  const block = await provider.getBlock("latest", true);
  assert.ok(block.hash && block.baseFeePerGas > 0n);
  assert.equal((await provider.getBlock("finalized")).number >= block.number, true);
});
await check("ethers: OpenZeppelin ERC-20, with a permit", async () => {
  coin = await deploy("Coin");
  const receipt = await done(coin.transfer(bobAt, 5n));
  const log = coin.interface.parseLog(receipt.logs[0]);
  assert.deepEqual([log.name, log.args.value], ["Transfer", 5n]);
  assert.equal(await coin.balanceOf(bobAt), 5n);
  const { chainId } = await provider.getNetwork();
  const domain = { name: "Coin", version: "1", chainId, verifyingContract: await coin.getAddress() };
  const types = { Permit: ["owner address", "spender address", "value uint256", "nonce uint256", "deadline uint256"].map((f) => ({ name: f.split(" ")[0], type: f.split(" ")[1] })) };
  const permit = { owner: aliceAt, spender: bobAt, value: 7n, nonce: 0n, deadline: 2n ** 40n };
  const { v, r, s } = ethers.Signature.from(await alice.signTypedData(domain, types, permit));
  await done(coin.connect(bob).permit(aliceAt, bobAt, 7n, permit.deadline, v, r, s));
  await done(coin.connect(bob).transferFrom(aliceAt, bobAt, 7n));
  assert.equal(await coin.balanceOf(bobAt), 12n);
  const found = await coin.queryFilter(coin.filters.Transfer(null, bobAt), 0);
  assert.deepEqual(found.map((l) => l.args.value), [5n, 7n]);
});
await check("ethers: OpenZeppelin ERC-721", async () => {
  const deed = await deploy("Deed");
  await done(deed["safeTransferFrom(address,address,uint256)"](aliceAt, bobAt, 2n));
  assert.equal(await deed.ownerOf(2n), bobAt);
});
await check("ethers: OpenZeppelin ERC-1155", async () => {
  const items = await deploy("Items");
  await done(items.safeBatchTransferFrom(aliceAt, bobAt, [1n, 2n], [3n, 4n], "0x"));
  assert.deepEqual([...(await items.balanceOfBatch([bobAt, bobAt], [1n, 2n]))], [3n, 4n]);
});
await check("ethers: an ERC-4337 account acts through the entry point", async () => {
  const require = createRequire(import.meta.url);
  const file = require.resolve("@account-abstraction/contracts/artifacts/EntryPoint.json");
  const { abi, bytecode } = JSON.parse(readFileSync(file, "utf8"));
  const entry = await new ethers.ContractFactory(abi, bytecode, alice).deploy();
  await entry.waitForDeployment();
  const entryAt = await entry.getAddress();
  const owner = ethers.Wallet.createRandom();
  const wallet = await deploy("SmartWallet", entryAt, owner.address);
  const walletAt = await wallet.getAddress();
  await done(entry.depositTo(walletAt, { value: ethers.parseEther("1") }));
  await done(coin.transfer(walletAt, 100n));
  const transfer = coin.interface.encodeFunctionData("transfer", [bobAt, 40n]);
  const batch = ethers.AbiCoder.defaultAbiCoder().encode(["tuple(address,uint256,bytes)[]"], [[[await coin.getAddress(), 0n, transfer]]]);
  const callData = wallet.interface.encodeFunctionData("execute", [`0x01${"00".repeat(31)}`, batch]);
  const pair = (high, low) => ethers.toBeHex((high << 128n) | low, 32);
  const operation = {
    sender: walletAt, nonce: await entry.getNonce(walletAt, 0n), initCode: "0x", callData,
    accountGasLimits: pair(500_000n, 500_000n), preVerificationGas: 100_000n,
    gasFees: pair(0n, 2_000_000_000n), paymasterAndData: "0x", signature: "0x",
  };
  operation.signature = owner.signingKey.sign(await entry.getUserOpHash(operation)).serialized;
  const before = await coin.balanceOf(bobAt);
  const receipt = await done(entry.handleOps([operation], aliceAt));
  const events = receipt.logs.map((log) => entry.interface.parseLog(log)).filter((log) => log?.name === "UserOperationEvent");
  assert.equal(events[0].args.success, true);
  assert.equal((await coin.balanceOf(bobAt)) - before, 40n);
});
await check("ethers: transaction types 0, 1, 2 and 4", async () => {
  for (const type of [0, 1, 2]) {
    const receipt = await done(alice.sendTransaction({ to: bobAt, value: 1n, type }));
    assert.equal(receipt.type, type);
    assert.equal((await provider.getTransaction(receipt.hash)).type, type);
  }
  const noisy = await deploy("Noisy");
  const delegate = ethers.Wallet.createRandom().connect(provider);
  const authorization = await delegate.authorize({ address: await noisy.getAddress(), nonce: 0 });
  const receipt = await done(alice.sendTransaction({ type: 4, to: delegate.address, gasLimit: 300_000n, authorizationList: [authorization], data: noisy.interface.encodeFunctionData("make", [2n]) }));
  assert.deepEqual([receipt.type, receipt.logs.length, receipt.logs[0].address], [4, 2, delegate.address]);
  assert.equal(await provider.getCode(delegate.address), `0xef0100${(await noisy.getAddress()).slice(2).toLowerCase()}`);
  const sent = await provider.getTransaction(receipt.hash);
  assert.equal(sent.authorizationList.length, 1);
});
await check("ethers: reverts are decoded, estimates and static calls fail alike", async () => {
  const noisy = await deploy("Noisy");
  await assert.rejects(noisy.refuse.staticCall(), (e) => e.code === "CALL_EXCEPTION" && e.revert.name === "Refused" && e.revert.args[0] === 7n);
  await assert.rejects(noisy.say.estimateGas(), (e) => e.code === "CALL_EXCEPTION" && e.reason === "no, because");
  await assert.rejects(noisy.panic.staticCall(0n), (e) => e.code === "CALL_EXCEPTION" && /Panic/.test(e.shortMessage + e.revert?.name));
});
await check("ethers: refusals have the codes that it knows", async () => {
  const poor = ethers.Wallet.createRandom().connect(provider);
  await assert.rejects(poor.sendTransaction({ to: bobAt, value: 1n, gasLimit: 21000n }), (e) => e.code === "INSUFFICIENT_FUNDS");
  const wallet = ethers.HDNodeWallet.fromPhrase(mnemonic, undefined, "m/44'/60'/0'/0/2").connect(provider);
  await assert.rejects(wallet.sendTransaction({ to: bobAt, nonce: 0, gasLimit: 21000n }), (e) => e.code === "NONCE_EXPIRED");
});
await check("ethers: the filters and the WebSocket provider hear of blocks and logs", async () => {
  const socket = new ethers.WebSocketProvider(ws);
  const heard = new Promise((resolve) => coin.connect(socket).once("Transfer", (from, to, value) => resolve(value)));
  const block = new Promise((resolve) => socket.once("block", resolve));
  // Without `polling` it installs filters on the node.
  const filtering = new ethers.JsonRpcProvider(rpc, undefined, { cacheTimeout: -1 });
  filtering.pollingInterval = 50;
  const topics = [coin.interface.getEvent("Transfer").topicHash];
  const polled = new Promise((resolve) => filtering.once({ address: coin.target, topics }, resolve));
  const pending = new Promise((resolve) => socket.once("pending", resolve));
  await new Promise((resolve) => setTimeout(resolve, 300));
  const receipt = await done(coin.transfer(bobAt, 9n));
  assert.equal(await heard, 9n);
  assert.ok((await block) >= 0);
  assert.equal(await pending, receipt.hash);
  assert.equal((await polled).transactionHash, receipt.hash);
  filtering.destroy();
  await socket.destroy();
});
if (process.env.FIRING) {
  await check("ethers: a firing and its receipt", async () => {
    const receipt = await provider.getTransactionReceipt(process.env.FIRING);
    assert.equal(receipt.type, 0x74);
    const tx = await provider.getTransaction(process.env.FIRING);
    assert.deepEqual([tx.type, tx.value, tx.hash], [0x74, 0n, process.env.FIRING]);
    const block = await provider.getBlock(receipt.blockNumber, true);
    assert.ok(block.prefetchedTransactions.some((t) => t.hash === process.env.FIRING));
  });
}
provider.destroy();
// Whatever it still polls for ends with it.
process.exit();
