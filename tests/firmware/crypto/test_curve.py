"""Group law: every case of an addition, also where the comb meets one; the endomorphism of secp256k1."""

from plug.crypto import curve
from plug.crypto.curve import Accumulator
from plug.crypto.keccak import keccak256
from plug.crypto.p256_curve import CURVE as P256
from plug.crypto.secp256k1_curve import BETA, CURVE, LAMBDA, N, P, split
from run_in_micropython import raises

# SEC 2, version 2, section 2.4.1; 2 * G is public too, as the key of the secret 2.
G = (0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798, 0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8)
TWICE_G = (0xC6047F9441ED7D6D3045406E95C07CD85C778E4B8CEF3CA7ABAC09B95C709EE5, 0x1AE168FEA63DC339A3C58419466CEAEEF7F632653266D0E1236431A950CFE52A)

# Secrets for which the accumulator equals the table's point before the comb's last addition. With a sum of +-2^(32 * i), i = 0..7, for e, they are
# 2 * e modulo N, where the digits of column 0 are just those of e.
DOUBLING_SECRETS = (
    0xFFFFFFFDFFFFFFFDFFFFFFFDFFFFFFFCBAAEDCE4AF48A039BFD25E8ED0364143,
    0x0000000020000000200000002000000020000000200000001FFFFFFFDFFFFFFFE,
)


multiply = CURVE.multiply


def encode(point):
    return point[0].to_bytes(32, "little") + point[1].to_bytes(32, "little")


def total(*terms):
    """The sum of points; each term is (point, negative)."""
    accumulator = Accumulator(CURVE)
    for point, negative in terms:
        accumulator.add(encode(point), negative)
    return accumulator.affine()


def negative(point):
    return point[0], P - point[1]


def test_additions():
    assert total() is None
    assert total((G, False)) == G
    assert total((G, True)) == negative(G)
    assert total((G, False), (G, False)) == TWICE_G
    assert total((G, False), (G, True)) is None
    assert total((G, False), (G, True), (TWICE_G, False)) == TWICE_G
    assert total((TWICE_G, False), (G, True)) == G
    assert total((G, False), (G, False), (G, False), (TWICE_G, True)) == G


def test_infinity_stays_when_doubled():
    accumulator = Accumulator(CURVE)
    accumulator.double()
    assert accumulator.affine() is None
    accumulator.add(encode(G), False)
    accumulator.add(encode(G), True)
    accumulator.double()
    assert accumulator.affine() is None


def test_affine_leaves_a_usable_point():
    accumulator = Accumulator(CURVE)
    accumulator.add(encode(G), False)
    accumulator.double()
    accumulator.affine()
    accumulator.add(encode(G), True)
    assert accumulator.affine() == G


def test_multiples_of_the_base_point():
    assert multiply(0) is None
    assert multiply(1) == G
    assert multiply(2) == TWICE_G
    assert multiply(N - 1) == negative(G)
    assert multiply(N - 2) == negative(TWICE_G)


def test_the_comb_doubles_where_it_must():
    for secret in DOUBLING_SECRETS:
        half = multiply(secret * (N + 1 >> 1) % N)
        assert multiply(secret) == total((half, False), (half, False))


def test_sums_of_two_multiples():
    for a in (0, 1, 2, 3, 7, 8, N - 1):
        for b in (0, 1, 2, 5, N - 3, N - 1):
            assert multiply(a, G, b) == multiply((a + b) % N), (a, b)
            assert multiply(a, TWICE_G, b) == multiply((a + 2 * b) % N), (a, b)


def test_sums_that_meet_the_point_on_their_way():
    # Every partial sum of these is near 0, 1, 2 ... times the point: equal points and opposite ones meet within additions.
    for k in range(1, 9):
        for b in (k, N - k, k * LAMBDA % N, (k + LAMBDA) % N, (1 << 128) - k):
            for a in (k, N - k, b, N - b):
                assert multiply(a, G, b) == multiply((a + b) % N), (a, b)


def test_p256_sums():
    n = P256.order
    g = P256.multiply(1)
    twice = P256.multiply(2)
    for k in [1, 2, 3, 4, 5, 6, 7, 8, 1 << 32, 1 << 255, n >> 1, (n >> 1) + 1]:
        for b in (k, n - k, 0):
            for a in (k, n - k, 0, 3):
                assert P256.multiply(a, g, b) == P256.multiply((a + b) % n), (a, b)
                assert P256.multiply(a, twice, b) == P256.multiply((a + 2 * b) % n), (a, b)
    assert P256.multiply(0) is None
    assert P256.multiply(n - 1) == (g[0], P256.prime - g[1])


def test_endomorphism():
    assert pow(BETA, 3, P) == pow(LAMBDA, 3, N) == 1
    assert multiply(LAMBDA) == (BETA * G[0] % P, G[1])
    scalars = [N >> 1, (N >> 1) + 1, LAMBDA, N - LAMBDA, 0, 1, N - 1, 1 << 128, 1 << 255]
    for i in range(300):
        scalar = scalars[i] if i < len(scalars) else int.from_bytes(keccak256(bytes(i)), "big") % N
        (k1, negative1), (k2, negative2) = split(scalar)
        assert ((-k1 if negative1 else k1) + (-k2 if negative2 else k2) * LAMBDA - scalar) % N == 0
        assert k1 >> 128 == k2 >> 128 == 0


def test_random_numbers_change_every_coordinate_and_no_result():
    kept = []

    class Kept(Accumulator):
        def affine(self):
            kept.append([self._value(slot) for slot in (curve._X, curve._Y, curve._Z)])
            return super().affine()

    drawn = [bytes(32), b"\xff" * 32, b"\x01" * 32]
    urandom = curve.urandom
    curve.Accumulator = Kept
    try:
        for number in drawn:
            curve.urandom = lambda size, number=number: number[:size]
            assert multiply(2) == TWICE_G
    finally:
        curve.Accumulator = Accumulator
        curve.urandom = urandom
    for i in range(3):
        assert len({coordinates[i] for coordinates in kept}) == len(drawn)


def test_coordinates_and_digits_are_wiped_even_when_it_fails():
    kept = []

    class Failing(Accumulator):
        def affine(self):
            kept.append(self)
            raise OSError

    curve.Accumulator = Failing
    try:
        raises(OSError, multiply, 12345)
    finally:
        curve.Accumulator = Accumulator
    assert not any(kept[0].slots)
    assert not any(kept[0]._number)


def test_coordinates_and_digits_are_wiped_when_a_caller_stops_early():
    kept = []

    class Kept(Accumulator):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            kept.append(self)

    for stop in (lambda steps: steps.close(), lambda steps: raises(OSError, steps.throw, OSError)):
        curve.Accumulator = Kept
        try:
            steps = CURVE.multiply_steps(12345)
            for _ in range(5):
                next(steps)
        finally:
            curve.Accumulator = Accumulator
        assert any(kept[-1].slots)
        stop(steps)
        assert not any(kept[-1].slots)
        assert not any(kept[-1]._number)
    assert len(kept) == 2
