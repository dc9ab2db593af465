"""MicroPython: run calls of plug.crypto that arrive as JSON lines, ["function", argument, ...], and answer each with a JSON line.

Byte strings are lower-case hex after "0x", coordinates and scalars hex of 32 bytes; the answer is {"result": ...} or {"refused": message}.
"""

import json
import sys
from binascii import hexlify, unhexlify

from plug.crypto import der, p256, secp256k1
from plug.crypto.keccak import keccak256
from plug.crypto.secp256k1_curve import CURVE


def sum_of_multiples(base_scalar, x, y, scalar):
    """base_scalar * G + scalar * (x, y), all of it 32 bytes each; empty for infinity."""
    a, x, y, b = [int.from_bytes(number, "big") for number in (base_scalar, x, y, scalar)]
    point = CURVE.multiply(a, (x, y), b)
    return b"" if point is None else point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


FUNCTIONS = {
    "keccak256": keccak256,
    "public_key": secp256k1.public_key,
    "sign": secp256k1.sign,
    "verify": secp256k1.verify,
    "recover": secp256k1.recover,
    "address": secp256k1.address,
    "sum_of_multiples": sum_of_multiples,
    "p256_public_key": p256.public_key,
    "p256_sign": p256.sign,
    "p256_verify": p256.verify,
    "encode_signature": der.encode_signature,
    "decode_signature": der.decode_signature,
    "secp256k1_key_info": lambda public: der.public_key_info("secp256k1", public),
    "p256_key_info": lambda public: der.public_key_info("secp256r1", public),
    "is_plain": lambda: "plug.crypto.plain" in sys.modules and "plug.crypto.keccak_plain" in sys.modules,
}


def answer(line):
    """The answer to one line."""
    function, *arguments = json.loads(line)
    try:
        result = FUNCTIONS[function](*[unhexlify(argument[2:]) for argument in arguments])
    except ValueError as error:
        return {"refused": str(error)}
    return {"result": "0x" + hexlify(result).decode() if isinstance(result, bytes) else result}


while True:
    received = sys.stdin.readline()
    if not received:
        break
    sys.stdout.write(json.dumps(answer(received)) + "\n")
