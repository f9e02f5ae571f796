"""Makes a signed statement with third-party libraries only: cbor2 for SenML, pycose for COSE.

    statement.py --key KEY.pem --id 0xDEVICE --seq N [--value 5.5] [--name temperature] [--unit Cel] [--out FILE]

Written from docs/formats.md. The key is PKCS#8 PEM: Ed25519, P-256 or secp256k1.
"""

import argparse
import sys
import time

import cbor2
import ecdsa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from pycose.algorithms import CoseAlgorithm, EdDSA, Es256
from pycose.headers import KID, Algorithm, ContentType
from pycose.keys import EC2Key, OKPKey
from pycose.keys.curves import P256, SECP256K1, Ed25519
from pycose.messages import Sign1Message

SENML_CBOR = 112  # content type of RFC 8428
CWT_CLAIMS = 15  # header parameter of RFC 9597
SEQUENCE = -65537  # private claim of docs/formats.md


@CoseAlgorithm.register_attribute()
class Es256k(Es256):
    """pycose knows the curve secp256k1 but not its algorithm (RFC 8812): the same ECDSA with SHA-256."""

    identifier = -47
    fullname = "ES256K"

    @classmethod
    def get_curve(cls):
        return ecdsa.SECP256k1


def load_key(path):
    """A pycose key and its algorithm."""
    with open(path, "rb") as file:
        key = serialization.load_pem_private_key(file.read(), password=None)
    raw = serialization.Encoding.Raw
    if isinstance(key, ed25519.Ed25519PrivateKey):
        secret = key.private_bytes(raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
        public = key.public_key().public_bytes(raw, serialization.PublicFormat.Raw)
        return OKPKey(crv=Ed25519, x=public, d=secret), EdDSA
    numbers = key.private_numbers()
    part = lambda number: number.to_bytes(32, "big")
    curve, algorithm = (P256, Es256) if isinstance(key.curve, ec.SECP256R1) else (SECP256K1, Es256k)
    public = numbers.public_numbers
    return EC2Key(crv=curve, x=part(public.x), y=part(public.y), d=part(numbers.private_value)), algorithm


def make(key_file, device, sequence, value, name="temperature", unit="Cel", at=None):
    """The bytes of a statement with one reading."""
    key, algorithm = load_key(key_file)
    record = {0: name, 1: unit, 2: value, 6: round(time.time(), 3) if at is None else at}
    message = Sign1Message(
        phdr={
            Algorithm: algorithm,
            ContentType: SENML_CBOR,
            KID: bytes.fromhex(device.removeprefix("0x")),
            CWT_CLAIMS: {SEQUENCE: sequence},
        },
        payload=cbor2.dumps([record]),
        key=key,
    )
    return message.encode()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--key", required=True)
    parser.add_argument("--id", required=True)
    parser.add_argument("--seq", type=int, required=True)
    parser.add_argument("--value", type=float, default=5.5)
    parser.add_argument("--name", default="temperature")
    parser.add_argument("--unit", default="Cel")
    parser.add_argument("--out", help="a file; standard output if absent")
    args = parser.parse_args()
    statement = make(args.key, args.id, args.seq, args.value, args.name, args.unit)
    if args.out is None:
        sys.stdout.buffer.write(statement)
    else:
        with open(args.out, "wb") as file:
            file.write(statement)


if __name__ == "__main__":
    main()
