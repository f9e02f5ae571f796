// Recoverable ECDSA over secp256k1 for test vectors, from the definitions of SEC 1 (4.1.3): Node's own cryptography gives
// no recovery bit and signs no bare hash. Slow and not in constant time: for fixed test keys only.
import { createHash } from "node:crypto";

const P = 2n ** 256n - 2n ** 32n - 977n;
const N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const G = [
  0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798n,
  0x483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8n,
];
const mod = (a, m) => ((a % m) + m) % m;
const int = (b) => BigInt("0x" + Buffer.from(b).toString("hex"));
const word = (n) => Buffer.from(n.toString(16).padStart(64, "0"), "hex");

function inverse(a, m) {
  let [r, next, x, y] = [mod(a, m), m, 1n, 0n];
  while (next !== 0n) [r, next, x, y] = [next, r % next, y, x - (r / next) * y];
  return mod(x, m);
}

/** The sum of two points; null is the point at infinity. */
function plus(a, b) {
  if (!a || !b) return a ?? b;
  if (a[0] === b[0] && a[1] !== b[1]) return null;
  const slope = a[0] === b[0] ? 3n * a[0] * a[0] * inverse(2n * a[1], P) : (b[1] - a[1]) * inverse(b[0] - a[0], P);
  const x = mod(slope * slope - a[0] - b[0], P);
  return [x, mod(slope * (a[0] - x) - a[1], P)];
}

function times(k, point) {
  let sum = null;
  for (; k > 0n; k >>= 1n, point = plus(point, point)) if (k & 1n) sum = plus(sum, point);
  return sum;
}

/** x ‖ y of the public key, 64 bytes. */
export const publicKey = (secret) => Buffer.concat(times(int(secret), G).map(word));

/** r ‖ s ‖ v of a 32-byte hash, s small, v 27 or 28. The nonce is a hash of key and message, so it is always the same. */
export function sign(secret, hash) {
  const nonce = mod(int(createHash("sha512").update(secret).update(hash).digest()), N);
  const [x, y] = times(nonce, G);
  const r = mod(x, N);
  let s = mod(inverse(nonce, N) * (int(hash) + r * int(secret)), N);
  let v = 27n + (y & 1n);
  if (s > N / 2n) [s, v] = [N - s, 55n - v];
  return Buffer.concat([word(r), word(s), Buffer.from([Number(v)])]);
}
