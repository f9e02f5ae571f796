#!/usr/bin/env node
// Makes test/vectors/registration.json: for each algorithm a key, and its proofs for registering and for rotating, by
// Node's own cryptography. Keys are derived from fixed words, so only the ECDSA signatures change when it runs again.
import { createRequire } from "node:module";
import { createHash, createPrivateKey, createPublicKey, sign, createECDH } from "node:crypto";
import { writeFileSync } from "node:fs";

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
const path = new URL("../test/vectors/registration.json", import.meta.url);
writeFileSync(path, JSON.stringify({ chainId, registry, owner, cases }, null, 2) + "\n");
