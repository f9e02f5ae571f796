// What Hardhat's viem sees of the contracts that Ignition deployed; a second deployment changes nothing.
import assert from "node:assert/strict";
import { network } from "hardhat";
import Shop from "./ignition/modules/Shop.js";

const { viem, ignition } = await network.create("triad");
const client = await viem.getPublicClient();
const [wallet] = await viem.getWalletClients();
const before = await client.getTransactionCount({ address: wallet.account.address });
const { till, shop } = await ignition.deploy(Shop, { deploymentId: `chain-${await client.getChainId()}` });
assert.equal(await client.getTransactionCount({ address: wallet.account.address }), before);
assert.equal(await till.read.takings(), 5n + 42n + 42n);
assert.equal(await shop.read.price(), 42n);
assert.equal((await till.read.owner()).toLowerCase(), wallet.account.address.toLowerCase());
const hash = await shop.write.buy({ value: 42n });
const receipt = await client.waitForTransactionReceipt({ hash });
assert.equal(receipt.status, "success");
assert.equal(await till.read.takings(), 5n + 3n * 42n);
await assert.rejects(shop.write.buy({ value: 1n }), /another price/);
console.log("hardhat: done");
