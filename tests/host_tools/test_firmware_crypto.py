"""The firmware's cryptography, from source on both word sizes, against coincurve, eth_hash and Wycheproof."""

import json
import os
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from coincurve import PrivateKey, PublicKey
from coincurve.ecdsa import cdata_to_der, deserialize_compact
from eth_hash.auto import keccak
from hypothesis import example, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
WYCHEPROOF = ROOT / "tests/vectors/wycheproof/ecdsa_secp256k1_sha256_p1363_test.json"
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

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

checked = settings(max_examples=40, deadline=None)


def be(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Device:
    """A MicroPython process that computes for the tests."""

    def __init__(self, port: str) -> None:
        command = [ROOT / f"build/bin/micropython-{port}", ROOT / "tests/host_tools/firmware_crypto_server.py"]
        environment = os.environ | {"MICROPYPATH": str(ROOT / "firmware")}
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


@pytest.fixture(scope="module", params=["x64", "x86"])
def device(request):
    running = Device(request.param)
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


def test_wycheproof(device):
    groups = json.loads(WYCHEPROOF.read_text())["testGroups"]
    cases = [(group["publicKey"]["uncompressed"], case) for group in groups for case in group["tests"]]
    assert len(cases) == 252
    for uncompressed, case in cases:
        public, signature = bytes.fromhex(uncompressed)[1:], bytes.fromhex(case["sig"])
        digest = sha256(bytes.fromhex(case["msg"])).digest()
        if len(signature) != 64:
            assert "signature: expected" in device.ask("verify", public, digest, signature).get("refused", ""), case
            continue
        assert device.call("verify", public, digest, signature) == (case["result"] == "valid"), case
        for v in (0, 1):
            full = signature + bytes([v])
            recovered = expected_recovery(digest, full)
            assert device.call("recover", digest, full) == recovered, case
            assert device.call("verify", public, digest, full) == (recovered == public), case
