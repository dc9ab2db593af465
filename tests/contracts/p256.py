"""P-256 on pycryptodome's points: a plug with such a key, and the precompile of EIP-7951, which titanoboa's EVM lacks."""

from Crypto.PublicKey import ECC
from eth_utils import keccak, to_checksum_address

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
BASE = ECC.construct(curve="P-256", d=1).pointQ
PRECOMPILE = "0x" + "00" * 18 + "0100"


def word(value):
    return int(value).to_bytes(32, "big")


class P256Plug:
    """Signs with a fixed nonce: keys of tests only."""

    def __init__(self, secret):
        self.secret = secret
        self.point = BASE * secret
        self.public_key = word(self.point.x) + word(self.point.y)
        self.address = to_checksum_address(keccak(b"P256" + self.public_key)[-20:])

    def sign_digest(self, digest, low_s=True):
        nonce = int.from_bytes(keccak(word(self.secret) + digest), "big") % N
        r = int((BASE * nonce).x) % N
        s = pow(nonce, -1, N) * (int.from_bytes(digest, "big") + r * self.secret) % N
        s = min(s, N - s) if low_s else max(s, N - s)
        return word(r) + word(s) + self.public_key


def is_valid(digest, r, s, x, y):
    if not (0 < r < N and 0 < s < N and x < P and y < P):
        return False
    try:
        point = ECC.EccPoint(x, y, curve="P-256")
    except ValueError:
        return False
    inverse = pow(s, -1, N)
    found = BASE * (digest * inverse % N) + point * (r * inverse % N)
    return not found.is_point_at_infinity() and int(found.x) % N == r


def precompile(computation):
    """Answer 32 bytes equal to 1 for a valid signature, nothing otherwise."""
    computation.consume_gas(6900, "P256VERIFY")
    data = computation.msg.data_as_bytes
    words = [int.from_bytes(data[start : start + 32], "big") for start in range(0, len(data), 32)]
    computation.output = word(1) if len(data) == 160 and is_valid(*words) else b""
    return computation
