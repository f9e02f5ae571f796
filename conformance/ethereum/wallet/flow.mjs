// A page in headless Chromium, with a wallet injected as EIP-1193 says. The wallet knows no chain but mainnet's number until
// the page asks it to add this one; then, as real wallets do, it talks to the node itself from within the browser.
// Usage: node flow.mjs CHROMIUM SCREENSHOT
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { ethers } from "ethers";
import { chromium } from "playwright-core";
import { artifact, check, mnemonic, result, rpc } from "../clients/common.mjs";

const [executablePath, screenshot] = process.argv.slice(2);
const provider = new ethers.JsonRpcProvider(rpc, undefined, { cacheTimeout: -1 });
const keys = (index) => ethers.HDNodeWallet.fromPhrase(mnemonic, undefined, `m/44'/60'/0'/0/${index}`).connect(provider);
const [owner, buyer, shop] = [keys(0), ethers.Wallet.createRandom().connect(provider), ethers.Wallet.createRandom()];
const { abi, bytecode } = artifact("Coin");
const coin = await new ethers.ContractFactory(abi, bytecode, owner).deploy();
await coin.waitForDeployment();
await (await coin.transfer(buyer.address, ethers.parseEther("100"))).wait();
await (await owner.sendTransaction({ to: buyer.address, value: ethers.parseEther("1") })).wait();
const chainId = await result("eth_chainId");

/** In the page: the wallet. Keys stay outside of the page, behind `walletSign`. */
function inject({ account, shopAt, token, chainId, rpcUrl }) {
  const known = new Map([["0x1", null]]);
  let chain = "0x1";
  let allowed = false;
  const listeners = {};
  const node = async (method, params) => {
    if (!known.get(chain)) throw { code: 4901, message: "no connection to that chain" };
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
    const response = await fetch(known.get(chain), { method: "POST", headers: { "content-type": "application/json" }, body });
    const answer = await response.json();
    if (answer.error) throw answer.error;
    return answer.result;
  };
  async function request({ method, params = [] }) {
    switch (method) {
      case "eth_requestAccounts": allowed = true; return [account];
      case "eth_accounts": return allowed ? [account] : [];
      case "eth_chainId": return chain;
      case "wallet_addEthereumChain": {
        const [{ chainId, rpcUrls }] = params;
        known.set(chainId, rpcUrls[0]);
        const before = chain;
        chain = chainId;
        const told = await node("eth_chainId", []);
        chain = before;
        if (told !== chainId) { known.delete(chainId); throw { code: -32602, message: `the node says it is chain ${told}` }; }
        return null;
      }
      case "wallet_switchEthereumChain":
        if (!known.has(params[0].chainId)) throw { code: 4902, message: "Unrecognized chain ID" };
        chain = params[0].chainId;
        for (const listener of listeners.chainChanged ?? []) listener(chain);
        return null;
      case "eth_sendTransaction": {
        if (!allowed) throw { code: 4100, message: "not connected" };
        const [tx] = params;
        // As wallets fill in what is missing.
        const [nonce, gas, history] = [await node("eth_getTransactionCount", [account, "pending"]), await node("eth_estimateGas", [tx]), await node("eth_feeHistory", ["0x5", "latest", [10, 50, 90]])];
        const base = BigInt(history.baseFeePerGas.at(-1));
        const tips = history.reward.map((row) => BigInt(row[1]));
        const tip = tips.reduce((a, b) => a + b, 0n) / BigInt(tips.length || 1);
        const raw = await window.walletSign({ ...tx, nonce, gas, chainId: chain, maxFeePerGas: `0x${(2n * base + tip).toString(16)}`, maxPriorityFeePerGas: `0x${tip.toString(16)}` });
        return node("eth_sendRawTransaction", [raw]);
      }
      default: return node(method, params);
    }
  }
  window.ethereum = { isMetaMask: true, request, on: (event, listener) => (listeners[event] ??= []).push(listener), removeListener() {} };
  window.shop = { token, shop: shopAt, chain: { chainId, chainName: "Triad", rpcUrls: [rpcUrl], nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 } } };
}

const page_html = readFileSync(join(import.meta.dirname, "page.html"));
const server = createServer((_, response) => response.setHeader("content-type", "text/html").end(page_html));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, headless: true, args: flags });
try {
  await check("Chromium with an injected EIP-1193 wallet: connect, add and switch chain, pay in a token, see the receipt", async () => {
    const page = await browser.newPage({ viewport: { width: 900, height: 640 } });
    const problems = [];
    page.on("pageerror", (error) => problems.push(error.message));
    await page.exposeFunction("walletSign", ({ from, gas, ...tx }) => buyer.signTransaction({ ...tx, gasLimit: gas, type: 2 }));
    await page.addInitScript(inject, { account: buyer.address, shopAt: shop.address, token: coin.target, chainId, rpcUrl: rpc });
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    const reads = (id, text) => page.waitForFunction(([id, text]) => new RegExp(text).test(document.getElementById(id).textContent), [id, text], { timeout: 10_000 });
    await page.click("#connect");
    await reads("chain-id", "^1$");
    await page.click("#chain");
    await reads("chain-id", `^${Number(chainId)}$`);
    await reads("balance", "^100 COIN$");
    await page.click("#pay");
    await reads("status", "^paid$").catch(async () => assert.fail(await page.textContent("#error")));
    await reads("balance", "^75 COIN$");
    await page.screenshot({ path: screenshot });
    assert.deepEqual(problems, []);
    assert.equal(await page.textContent("#error"), "–");
    assert.equal(await coin.balanceOf(shop.address), ethers.parseEther("25"));
  });
} finally {
  await browser.close();
  server.close();
}
process.exit();
