"""The firmware's cryptography against coincurve, cryptography, eth_hash and Wycheproof: native code of both word sizes, and plain Python instead."""

import importlib.util
import json
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from coincurve import PrivateKey, PublicKey
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from eth_hash.auto import keccak
from hypothesis import example, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("differential", ROOT / "tests/differential.py")
differential = importlib.util.module_from_spec(spec)
spec.loader.exec_module(differential)
Device, N, N_P256, be, key = differential.Device, differential.N, differential.N_P256, differential.be, differential.public_key
EXAMPLES = int(os.environ.get("CRYPTO_EXAMPLES", "40"))  # for each test and device; a long run takes 10000
CASES = 1_000  # of the differential test, on native code; `make bench` has 10,000
CASES_IN_PLAIN_PYTHON = 100
WYCHEPROOF = ROOT / "tests/vectors/wycheproof"

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


# A tree of another processor has no native code for this one.
DEVICES = {"x64": ("x64", "x64"), "x86": ("x86", "x86"), "x64-plain": ("x64", "rv32imc"), "x86-plain": ("x86", "xtensawin")}


@pytest.fixture(scope="module", params=DEVICES)
def device(request):
    running = Device(*DEVICES[request.param])
    assert running.call("is_plain") == request.param.endswith("plain")
    yield running
    running.close()


def expected_recovery(digest: bytes, signature: bytes) -> bytes | None:
    """What coincurve recovers, within the protocol's rules: v 0 or 1, low s."""
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    if v > 1 or not (0 < r < N and 0 < s <= N // 2):
        return None
    try:
        return PublicKey.from_signature_and_message(signature, digest, hasher=None).format(compressed=False)[1:]
    except Exception:  # noqa: BLE001 - coincurve raises a bare Exception
        return None


def test_random_cases(device):
    cases = CASES_IN_PLAIN_PYTHON if device.call("is_plain") else CASES
    assert differential.agreed(device, cases) == cases


def low_s(signature: bytes) -> bytes:
    """The same 65-byte signature with low s, if it is one."""
    s, v = int.from_bytes(signature[32:64], "big"), signature[64]
    return signature[:32] + be(N - s) + bytes([v ^ 1]) if N // 2 < s < N else signature


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
    assert device.call("verify", key(secret), digest, pair) == differential.verdict(key(secret), digest, pair)


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


def p256_key(secret: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(secret, ec.SECP256R1())


p256_secrets = st.one_of(st.sampled_from([1, 2, 3, N_P256 // 2, N_P256 - 2, N_P256 - 1, 2**32, 2**224]), st.integers(1, N_P256 - 1))


@checked
@given(secret=p256_secrets, message=st.binary(max_size=40), r=parts, s=parts, honest=st.sampled_from("rs-"))
def test_p256(device, secret, message, r, s, honest):
    known = p256_key(secret)
    public = differential.p256_public_key(known)
    assert device.call("p256_public_key", be(secret)) == public
    digest = sha256(message).digest()
    signature = device.call("p256_sign", be(secret), digest)
    assert signature == differential.p256_sign(known, digest)
    assert device.call("p256_verify", public, digest, signature)
    high_or_low = signature[:32] + be(N_P256 - int.from_bytes(signature[32:], "big"))
    assert device.call("p256_verify", public, digest, high_or_low)
    pair = {"r": signature[:32] + be(s), "s": be(r) + signature[32:], "-": be(r) + be(s)}[honest]
    assert device.call("p256_verify", public, digest, pair) == (pair in (signature, high_or_low))


@checked
@given(r=parts, s=parts)
def test_der_of_signatures(device, r, s):
    encoded = device.call("encode_signature", be(r) + be(s))
    assert encoded == encode_dss_signature(r, s)
    assert device.call("decode_signature", encoded) == be(r) + be(s)


def test_public_key_info(device):
    known = p256_key(12345)
    expected = known.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert device.call("p256_key_info", differential.p256_public_key(known)) == expected
    group = json.loads((WYCHEPROOF / "ecdsa_secp256k1_sha256_test.json").read_text())["testGroups"][0]
    public = bytes.fromhex(group["publicKey"]["uncompressed"])[1:]
    assert device.call("secp256k1_key_info", public) == bytes.fromhex(group["publicKeyDer"])


def wycheproof(name: str, count: int) -> Iterator[tuple[bytes, bytes, bytes, bool]]:
    """Public key, digest, signature, verdict of each case."""
    groups = json.loads((WYCHEPROOF / f"ecdsa_{name}_test.json").read_text())["testGroups"]
    cases = [(group["publicKey"]["uncompressed"], case) for group in groups for case in group["tests"]]
    assert len(cases) == count
    assert {case["result"] for _, case in cases} == {"valid", "invalid"}
    for uncompressed, case in cases:
        digest = sha256(bytes.fromhex(case["msg"])).digest()
        yield bytes.fromhex(uncompressed)[1:], digest, bytes.fromhex(case["sig"]), case["result"] == "valid"


def test_wycheproof_secp256k1(device):
    for public, digest, signature, valid in wycheproof("secp256k1_sha256_p1363", 252):
        if len(signature) != 64:
            assert not valid
            assert "signature: expected" in device.ask("verify", public, digest, signature).get("refused", "")
            continue
        assert device.call("verify", public, digest, signature) == valid, signature.hex()
        for v in (0, 1):
            full = signature + bytes([v])
            recovered = expected_recovery(digest, full)
            assert device.call("recover", digest, full) == recovered, full.hex()
            low = low_s(full)
            assert device.call("verify", public, digest, full) == (expected_recovery(digest, low) == public), full.hex()


def test_wycheproof_p256(device):
    for public, digest, signature, valid in wycheproof("secp256r1_sha256_p1363", 262):
        answer = device.ask("p256_verify", public, digest, signature)
        assert answer.get("result", False) == valid, signature.hex()
        assert ("refused" in answer) == (len(signature) != 64)


@pytest.mark.parametrize(("name", "count", "verify"), [("secp256k1_sha256", 476, "verify"), ("secp256r1_sha256", 484, "p256_verify")])
def test_wycheproof_der(device, name, count, verify):
    for public, digest, signature, valid in wycheproof(name, count):
        decoded = device.ask("decode_signature", signature)
        if "refused" in decoded:
            assert decoded["refused"].startswith("signature: ")
            assert not valid, signature.hex()
        else:
            raw = bytes.fromhex(decoded["result"][2:])
            assert device.call(verify, public, digest, raw) == valid, signature.hex()
            assert device.call("encode_signature", raw) == signature
