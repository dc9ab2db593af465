"""ECDSA on secp256k1 against published signatures; hostile signatures and arguments."""

from binascii import unhexlify
from hashlib import sha256

from plug.crypto import curve, ecdsa, rfc6979, secp256k1
from plug.crypto.secp256k1_curve import CURVE, N, P
from plug.crypto.steps import finish
from run_in_micropython import raises

# RFC 6979 with low s on secp256k1, published with trezor-crypto and many other libraries: secret, message, r || s.
PUBLISHED = (
    (
        1,
        b"Satoshi Nakamoto",
        "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d82442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5",
    ),
    (
        1,
        b"All those moments will be lost in time, like tears in rain. Time to die...",
        "8600dbd41e348fe5c9465ab92d23e3db8b98b873beecd930736488696438cb6b547fe64427496db33bf66019dacbf0039c04199abb0122918601db38a72cfc21",
    ),
    (
        N - 1,
        b"Satoshi Nakamoto",
        "fd567d121db66e382991534ada77a6bd3106f0a1098c231e47993447cd6af2d06b39cd0eb1bc8603e159ef5c20a5c8ad685a45b06ce9bebed3f153d10d93bed5",
    ),
    (
        0xF8B8AF8CE3C7CCA5E300D33939540C10D45CE001B8F252BFBC57BA0342904181,
        b"Alan Turing",
        "7063ae83e7f62bbb171798131b4a0564b956930092b33b07b395615d9ec7e15c58dfcc1e00a35e1572f366ffe34ba0fc47db1e7189759b9fb233c5b05ab388ea",
    ),
)
DIGEST = sha256(b"message").digest()
ROOT_OF_8 = pow(8, (P + 1) // 4, P)


def be(number):
    return number.to_bytes(32, "big")


SECRET = be(0xC0FFEE)


def test_published_signatures():
    for secret, message, signature in PUBLISHED:
        digest = sha256(message).digest()
        public = secp256k1.public_key(be(secret))
        made = secp256k1.sign(be(secret), digest)
        assert made[:64] == unhexlify(signature), message
        assert secp256k1.verify(public, digest, made)
        assert secp256k1.verify(public, digest, made[:64])
        assert secp256k1.recover(digest, made) == public


def test_address():
    # The first account of every list of weak keys.
    assert secp256k1.address(secp256k1.public_key(be(1))) == unhexlify("7e5f4552091a69125d5dfcb7b8c2659029395bdf")


def test_digests_at_the_ends_of_the_range():
    public = secp256k1.public_key(SECRET)
    for number in (0, 1, N - 1, N, N + 1, 2**256 - 1):
        signature = secp256k1.sign(SECRET, be(number))
        assert secp256k1.verify(public, be(number), signature[:64])
        assert secp256k1.recover(be(number), signature) == public
    assert secp256k1.sign(SECRET, be(N)) == secp256k1.sign(SECRET, be(0))


def test_nonces_whose_point_has_no_v_are_passed_over():
    class Large:
        order, prime, a, b = N, CURVE.prime, CURVE.a, CURVE.b

        def multiply_steps(self, k):
            asked.append(k)
            point = yield from CURVE.multiply_steps(k)
            return (N + 5, 1) if len(asked) == 1 else point

    asked = []
    secp256k1.CURVE = Large()
    try:
        signature = secp256k1.sign(SECRET, DIGEST)
    finally:
        secp256k1.CURVE = CURVE
    assert len(asked) == 2
    assert secp256k1.recover(DIGEST, signature) == secp256k1.public_key(SECRET)


def test_a_damaged_point_never_reaches_a_signature():
    class Damaged:
        order, prime, a, b = N, CURVE.prime, CURVE.a, CURVE.b

        def multiply_steps(self, k):
            x, y = yield from CURVE.multiply_steps(k)
            return x, y ^ 1

    secp256k1.CURVE = Damaged()
    try:
        raises(OSError, secp256k1.sign, SECRET, DIGEST)
    finally:
        secp256k1.CURVE = CURVE


def test_random_numbers_do_not_change_a_signature():
    expected = secp256k1.sign(SECRET, DIGEST)
    inverted = []

    def inverse(value, modulus):
        inverted.append(value)
        return inverse_of(value, modulus)

    urandom, inverse_of = ecdsa.urandom, ecdsa.inverse
    ecdsa.inverse = inverse
    try:
        for number in (bytes(32), b"\xff" * 32, be(N - 1), b"\x5a" * 32):
            ecdsa.urandom = lambda size, number=number: number[:size]
            assert secp256k1.sign(SECRET, DIGEST) == expected
    finally:
        ecdsa.urandom, ecdsa.inverse = urandom, inverse_of
    assert len(set(inverted)) > 2  # the nonce itself is not what is inverted


def test_a_signature_given_up_at_any_step_leaves_no_scratch():
    kept = []

    class KeptPoint(curve.Accumulator):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            kept.append(self.slots)
            kept.append(self._number)

    class KeptHmac(rfc6979._Hmac):
        def __init__(self):
            super().__init__()
            kept.append(memoryview(self._inner)[:32])
            kept.append(memoryview(self._outer)[:32])

    def kept_columns(teeth, signs):
        kept.append(teeth)
        kept.append(signs)
        columns(teeth, signs)

    table = CURVE.table
    columns, point, hmac = curve.columns, curve.Accumulator, rfc6979._Hmac
    curve.columns, curve.Accumulator, rfc6979._Hmac = kept_columns, KeptPoint, KeptHmac
    try:
        for stop in (lambda steps: steps.close(), lambda steps: raises(OSError, steps.throw, OSError)):
            for after in (1, 2, 7, 12, 14, 15):
                kept.clear()
                steps = secp256k1.sign_steps(SECRET, DIGEST)
                for _ in range(after):
                    next(steps)
                assert any(any(scratch) for scratch in kept)
                stop(steps)
                assert not any(any(scratch) for scratch in kept), after
                assert not any(table.last), after
                assert len(kept) == (2 if after == 1 else 6), after
    finally:
        curve.columns, curve.Accumulator, rfc6979._Hmac = columns, point, hmac


def test_every_changed_part_is_noticed():
    public = secp256k1.public_key(SECRET)
    signature = secp256k1.sign(SECRET, DIGEST)
    for i in (0, 31, 32, 63, 64):
        changed = bytearray(signature)
        changed[i] ^= 1
        assert not secp256k1.verify(public, DIGEST, changed)
        assert secp256k1.recover(DIGEST, changed) != public
    assert not secp256k1.verify(public, sha256(b"another").digest(), signature)
    assert not secp256k1.verify(secp256k1.public_key(be(5)), DIGEST, signature)


def test_high_s_is_verified_but_not_recovered():
    public = secp256k1.public_key(SECRET)
    signature = secp256k1.sign(SECRET, DIGEST)
    high = signature[:32] + be(N - int.from_bytes(signature[32:64], "big"))
    v = signature[64]
    assert secp256k1.verify(public, DIGEST, high)
    assert secp256k1.verify(public, DIGEST, high + bytes((v ^ 1,)))
    assert not secp256k1.verify(public, DIGEST, high + bytes((v,)))
    assert secp256k1.recover(DIGEST, high + bytes((v ^ 1,))) is None


def test_numbers_out_of_range_are_no_signature():
    public = secp256k1.public_key(SECRET)
    signature = secp256k1.sign(SECRET, DIGEST)
    r, s = signature[:32], signature[32:64]
    for pair in (be(0) + s, r + be(0), be(0) + be(0), be(N) + s, r + be(N), be(2**256 - 1) + s, r + be(2**256 - 1)):
        assert not secp256k1.verify(public, DIGEST, pair)
        for v in (b"\x00", b"\x01"):
            assert not secp256k1.verify(public, DIGEST, pair + v)
            assert secp256k1.recover(DIGEST, pair + v) is None
    for v in (2, 3, 27, 28, 255):
        assert not secp256k1.verify(public, DIGEST, r + s + bytes((v,)))
        assert secp256k1.recover(DIGEST, r + s + bytes((v,))) is None


def test_r_that_is_no_coordinate_recovers_nothing():
    # 5 is not the x of any point: 5^3 + 7 has no square root.
    assert pow(132, (P - 1) // 2, P) == P - 1
    assert secp256k1.recover(DIGEST, be(5) + be(1) + b"\x00") is None


def test_sums_at_infinity_are_no_signature():
    x, y = CURVE.multiply(77)
    s = 123456789
    digest = be(s * 77 % N)  # s * R - z * G = 0
    assert secp256k1.recover(digest, be(x) + be(s) + bytes((y & 1,))) is None
    d = int.from_bytes(SECRET, "big")
    digest = be(-x * d % N)  # z + r * d = 0
    assert not secp256k1.verify(secp256k1.public_key(SECRET), digest, be(x) + be(s))


def test_stepping_forms_give_the_same_in_turns():
    public = secp256k1.public_key(SECRET)
    signature = secp256k1.sign(SECRET, DIGEST)
    jobs = [secp256k1.sign_steps(SECRET, DIGEST), secp256k1.recover_steps(DIGEST, signature), secp256k1.public_key_steps(SECRET)]
    jobs += [secp256k1.verify_steps(public, DIGEST, signature), secp256k1.verify_steps(public, DIGEST, signature[:64])]
    results = [None] * len(jobs)
    turns = 0
    while any(jobs):
        for i, job in enumerate(jobs):
            try:
                if job:
                    assert next(job) is None
            except StopIteration as end:
                results[i] = end.value
                jobs[i] = None
        turns += 1
    assert results == [signature, public, public, True, True]
    assert turns > 20


def test_stepping_forms_check_arguments_at_once():
    for field, function, *arguments in (
        ("secret", secp256k1.public_key_steps, be(0)),
        ("secret", secp256k1.sign_steps, be(N), DIGEST),
        ("digest", secp256k1.sign_steps, SECRET, DIGEST[1:]),
        ("digest", secp256k1.recover_steps, None, bytes(65)),
        ("signature", secp256k1.recover_steps, DIGEST, bytes(64)),
        ("signature", secp256k1.verify_steps, secp256k1.public_key(SECRET), DIGEST, bytes(63)),
    ):
        assert str(raises(ValueError, function, *arguments)).startswith(field), (field, function)
    assert finish(secp256k1.recover_steps(DIGEST, bytes(65))) is None


def test_wrong_arguments_are_named():
    public = secp256k1.public_key(SECRET)
    signature = secp256k1.sign(SECRET, DIGEST)
    for field, function, *arguments in (
        ("secret", secp256k1.public_key, be(0)),
        ("secret", secp256k1.public_key, be(N)),
        ("secret", secp256k1.public_key, SECRET[1:]),
        ("secret", secp256k1.sign, be(2**256 - 1), DIGEST),
        ("secret", secp256k1.sign, "0" * 32, DIGEST),
        ("digest", secp256k1.sign, SECRET, DIGEST + b"\x00"),
        ("digest", secp256k1.sign, SECRET, None),
        ("digest", secp256k1.verify, public, DIGEST[1:], signature),
        ("digest", secp256k1.verify, public, DIGEST[1:], signature[:64]),
        ("digest", secp256k1.recover, DIGEST[1:], signature),
        ("signature", secp256k1.verify, public, DIGEST, signature[:63]),
        ("signature", secp256k1.verify, public, DIGEST, b""),
        ("signature", secp256k1.verify, public, DIGEST, signature + b"\x00"),
        ("signature", secp256k1.recover, DIGEST, signature[:64]),
        ("signature", secp256k1.recover, DIGEST, None),
        ("public key", secp256k1.verify, b"\x04" + public, DIGEST, signature),
        ("public key", secp256k1.verify, bytes(64), DIGEST, signature),
        ("public key", secp256k1.verify, public[:63] + bytes((public[63] ^ 1,)), DIGEST, signature),
        ("public key", secp256k1.verify, be(P + 1) + be(ROOT_OF_8), DIGEST, signature),  # 1 is the x of a point, P + 1 is not
        ("public key", secp256k1.address, public[1:]),
        ("public key", secp256k1.address, 5),
    ):
        assert str(raises(ValueError, function, *arguments)).startswith(field), (field, function)


def test_messages_about_a_secret_do_not_show_it():
    for secret in (be(N), be(2**256 - 1)[:31]):
        text = str(raises(ValueError, secp256k1.public_key, secret))
        assert str(int.from_bytes(secret, "big")) not in text
