// Vectors of ValidatorSet: validators with proofs of possession, changes of the set with the approvals of a quorum, and
// votes of commonware simplex in pairs that contradict each other. Ed25519 is Node's, secp256k1 that of secp256k1.mjs.
import { createRequire } from "node:module";
import { createHash, createPrivateKey, createPublicKey, sign as signEd25519 } from "node:crypto";
import { publicKey, sign } from "./secp256k1.mjs";

const require = createRequire(import.meta.url);
const { keccak256 } = require("js-sha3");
const hex = (b) => "0x" + Buffer.from(b).toString("hex");
const bytes = (h) => Buffer.from(h.replace(/^0x/, ""), "hex");
const keccak = (b) => bytes(keccak256(b));
const sha256 = (text) => createHash("sha256").update(text).digest();
const big = (n, width) => bytes(BigInt(n).toString(16).padStart(width * 2, "0"));
const word = (n) => big(n, 32);

const contract = "0x0000000000000000000000000000000000020004";
const genesisHash = sha256("triad test genesis");

// ---------------------------------------------------------------------- ABI: a word as it is, else {tail}

const text = (t) => ({
  tail: Buffer.concat([word(t.length), Buffer.from(t), Buffer.alloc((32 - (t.length % 32)) % 32)]),
});
function abi(...fields) {
  let at = 32 * fields.length;
  const [heads, tails] = [[], []];
  for (const field of fields) {
    heads.push(Buffer.isBuffer(field) ? field : word(at));
    if (Buffer.isBuffer(field)) continue;
    tails.push(field.tail);
    at += field.tail.length;
  }
  return Buffer.concat([...heads, ...tails]);
}
const struct = (v) => ({
  tail: abi(v.key, word(v.checkpointAddress), word(v.feeRecipient), text(v.name), text(v.network)),
});

// ---------------------------------------------------------------------- validators

function validator(chainId, n) {
  const pkcs8 = Buffer.concat([bytes("302e020100300506032b657004220420"), sha256(`triad test validator ${n}`)]);
  const secret = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  const key = createPublicKey(secret).export({ format: "der", type: "spki" }).subarray(-32);
  const checkpointSecret = sha256(`triad test checkpoint key ${n}`);
  const checkpointAddress = hex(keccak(publicKey(checkpointSecret)).subarray(12));
  const possession = Buffer.concat([
    Buffer.from("triad validator possession v1"), big(chainId, 8), key, bytes(checkpointAddress),
  ]);
  return {
    key,
    checkpointAddress,
    feeRecipient: "0x" + (0xfee0 + n).toString(16).padStart(40, "0"),
    name: `validator ${n}`,
    network: n % 2 ? "" : `validator-${n}.example:9000`,
    possession,
    consensusProof: signEd25519(null, possession, secret),
    checkpointProof: sign(checkpointSecret, keccak(possession)),
    sign: (message) => signEd25519(null, message, secret),
  };
}

// ---------------------------------------------------------------------- votes

function varint(n) {
  const out = [];
  for (n = BigInt(n); n >= 0x80n; n >>= 7n) out.push(Number(n & 0x7fn) | 0x80);
  return Buffer.from([...out, Number(n)]);
}
function vote(kind, epoch, view, parentView, digest) {
  const namespace = Buffer.concat([Buffer.from("triad"), genesisHash, Buffer.from(`_${kind.toUpperCase()}`)]);
  const round = [varint(namespace.length), namespace, varint(epoch), varint(view)];
  return Buffer.concat(kind === "nullify" ? round : [...round, varint(parentView), digest]);
}

/** What validators.json holds. */
export function validatorVectors(chainId) {
  const all = [0, 1, 2, 3, 4, 5].map((n) => validator(chainId, n));
  const change = (nonce, action, fields, signers) => {
    const challenge = keccak(
      abi(text("Triad validator change v1"), word(chainId), word(contract), word(nonce), text(action), ...fields),
    );
    return {
      nonce, action, challenge: hex(challenge), signers, approvals: signers.map((n) => hex(all[n].sign(challenge))),
    };
  };
  // In this order, of a chain whose validators are the first four.
  const changes = [
    change(0, "add", [struct(all[4])], [0, 1, 2]),
    change(1, "remove", [all[0].key], [3, 1, 0]),
    change(2, "rule", [text("wide-sums-2"), word(100_000)], [0, 1, 2, 3]),
    change(3, "replace", [all[1].key, struct(all[5])], [2, 3, 1]),
  ];

  const [a, b] = [sha256("triad test block a"), sha256("triad test block b")];
  const pair = (kind, epoch, view, first, second) => {
    const votes = [first, second].map(([name, parentView, digest]) => {
      const message = vote(name, epoch, view, parentView, digest);
      return {
        name, parentView: String(parentView), digest: hex(digest), message: hex(message), signature: hex(all[3].sign(message)),
      };
    });
    return { kind, epoch: String(epoch), view: String(view), signer: 3, votes };
  };
  // The numbers are on both sides of the widths of a varint.
  const widest = 2n ** 64n - 1n;
  const faults = [
    pair(1, 0, 1, ["notarize", 0, a], ["notarize", 0, b]),
    pair(1, 0, 128, ["notarize", 127, a], ["notarize", 126, a]),
    pair(2, 0, 16_384, ["finalize", 16_383, a], ["finalize", 16_383, b]),
    pair(3, 0, 127, ["nullify", 0, Buffer.alloc(32)], ["finalize", 1, b]),
    pair(3, 0, widest, ["nullify", 0, Buffer.alloc(32)], ["finalize", widest - 1n, a]),
    pair(1, 300, 5, ["notarize", 4, a], ["notarize", 3, b]),
  ];
  const validators = all.map((v) => ({
    consensusKey: hex(v.key), checkpointAddress: v.checkpointAddress, feeRecipient: v.feeRecipient,
    name: v.name, network: v.network,
    possession: hex(v.possession), consensusProof: hex(v.consensusProof), checkpointProof: hex(v.checkpointProof),
  }));
  return { chainId, contract, genesisHash: hex(genesisHash), validators, changes, faults };
}
