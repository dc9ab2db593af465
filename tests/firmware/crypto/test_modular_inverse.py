"""Inverses modulo the two primes of secp256k1."""

from plug.crypto import modular_inverse
from plug.crypto.keccak import keccak256
from plug.crypto.modular_inverse import inverse
from plug.crypto.secp256k1_curve import N, P
from run_in_micropython import raises


def test_product_with_the_inverse_is_one():
    for modulus in (P, N):
        for i in range(1, 60):
            for value in (i, modulus - i, 1 << 4 * i, int.from_bytes(keccak256(bytes(i)), "big") % modulus):
                found = inverse(value, modulus)
                assert 0 < found < modulus
                assert found * value % modulus == 1, value


def test_zero_has_no_inverse():
    assert inverse(0, P) == 0


def test_limbs_are_wiped_even_when_it_fails():
    kept = []

    def fail(slots, modulus_inverse):
        kept.append(slots)
        raise OSError

    divide = modular_inverse._divide
    modular_inverse._divide = fail
    try:
        raises(OSError, inverse, 12345, N)
    finally:
        modular_inverse._divide = divide
    assert not any(kept[0])
