#!/usr/bin/env node
// Makes test/vectors/: registration.json, for each algorithm a key and its proofs for registering and for rotating, by
// Node's own cryptography; log.json, verdicts with their proofs, from the definitions of RFC 9162 sections 2.1.1 and
// 2.1.3; validators.json, validators with their proofs, approved changes and votes (validators.mjs). Keys are derived from fixed words, so only the ECDSA signatures change when it runs again.
import { createRequire } from "node:module";
import { createHash, createPrivateKey, createPublicKey, sign, createECDH } from "node:crypto";
import { writeFileSync } from "node:fs";
import { validatorVectors } from "./validators.mjs";

const require = createRequire(import.meta.url);
const { keccak256 } = require("js-sha3");
const hex = (b) => "0x" + Buffer.from(b).toString("hex");
const bytes = (h) => Buffer.from(h.replace(/^0x/, ""), "hex");
const keccak = (b) => bytes(keccak256(b));
const word = (n) => bytes(BigInt(n).toString(16).padStart(64, "0"));
const padRight = (b) => Buffer.concat([b, Buffer.alloc((32 - (b.length % 32)) % 32)]);
const sha256 = (b) => createHash("sha256").update(b).digest();

const chainId = 31337;
const registry = "0x0000000000000000000000000000000000020001";
const owner = "0x00000000000000000000000000000000000a11ce";

/** abi.encode(string, uint256, address, 32-byte word, bytes32) */
const abi = (text, fourth, fifth) =>
  Buffer.concat([
    word(0xa0), word(chainId), word(registry), fourth, fifth, word(text.length), padRight(Buffer.from(text)),
  ]);

function keyOf(algorithm) {
  const secret = sha256(`triad test key ${algorithm}`);
  if (algorithm === 1) {
    const pkcs8 = Buffer.concat([bytes("302e020100300506032b657004220420"), secret]);
    const key = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
    const x = createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32);
    return { cose: Buffer.concat([bytes("a301012006215820"), x]), sign: (m) => sign(null, m, key) };
  }
  const [curve, name, crv] = algorithm === 2 ? ["prime256v1", "P-256", "01"] : ["secp256k1", "secp256k1", "08"];
  const ecdh = createECDH(curve);
  ecdh.setPrivateKey(secret);
  const point = ecdh.getPublicKey();
  const [x, y] = [point.subarray(1, 33), point.subarray(33)];
  const b64 = (b) => b.toString("base64url");
  const jwk = { kty: "EC", crv: name, x: b64(x), y: b64(y), d: b64(secret) };
  const key = createPrivateKey({ key: jwk, format: "jwk" });
  return {
    cose: Buffer.concat([bytes(`a4010220${crv}215820`), x, bytes("225820"), y]),
    xy: point.subarray(1),
    sign: (m) => sign("sha256", m, { key, dsaEncoding: "ieee-p1363" }),
  };
}

const cases = [1, 2, 3].map((algorithm) => {
  const key = keyOf(algorithm);
  const id = keccak(algorithm === 3 ? key.xy : key.cose).subarray(12);
  const keyHash = keccak(key.cose);
  const registration = keccak(abi("Triad device registration v1", word(owner), keyHash));
  const rotation = keccak(abi("Triad device rotation v1", padRight(id), keyHash));
  return {
    algorithm,
    coseKey: hex(key.cose),
    id: hex(id),
    fingerprint: hex(sha256(key.cose)),
    registrationChallenge: hex(registration),
    registrationProof: hex(key.sign(registration)),
    rotationChallenge: hex(rotation),
    rotationProof: hex(key.sign(rotation)),
  };
});
const write = (name, value) =>
  writeFileSync(new URL(`../test/vectors/${name}`, import.meta.url), JSON.stringify(value, null, 2) + "\n");
write("registration.json", { chainId, registry, owner, cases });

// ---------------------------------------------------------------------- the log

const big = (n, width) => bytes(BigInt.asUintN(width * 8, BigInt(n)).toString(16).padStart(width * 2, "0"));
const leafHash = (leaf) => sha256(Buffer.concat([bytes("00"), leaf]));
const split = (n) => 2 ** Math.floor(Math.log2(n - 1));
function root(hashes) {
  if (hashes.length === 0) return sha256("");
  if (hashes.length === 1) return hashes[0];
  const k = split(hashes.length);
  return sha256(Buffer.concat([bytes("01"), root(hashes.slice(0, k)), root(hashes.slice(k))]));
}
function path(m, hashes) {
  if (hashes.length === 1) return [];
  const k = split(hashes.length);
  const [left, right] = [hashes.slice(0, k), hashes.slice(k)];
  return m < k ? [...path(m, left), root(right)] : [...path(m - k, right), root(left)];
}
function uint(n) {
  if (n < 24) return big(n, 1);
  const width = [1, 2, 4, 8].find((w) => BigInt(n) < 2n ** BigInt(8 * w));
  return Buffer.concat([big(0x18 + Math.log2(width), 1), big(n, width)]);
}
const stream = sha256("triad test stream");
function verdict(leaf, record, kind, timeMs, value, reason) {
  return Buffer.concat([
    big(1, 1), big(leaf, 8), big(record, 2), stream, big(1000, 8), big(0, 1), big(kind, 1), big(1_000_000, 4),
    big(timeMs, 8), big(value, 16), Buffer.from(reason),
  ]);
}

// Blocks of growing numbers of statements, each judged once; heights and times cross the widths of CBOR integers.
const leaves = [];
const blocks = [];
for (const [i, height] of [0, 1, 23, 24, 255, 256, 65535, 65536, 4294967295, 4294967296].entries()) {
  const timeMs = i === 0 ? 0 : 1_700_000_000_000 + i * 1000;
  const verdicts = [];
  for (let s = 0; s < i; s++) {
    const value = i === 3 && s === 0 ? -(2n ** 127n) : BigInt(s - 2) * 1_500_000_000n;
    verdicts.push(verdict(leaves.length, s, (s % 4) + 1, timeMs - 500 * s, value, s % 2 ? "" : `reason ${s} °C`));
    leaves.push(sha256(`statement ${height} ${s}`));
  }
  const tree = verdicts.map(leafHash);
  const leaf = Buffer.concat([
    bytes("860101"), uint(height), uint(timeMs), uint(verdicts.length), bytes("5820"), root(tree),
  ]);
  blocks.push({ height, timeMs, verdicts, tree, leaf, leafIndex: leaves.length });
  leaves.push(leafHash(leaf));
}
const proofs = [];
for (const [i, block] of blocks.entries()) {
  for (const [index, bytes_] of block.verdicts.entries()) {
    const anchor = blocks[i + ((blocks.length - i) >> (index % 2 ? 1 : 8))] ?? blocks[i];
    const log = leaves.slice(0, anchor.leafIndex + 1);
    proofs.push({
      verdict: hex(bytes_),
      index,
      count: block.verdicts.length,
      path: path(index, block.tree).map(hex),
      height: block.height,
      timeMs: block.timeMs,
      verdictLeaf: hex(block.leaf),
      leafIndex: block.leafIndex,
      logPath: path(block.leafIndex, log).map(hex),
      anchor: anchor.height,
      logSize: log.length,
      logRoot: hex(root(log)),
    });
  }
}
write("log.json", { stream: hex(stream), proofs });
write("validators.json", validatorVectors(chainId));
