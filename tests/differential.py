"""The firmware's ECDSA in MicroPython beside coincurve and cryptography, on random cases: `python tests/differential.py [cases]`, 10,000 of them.

A case is a random secret and digest on both curves: public key and signature byte for byte, both verdicts on signatures of ours, of theirs and on one
with a changed bit, and on secp256k1 the recovered key. tests/host_tools runs 1,000 a port, `make bench` all. It is what MicroPython runs: no copy.
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from coincurve import PrivateKey, PublicKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ROOT = Path(__file__).resolve().parents[1]
CASES = 10_000
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
N_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
DETERMINISTIC = ec.ECDSA(Prehashed(SHA256()), deterministic_signing=True)
RANDOM = ec.ECDSA(Prehashed(SHA256()))


class Device:
    """A MicroPython process that computes with the firmware of `tree`: a tree of another processor has no native code for it."""

    def __init__(self, port: str, tree: str) -> None:
        build = [sys.executable, ROOT / "firmware/build.py", "trees", "--board", "socket_10a", "--arch", tree]
        subprocess.run(build, check=True, capture_output=True)
        command = [ROOT / f"build/bin/micropython-{port}", ROOT / "tests/host_tools/firmware_crypto_server.py"]
        environment = os.environ | {"MICROPYPATH": f"{ROOT / 'build/firmware/socket_10a' / tree}:.frozen"}
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, function: str, *arguments: bytes) -> dict:
        """The device's whole answer."""
        self._process.stdin.write(json.dumps([function, *("0x" + argument.hex() for argument in arguments)]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def call(self, function: str, *arguments: bytes) -> bytes | bool | None:
        """The result of a call that the device must not refuse."""
        result = self.ask(function, *arguments)["result"]
        return bytes.fromhex(result[2:]) if isinstance(result, str) else result

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()


def be(number: int) -> bytes:
    return number.to_bytes(32, "big")


def pair(signature: bytes) -> tuple[int, int]:
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")


def public_key(secret: int) -> bytes:
    """The public key on secp256k1, by coincurve."""
    return PublicKey.from_valid_secret(be(secret)).format(compressed=False)[1:]


def verdict(public: bytes, digest: bytes, signature: bytes) -> bool:
    """What coincurve says of a 64-byte signature on secp256k1; it knows low s only."""
    r, s = pair(signature)
    if not (0 < r < N and 0 < s < N):
        return False
    return PublicKey(b"\x04" + public).verify(cdata_to_der(deserialize_compact(be(r) + be(min(s, N - s)))), digest, hasher=None)


def p256_public_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public key on P-256, by cryptography."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


def p256_sign(key: ec.EllipticCurvePrivateKey, digest: bytes, algorithm: ec.ECDSA = DETERMINISTIC) -> bytes:
    """A signature r || s on P-256, by cryptography; with RFC 6979's nonce, or with RANDOM."""
    r, s = decode_dss_signature(key.sign(digest, algorithm))
    return be(r) + be(s)


def p256_verdict(public: bytes, digest: bytes, signature: bytes) -> bool:
    """What cryptography says of a 64-byte signature on P-256."""
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public)
        key.verify(encode_dss_signature(*pair(signature)), digest, RANDOM)
    except InvalidSignature:
        return False
    return True


def differences(device: Device, source: random.Random) -> list[str]:
    """What differs in one random case."""
    found = []

    def same(what: str, expected: object, function: str, *arguments: bytes) -> None:
        answer = device.call(function, *arguments)
        if answer != expected:
            found.append(f"{what}: {answer!r} instead of {expected!r} for {', '.join(argument.hex() for argument in arguments)}")

    secret, digest, bit = source.randrange(1, N), source.randbytes(32), 1 << source.randrange(512)
    public, signature = public_key(secret), PrivateKey(be(secret)).sign_recoverable(be(int.from_bytes(digest, "big") % N), hasher=None)
    changed = (int.from_bytes(signature[:64], "big") ^ bit).to_bytes(64, "big")
    same("public key", public, "public_key", be(secret))
    same("signature", signature, "sign", be(secret), digest)
    same("recovered key", public, "recover", digest, signature)
    same("verdict", True, "verify", public, digest, signature[:64])
    same("verdict, bit changed", verdict(public, digest, changed), "verify", public, digest, changed)

    secret = source.randrange(1, N_P256)
    key = ec.derive_private_key(secret, ec.SECP256R1())
    public, signature = p256_public_key(key), p256_sign(key, digest)
    changed = (int.from_bytes(signature, "big") ^ bit).to_bytes(64, "big")
    same("P-256 public key", public, "p256_public_key", be(secret))
    same("P-256 signature", signature, "p256_sign", be(secret), digest)
    same("P-256 verdict", True, "p256_verify", public, digest, p256_sign(key, digest, RANDOM))
    same("P-256 verdict, bit changed", p256_verdict(public, digest, changed), "p256_verify", public, digest, changed)
    return found


def agreed(device: Device, cases: int) -> int:
    """The number of cases that were run, all without a difference. Raises ValueError at the first one, with the seed."""
    seed = random.SystemRandom().getrandbits(64)
    source = random.Random(seed)
    for case in range(cases):
        found = differences(device, source)
        if found:
            raise ValueError(f"seed {seed}, case {case}: {'; '.join(found)}")
    return cases


def main() -> None:
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else CASES
    for port in ("x64", "x86"):
        device, start = Device(port, port), time.monotonic()
        sys.stdout.write(f"{port}: {agreed(device, cases):,} random cases agree with coincurve and cryptography, {time.monotonic() - start:.0f} s\n")
        device.close()


if __name__ == "__main__":
    main()
