"""The firmware's cryptography against coincurve, pycryptodome, eth_hash and Wycheproof: native code of both word sizes, and plain Python instead."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from coincurve import PrivateKey, PublicKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact
from Crypto.Hash import SHA256
from Crypto.PublicKey import ECC
from Crypto.Signature import DSS
from Crypto.Util.asn1 import DerSequence
from eth_hash.auto import keccak
from hypothesis import example, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = int(os.environ.get("CRYPTO_EXAMPLES", "40"))  # for each test and device; a long run takes 10000
WYCHEPROOF = ROOT / "tests/vectors/wycheproof"
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
N_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

# The two secrets for which the firmware's comb must double within an addition.
EDGE_SECRETS = [
    *(1, 2, 3, 5, 7, N // 2, N // 2 + 1, N - 2, N - 1, 2**128, 2**255),
    0xFFFFFFFDFFFFFFFDFFFFFFFDFFFFFFFCBAAEDCE4AF48A039BFD25E8ED0364143,
    0x0000000020000000200000002000000020000000200000001FFFFFFFDFFFFFFFE,
]
EDGE_DIGESTS = [0, 1, 2, N - 1, N, N + 1, 2**255, 2**256 - 1]

secrets = st.one_of(st.sampled_from(EDGE_SECRETS), st.integers(1, N - 1))
digests = st.one_of(st.sampled_from(EDGE_DIGESTS), st.integers(0, 2**256 - 1)).map(lambda number: be(number))
scalars = st.one_of(st.integers(0, 40), st.integers(0, 40).map(lambda number: -number % N), st.sampled_from(EDGE_SECRETS), st.integers(0, N - 1))
# Parts of a signature, of any worth.
parts = st.one_of(st.sampled_from([0, 1, N // 2, N // 2 + 1, N - 1, N, 2**256 - 1]), st.integers(0, 2**256 - 1))

checked = settings(max_examples=EXAMPLES, deadline=None)


def be(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Device:
    """A MicroPython process that computes for the tests."""

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


# A tree of another processor has no native code for this one.
DEVICES = {"x64": ("x64", "x64"), "x86": ("x86", "x86"), "x64-plain": ("x64", "rv32imc"), "x86-plain": ("x86", "xtensawin")}


@pytest.fixture(scope="module", params=DEVICES)
def device(request):
    running = Device(*DEVICES[request.param])
    assert running.call("is_plain") == request.param.endswith("plain")
    yield running
    running.close()


def key(secret: int) -> bytes:
    return PublicKey.from_valid_secret(be(secret)).format(compressed=False)[1:]


def expected_recovery(digest: bytes, signature: bytes) -> bytes | None:
    """What coincurve recovers, within the protocol's rules: v 0 or 1, low s."""
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    if v > 1 or not (0 < r < N and 0 < s <= N // 2):
        return None
    try:
        return PublicKey.from_signature_and_message(signature, digest, hasher=None).format(compressed=False)[1:]
    except Exception:  # noqa: BLE001 - coincurve raises a bare Exception
        return None


def expected_verdict(public: bytes, digest: bytes, signature: bytes) -> bool:
    """What coincurve says of a 64-byte signature; it knows low s only."""
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < N and 0 < s < N):
        return False
    der = cdata_to_der(deserialize_compact(be(r) + be(min(s, N - s))))
    return PublicKey(b"\x04" + public).verify(der, digest, hasher=None)


@checked
@given(data=st.binary(max_size=600))
@example(data=bytes(135))
@example(data=bytes(136))
@example(data=bytes(271))
@example(data=bytes(272))
def test_keccak256(device, data):
    assert device.call("keccak256", data) == keccak(data)


@checked
@given(secret=secrets)
def test_public_key_and_address(device, secret):
    public = key(secret)
    assert device.call("public_key", be(secret)) == public
    assert device.call("address", public) == keccak(public)[12:]


@pytest.mark.parametrize("secret", EDGE_SECRETS, ids=hex)
def test_edge_secrets(device, secret):
    assert device.call("public_key", be(secret)) == key(secret)


@checked
@given(secret=secrets, digest=digests)
def test_sign(device, secret, digest):
    signature = device.call("sign", be(secret), digest)
    # RFC 6979, section 2.3.4, reduces the digest; libsecp256k1 leaves that to its caller.
    reduced = be(int.from_bytes(digest, "big") % N)
    assert signature == PrivateKey(be(secret)).sign_recoverable(reduced, hasher=None)
    assert device.call("recover", digest, signature) == key(secret)
    assert device.call("verify", key(secret), digest, signature)
    assert device.call("verify", key(secret), digest, signature[:64])


@checked
@given(secret=secrets, digest=digests, r=parts, s=parts, honest=st.sampled_from("rs-"), v=st.integers(0, 3))
def test_any_signature(device, secret, digest, r, s, honest, v):
    """Both verdicts are coincurve's, with none, one part or the whole pair of an honest signature."""
    signature = PrivateKey(be(secret)).sign_recoverable(digest, hasher=None)
    pair = {"r": signature[:32] + be(s), "s": be(r) + signature[32:64], "-": be(r) + be(s)}[honest]
    assert device.call("recover", digest, pair + bytes([v])) == expected_recovery(digest, pair + bytes([v]))
    assert device.call("verify", key(secret), digest, pair) == expected_verdict(key(secret), digest, pair)


@checked
@given(a=scalars, secret=secrets, b=scalars)
@example(a=3, secret=1, b=3)
@example(a=N - 1, secret=1, b=1)
@example(a=N - 3, secret=3, b=1)
@example(a=0, secret=2, b=0)
@example(a=0, secret=2, b=N - 1)
def test_sum_of_multiples(device, a, secret, b):
    public = key(secret)
    total = (a + b * secret) % N
    assert device.call("sum_of_multiples", be(a), public[:32], public[32:], be(b)) == (key(total) if total else b"")


def p256_key(secret: int) -> ECC.EccKey:
    return ECC.construct(curve="P-256", d=secret)


p256_secrets = st.one_of(st.sampled_from([1, 2, 3, N_P256 // 2, N_P256 - 2, N_P256 - 1, 2**32, 2**224]), st.integers(1, N_P256 - 1))


@checked
@given(secret=p256_secrets, message=st.binary(max_size=40), r=parts, s=parts, honest=st.sampled_from("rs-"))
def test_p256(device, secret, message, r, s, honest):
    known = p256_key(secret)
    public = known.public_key().export_key(format="raw")[1:]
    assert device.call("p256_public_key", be(secret)) == public
    digest = sha256(message).digest()
    signature = device.call("p256_sign", be(secret), digest)
    assert signature == DSS.new(known, "deterministic-rfc6979").sign(SHA256.new(message))
    assert device.call("p256_verify", public, digest, signature)
    high_or_low = signature[:32] + be(N_P256 - int.from_bytes(signature[32:], "big"))
    assert device.call("p256_verify", public, digest, high_or_low)
    pair = {"r": signature[:32] + be(s), "s": be(r) + signature[32:], "-": be(r) + be(s)}[honest]
    assert device.call("p256_verify", public, digest, pair) == (pair in (signature, high_or_low))


@checked
@given(r=parts, s=parts)
def test_der_of_signatures(device, r, s):
    encoded = device.call("encode_signature", be(r) + be(s))
    assert encoded == DerSequence([r, s]).encode()
    assert device.call("decode_signature", encoded) == be(r) + be(s)


def test_public_key_info(device):
    known = p256_key(12345).public_key()
    assert device.call("p256_key_info", known.export_key(format="raw")[1:]) == known.export_key(format="DER")
    group = json.loads((WYCHEPROOF / "ecdsa_secp256k1_sha256_test.json").read_text())["testGroups"][0]
    public = bytes.fromhex(group["publicKey"]["uncompressed"])[1:]
    assert device.call("secp256k1_key_info", public) == bytes.fromhex(group["publicKeyDer"])


def wycheproof(name: str, device: Device, count: int) -> Iterator[tuple[bytes, bytes, bytes, bool]]:
    """Public key, digest, signature, verdict of each case; plain Python takes every fifth."""
    groups = json.loads((WYCHEPROOF / f"ecdsa_{name}_test.json").read_text())["testGroups"]
    cases = [(group["publicKey"]["uncompressed"], case) for group in groups for case in group["tests"]]
    assert len(cases) == count
    assert {case["result"] for _, case in cases} == {"valid", "invalid"}
    for uncompressed, case in cases[:: 5 if device.call("is_plain") else 1]:
        digest = sha256(bytes.fromhex(case["msg"])).digest()
        yield bytes.fromhex(uncompressed)[1:], digest, bytes.fromhex(case["sig"]), case["result"] == "valid"


def test_wycheproof_secp256k1(device):
    for public, digest, signature, valid in wycheproof("secp256k1_sha256_p1363", device, 252):
        if len(signature) != 64:
            assert not valid
            assert "signature: expected" in device.ask("verify", public, digest, signature).get("refused", "")
            continue
        assert device.call("verify", public, digest, signature) == valid, signature.hex()
        for v in (0, 1):
            full = signature + bytes([v])
            recovered = expected_recovery(digest, full)
            assert device.call("recover", digest, full) == recovered, full.hex()
            assert device.call("verify", public, digest, full) == (recovered == public), full.hex()


def test_wycheproof_p256(device):
    for public, digest, signature, valid in wycheproof("secp256r1_sha256_p1363", device, 262):
        answer = device.ask("p256_verify", public, digest, signature)
        assert answer.get("result", False) == valid, signature.hex()
        assert ("refused" in answer) == (len(signature) != 64)


@pytest.mark.parametrize(("name", "count", "verify"), [("secp256k1_sha256", 476, "verify"), ("secp256r1_sha256", 484, "p256_verify")])
def test_wycheproof_der(device, name, count, verify):
    for public, digest, signature, valid in wycheproof(name, device, count):
        decoded = device.ask("decode_signature", signature)
        if "refused" in decoded:
            assert decoded["refused"].startswith("signature: ")
            assert not valid, signature.hex()
        else:
            raw = bytes.fromhex(decoded["result"][2:])
            assert device.call(verify, public, digest, raw) == valid, signature.hex()
            assert device.call("encode_signature", raw) == signature
