"""Verifies a receipt offline, written from docs/formats.md alone; it shares no line with Triad.

    verify_receipt.py RECEIPT GENESIS

Prints what was proved and exits 0, or prints why nothing was and exits 1. Needs Python 3.11, cbor2 and cryptography.
"""

import hashlib
import json
import sys
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

KINDS = (
    "normal low high duration mkt back-in-range silent resumed anomaly late learning forecast off-forecast"
    " expected-low expected-high remaining-life failure-risk estimate"
).split()
CLASSES = ["consensus", "attested"]
ALGORITHMS = {-8: "EdDSA", -19: "EdDSA", -7: "ES256", -9: "ES256", -47: "ES256K"}
U64 = 2**64 - 1


class Refused(Exception):
    """Why a receipt proves nothing."""


def need(condition, why):
    if not condition:
        raise Refused(why)


def sha256(data):
    return hashlib.sha256(data).digest()


# Canonical CBOR -----------------------------------------------------------------------------------------------------


def canonical_array(data, shape, what):
    """Decodes an array whose items are of the given kinds and which encodes to the same bytes again."""
    try:
        value = cbor2.loads(data)
        need(cbor2.dumps(value) == data, f"the {what} is not canonical CBOR")
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"the {what} is not CBOR: {error}") from None
    need(type(value) is list and len(value) == len(shape), f"the {what} is not an array of {len(shape)}")
    for item, kind in zip(value, shape):
        need(fits(item, kind), f"the {what} has {item!r} in place of {kind}")
    return value


def fits(item, kind):
    if kind == "uint":
        return type(item) is int and 0 <= item <= U64
    if kind == "bytes":
        return type(item) is bytes
    if kind == "hashes":
        return type(item) is bytes and len(item) % 32 == 0
    if kind == "list":
        return type(item) is list
    if kind == "b32|null":
        return item is None or fits(item, "b32")
    if isinstance(kind, str) and kind[0] == "b" and kind[1:].isdigit():
        return type(item) is bytes and len(item) == int(kind[1:])
    return type(item) is type(kind) and item == kind  # a constant


def split_hashes(data):
    return [data[i : i + 32] for i in range(0, len(data), 32)]


# Merkle tree --------------------------------------------------------------------------------------------------------


def leaf_hash(leaf):
    return sha256(b"\x00" + leaf)


def subset_root(leaves, size, proof):
    """Root of a tree of `size` leaves from {index: hash} and the hashes of a subset proof; None if they do not fit."""
    if any(index >= size for index in leaves):
        return None
    if size == 0:
        return None if proof else sha256(b"")
    rest = iter(proof)

    def root(indices, start, end):
        if not indices:
            return next(rest)
        if end - start == 1:
            return leaves[start]
        middle = start + (1 << (end - start - 1).bit_length() - 1)
        left = root([i for i in indices if i < middle], start, middle)
        right = root([i for i in indices if i >= middle], middle, end)
        return sha256(b"\x01" + left + right)

    try:
        top = root(sorted(leaves), 0, size)
    except (StopIteration, RuntimeError):
        return None
    return top if next(rest, None) is None else None


# Signatures ---------------------------------------------------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def point(data):
    """Decodes a point as ZIP-215 does: y need not be reduced."""
    number = int.from_bytes(data, "little")
    y, sign = number % 2**255 % P, number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square:
        return None
    return ((P - x) % P if x & 1 != sign else x), y


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P


def times(n, a):
    result = (0, 1)
    while n:
        if n & 1:
            result = add(result, a)
        a, n = add(a, a), n >> 1
    return result


def ed25519_holds(key, message, signature):
    """Ed25519 under ZIP-215. What a stricter library accepts holds; what it refuses is computed in full."""
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        pass
    a, r, s = point(key), point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    base = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    left, right = times(8 * s, base), times(8, add(r, times(k, a)))
    return left == right


def cose_key(data):
    """The algorithm and a verifying function of a canonical COSE_Key."""
    if len(data) == 40 and data.startswith(bytes.fromhex("a301012006215820")):
        need(point(data[8:]), "the device key is not a point of the curve")
        return "EdDSA", lambda message, signature: ed25519_holds(data[8:], message, signature)
    for name, curve, number in [("ES256", ec.SECP256R1(), "01"), ("ES256K", ec.SECP256K1(), "08")]:
        head = bytes.fromhex(f"a4010220{number}215820")
        if len(data) == 75 and data.startswith(head) and data[40:43] == bytes.fromhex("225820"):
            try:
                key = ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + data[8:40] + data[43:])
            except ValueError:
                raise Refused("the device key is not a point of the curve") from None

            def holds(message, signature):
                r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:]))
                try:
                    key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
                    return True
                except InvalidSignature:
                    return False

            return name, holds
    raise Refused("the device key is not a canonical COSE_Key")


# Genesis ------------------------------------------------------------------------------------------------------------


def jcs(value):
    """RFC 8785 for integers and strings."""
    if type(value) is str:
        return json.dumps(value, ensure_ascii=False)
    if type(value) is int:
        need(abs(value) < 2**53, "the genesis file has an integer beyond 2^53 - 1")
        return str(value)
    if type(value) is list:
        return "[" + ",".join(map(jcs, value)) + "]"
    need(type(value) is dict, f"the genesis file has {value!r} in it")
    members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be", "surrogatepass"))
    return "{" + ",".join(jcs(name) + ":" + jcs(item) for name, item in members) + "}"


def read_genesis(text):
    def unique(pairs):
        need(len(dict(pairs)) == len(pairs), "the genesis file names a member twice")
        return dict(pairs)

    def integer(digits):
        need(digits != "-0", "the genesis file has a -0 in it")
        return int(digits)

    def refuse(number):
        raise Refused(f"the genesis file has {number} in it")

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_int=integer, parse_float=refuse, parse_constant=refuse)
        genesis_hash = sha256(jcs(value).encode())
        keys = [bytes.fromhex(validator["consensus_key"].removeprefix("0x")) for validator in value["validators"]]
        chain_id = value["chain_id"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Refused(f"the genesis file cannot be read: {error!r}") from None
    need(type(chain_id) is int and chain_id >= 0, "the genesis file has no chain_id")
    return genesis_hash, chain_id, validator_set(sorted(keys))


def next_validators(encoded):
    """The consensus keys of an encoded set: a byte 2, then for each validator its key and its checkpoint address."""
    need(encoded[:1] == b"\x02" and len(encoded) % 52 == 1, "a hand-over brings no validator set")
    rows = [encoded[at : at + 52] for at in range(1, len(encoded), 52)]
    addresses = [row[32:] for row in rows]
    need(len(set(addresses)) == len(addresses) and bytes(20) not in addresses, "a checkpoint address is wrong")
    return validator_set([row[:32] for row in rows])


def validator_set(keys):
    need(1 <= len(keys) <= 1024 and all(len(key) == 32 for key in keys), "that is no validator set")
    need(all(a < b for a, b in zip(keys, keys[1:])), "the validators are not in order, or one is there twice")
    return keys


# Finality -----------------------------------------------------------------------------------------------------------

CHECKPOINT = [1, "b32", "uint", "uint", "uint", "b32", "uint", "b32", "uint", "b32", "b32", "b32", "b32|null"]
CHECKPOINT_NAMES = (
    "version genesis_hash chain_id height epoch parent time_ms body log_size log_root app eth next_validators".split()
)


def read_checkpoint(data, genesis_hash, chain_id):
    checkpoint = dict(zip(CHECKPOINT_NAMES, canonical_array(data, CHECKPOINT, "checkpoint")))
    same = checkpoint["genesis_hash"] == genesis_hash and checkpoint["chain_id"] == chain_id
    need(same, "it is from another chain than the genesis file's")
    return checkpoint


def take_varint(data, at):
    value = shift = 0
    while True:
        need(at < len(data) and shift < 70, "the certificate ends in a varint")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            need(value <= U64 and (byte or shift == 7), "the certificate has a bad varint")
            return value, at


def certified_by(checkpoint_bytes, checkpoint, certificate, validators):
    """The validators who signed; refused unless they are a quorum and every signature holds."""
    epoch, at = take_varint(certificate, 0)
    _view, at = take_varint(certificate, at)
    _parent, at = take_varint(certificate, at)
    proposal, rest = certificate[: at + 32], certificate[at + 32 :]
    right = proposal[at:] == sha256(checkpoint_bytes) and epoch == checkpoint["epoch"]
    need(right, "the certificate is for another block than the checkpoint")
    need(int.from_bytes(rest[:8], "big") == len(validators), "the certificate is for another number of validators")
    width = (len(validators) + 7) // 8
    bitmap, rest = rest[8 : 8 + width], rest[8 + width :]
    need(len(bitmap) == width, "the certificate is cut")
    signers = [i for i in range(8 * width) if bitmap[i // 8] >> (i % 8) & 1]
    need(signers and signers[-1] < len(validators), "the certificate's bitmap is wrong")
    count, at = take_varint(rest, 0)
    signatures = rest[at:]
    need(count == len(signers) and len(signatures) == 64 * count, "the certificate has not a signature for each bit")
    quorum = len(validators) - (len(validators) - 1) // 3
    need(count >= quorum, f"only {count} of {len(validators)} validators signed; {quorum} must")
    namespace = b"triad" + checkpoint["genesis_hash"]
    message = bytes([len(namespace) + 9]) + namespace + b"_FINALIZE" + proposal
    for n, index in enumerate(signers):
        holds = ed25519_holds(validators[index], message, signatures[64 * n : 64 * n + 64])
        need(holds, f"the signature of validator {index} is wrong")
    return [validators[index] for index in signers], quorum


# Statement ----------------------------------------------------------------------------------------------------------


def read_statement(data):
    """Header, payload, signature, and what was signed."""
    need(data[:1] == b"\xd2", "the statement is not a tagged COSE_Sign1")
    protected, unprotected, payload, signature = canonical_array(
        data[1:], ["bytes", {}, "bytes", "b64"], "statement"
    )
    try:
        header = cbor2.loads(protected)
        need(type(header) is dict, "the protected header is not a map")
        need(cbor2.dumps(header, canonical=True) == protected, "the protected header is not deterministic")
        algorithm, kid, claims = ALGORITHMS[header[1]], header[4], header[15]
        sequence = claims[-65537]
        origin = bytes.fromhex(claims[2].split(":")[-1].removeprefix("0x")) if 2 in claims else kid
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"the statement's header cannot be read: {error!r}") from None
    need(type(kid) is bytes and len(kid) == 20 and len(origin) == 20, "the statement names no device")
    need(fits(sequence, "uint"), "the statement has no sequence number")
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    return {
        "algorithm": algorithm,
        "signer": kid,
        "origin": origin,
        "sequence": sequence,
        "issued_at": None if 6 not in claims else microseconds(claims[6]),
        "content_type": header.get(3),
        "hashed": 258 in header,
        "payload": payload,
        "signature": signature,
        "signed": signed,
    }


def microseconds(seconds):
    """Half to even; a float is first multiplied as a double."""
    if type(seconds) is float:
        return round(seconds * 1e6)
    return round(Fraction(seconds) * 10**6)


def readings(statement, block_ms):
    """(name, value, unit, time in microseconds, whose clock) of each record of a SenML pack."""
    base = {-2: "", -3: 0, -4: None, -5: 0}
    for record in cbor2.loads(statement["payload"]):
        base.update({label: record[label] for label in base if label in record})
        value = next((record[label] for label in (2, 3, 4, 8) if label in record), None)
        if 2 in record:
            value = float(base[-5]) + float(value)
        elif value is None:
            value = f"sum {float(record.get(-6, 0)) + float(record.get(5, 0))}"
        time, clock = microseconds(base[-3]) + microseconds(record.get(6, 0)), "device-clock"
        if time < 2**28 * 10**6:
            now, clock = (statement["issued_at"], "issued-at")
            if now is None:
                now, clock = block_ms * 1000, "block-clock"
            time += now
        yield base[-2] + record.get(0, ""), value, record.get(1, base[-4]), time, clock


# Receipt ------------------------------------------------------------------------------------------------------------

RECEIPT = ["triad-receipt", 1, "bytes", "bytes", "uint", "uint", "bytes", "hashes", "bytes", "bytes", "list", "uint"]
RECEIPT += ["list", "hashes"]


def read_verdict(data):
    need(type(data) is bytes and 81 <= len(data) <= 336 and data[0] == 1, "a verdict has the wrong length or version")
    number = lambda start, end, signed=False: int.from_bytes(data[start:end], "big", signed=signed)
    need(data[51] < 2 and data[52] < len(KINDS) and number(53, 57) <= 10**6, "a verdict has a bad class, kind or score")
    try:
        reason = data[81:].decode()
    except UnicodeDecodeError:
        raise Refused("a verdict's reason is not UTF-8") from None
    value = number(65, 81, signed=True)
    return {
        "leaf": number(1, 9),
        "order": (number(1, 9), number(9, 11), number(43, 51)),
        "record": number(9, 11),
        "model": number(43, 51),
        "class": CLASSES[data[51]],
        "kind": KINDS[data[52]],
        "score": number(53, 57) / 1e6,
        "time_ms": number(57, 65, signed=True),
        "value": None if value == -(2**127) else Decimal(value).scaleb(-9),
        "reason": reason,
    }


def verify(receipt_bytes, genesis_text):
    """What a receipt proves, as lines of text. Raises Refused, and nothing else."""
    try:
        return prove(receipt_bytes, genesis_text)
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"it holds what no such file holds: {error!r}") from None


def prove(receipt_bytes, genesis_text):
    genesis_hash, chain_id, validators = read_genesis(genesis_text)
    need(len(receipt_bytes) <= 8 << 20, "the receipt is too long")
    (_, _, statement_bytes, key_bytes, index, verdict_index, verdict_leaf_bytes, log_proof, checkpoint_bytes) = (
        parts := canonical_array(receipt_bytes, RECEIPT, "receipt")
    )[:9]
    certificate, hand_overs, first_verdict, verdict_list, verdict_proof = parts[9:]
    checkpoint = read_checkpoint(checkpoint_bytes, genesis_hash, chain_id)

    statement = read_statement(statement_bytes)
    algorithm, key_holds = cose_key(key_bytes)
    need(algorithm == statement["algorithm"], "the device key is of another algorithm than the statement")

    shape = [1, 1, "uint", "uint", "uint", "b32"]
    _, _, height, time_ms, count, verdict_root = canonical_array(verdict_leaf_bytes, shape, "verdict leaf")
    below = height < checkpoint["height"] and time_ms < checkpoint["time_ms"]
    need(
        below or (height, time_ms) == (checkpoint["height"], checkpoint["time_ms"]),
        "the statement's block does not come before the checkpoint",
    )

    need(index < verdict_index < checkpoint["log_size"], "the leaf indices cannot be")
    statement_leaf = cbor2.dumps(
        [1, 0, sha256(statement_bytes), statement["signer"], statement["origin"], sha256(key_bytes), height, time_ms]
    )
    leaves = {index: leaf_hash(statement_leaf), verdict_index: leaf_hash(verdict_leaf_bytes)}
    root = subset_root(leaves, checkpoint["log_size"], split_hashes(log_proof))
    need(root == checkpoint["log_root"], "the log does not hold this statement with this key and these verdicts")

    verdicts = [read_verdict(data) for data in verdict_list]
    leaves = {first_verdict + n: leaf_hash(data) for n, data in enumerate(verdict_list)}
    root = subset_root(leaves, count, split_hashes(verdict_proof))
    need(root == verdict_root, "the verdicts shown are not those of the statement's block")
    orders = [verdict["order"] for verdict in verdicts]
    need(orders == sorted(orders), "the verdicts are not in order")
    before = sum(verdict["leaf"] < index for verdict in verdicts)
    after = sum(verdict["leaf"] > index for verdict in verdicts)
    end = first_verdict + len(verdicts)
    complete = (before == 1 or (before == 0 and first_verdict == 0)) and (after == 1 or (after == 0 and end == count))
    need(complete, "a verdict on the statement may be missing")

    need(key_holds(statement["signed"], statement["signature"]), "the statement's signature is wrong")

    last_height = -1
    for epoch, hand_over in enumerate(hand_overs):
        need(type(hand_over) is list and list(map(type, hand_over)) == [bytes] * 3, "a hand-over has the wrong shape")
        over = read_checkpoint(hand_over[0], genesis_hash, chain_id)
        need(over["epoch"] == epoch and over["height"] > last_height, "the hand-overs do not follow each other")
        certified_by(hand_over[0], over, hand_over[1], validators)
        validators = next_validators(hand_over[2])
        need(over["next_validators"] == sha256(hand_over[2]), "a hand-over brings other validators than it names")
        last_height = over["height"]
    need(
        checkpoint["epoch"] == len(hand_overs) and checkpoint["height"] > last_height,
        "the hand-overs do not lead to the checkpoint's epoch",
    )
    signers, quorum = certified_by(checkpoint_bytes, checkpoint, certificate, validators)
    mine = [verdict for verdict in verdicts if verdict["leaf"] == index]
    return list(report(statement, index, height, time_ms, count, mine, checkpoint, signers, validators, quorum))


def utc(us):
    try:
        return (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=us)).isoformat()
    except OverflowError:
        return f"{us} microseconds since 1970"


def plain(text):
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def report(statement, index, height, time_ms, count, verdicts, checkpoint, signers, validators, quorum):
    signed = "device-signed" if statement["origin"] == statement["signer"] else "gateway-signed"
    yield f"signed by    device 0x{statement['signer'].hex()} ({statement['algorithm']}), {signed}"
    yield f"for          device 0x{statement['origin'].hex()}"
    epoch, counter = statement["sequence"] >> 32, statement["sequence"] & 0xFFFFFFFF
    yield f"statement    0x{sha256(statement['signed']).hex()}, number {epoch}/{counter}"
    if statement["hashed"]:
        yield f"content      the hash of data kept elsewhere: 0x{statement['payload'].hex()}"
    elif statement["content_type"] == "application/vnd.triad.verdicts+cbor":
        version, file, told = cbor2.loads(statement["payload"])
        yield f"content      verdicts of the model with the file 0x{file.hex()}, which the signer ran"
        for stream, model, leaf, record, *_ in told:
            yield f"judged       record {record} of leaf {leaf}, stream 0x{stream.hex()}, by model {model}"
    elif statement["content_type"] != 112:
        yield "content      encrypted"
    else:
        for name, value, unit, time, clock in readings(statement, time_ms):
            value = f"0x{value.hex()}" if isinstance(value, bytes) else plain(str(value))
            yield f"reading      {plain(name)} = {value} {plain(unit or '')} at {utc(time)} ({clock})"
    yield f"in the log   leaf {index} in block {height}, {utc(time_ms * 1000)}"
    if not verdicts:
        yield f"judged       not judged: of the {count} verdicts of block {height} none is on it"
    for v in verdicts:
        yield (
            f"verdict      reading {v['record']}: {v['kind']}, score {v['score']:.6f}, value {v['value']} at "
            f"{utc(v['time_ms'] * 1000)}, by model {v['model']} ({v['class']}) {plain(v['reason'])}".rstrip()
        )
    yield (
        f"final        by block {checkpoint['height']} of {utc(checkpoint['time_ms'] * 1000)}: "
        f"{len(signers)} of {len(validators)} validators signed, {quorum} must"
    )
    for key in signers:
        yield f"             validator 0x{key.hex()}"
    yield f"chain        {checkpoint['chain_id']}, genesis 0x{checkpoint['genesis_hash'].hex()}"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        with open(sys.argv[1], "rb") as receipt, open(sys.argv[2], encoding="utf-8") as genesis:
            lines = verify(receipt.read(), genesis.read())
    except (Refused, OSError, UnicodeDecodeError) as error:
        print(f"not proved: {error}")
        sys.exit(1)
    print("proved, from the genesis file alone:", *lines, sep="\n")


if __name__ == "__main__":
    main()
