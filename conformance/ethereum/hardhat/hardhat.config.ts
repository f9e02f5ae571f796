import { defineConfig } from "hardhat/config";
import ignition from "@nomicfoundation/hardhat-ignition-viem";
import viem from "@nomicfoundation/hardhat-viem";

export default defineConfig({
  plugins: [viem, ignition],
  // The npm package `solc`, so that no compiler is downloaded.
  solidity: { version: "0.8.35", path: `${import.meta.dirname}/node_modules/solc/soljson.js` },
  networks: {
    triad: { type: "http", chainType: "l1", url: process.env.TRIAD_RPC!, accounts: [process.env.SECRET!] },
  },
  ignition: { requiredConfirmations: 1, blockPollingInterval: 50 },
});
