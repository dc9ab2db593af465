"""Group law of secp256k1: every case of an addition, also where the comb meets one."""

from plug.crypto import secp256k1_point
from plug.crypto.secp256k1_field import P
from plug.crypto.secp256k1_point import Accumulator, N, multiply, multiply_steps
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


def encode(point):
    return point[0].to_bytes(32, "little") + point[1].to_bytes(32, "little")


def total(*terms):
    """The sum of points; each term is (point, negative)."""
    accumulator = Accumulator()
    for point, negative in terms:
        accumulator.add(encode(point), 0, negative)
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
    accumulator = Accumulator()
    accumulator.double()
    assert accumulator.affine() is None
    accumulator.add(encode(G), 0, False)
    accumulator.add(encode(G), 0, True)
    accumulator.double()
    assert accumulator.affine() is None


def test_affine_leaves_a_usable_point():
    accumulator = Accumulator()
    accumulator.add(encode(G), 0, False)
    accumulator.double()
    accumulator.affine()
    accumulator.add(encode(G), 0, True)
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


def test_coordinates_and_digits_are_wiped_even_when_it_fails():
    kept = []

    class Failing(Accumulator):
        def affine(self):
            kept.append(self)
            raise OSError

    secp256k1_point.Accumulator = Failing
    try:
        raises(OSError, multiply, 12345)
    finally:
        secp256k1_point.Accumulator = Accumulator
    assert not any(kept[0]._slots)
    assert not any(kept[0]._number)


def test_coordinates_and_digits_are_wiped_when_a_caller_stops_early():
    kept = []

    class Kept(Accumulator):
        def __init__(self):
            super().__init__()
            kept.append(self)

    for stop in (lambda steps: steps.close(), lambda steps: raises(OSError, steps.throw, OSError)):
        secp256k1_point.Accumulator = Kept
        try:
            steps = multiply_steps(12345)
            for _ in range(5):
                next(steps)
        finally:
            secp256k1_point.Accumulator = Accumulator
        assert any(kept[-1]._slots)
        stop(steps)
        assert not any(kept[-1]._slots)
        assert not any(kept[-1]._number)
    assert len(kept) == 2
