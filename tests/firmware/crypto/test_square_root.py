"""Square roots modulo the prime of secp256k1."""

from plug.crypto import curve
from plug.crypto.keccak import keccak256
from plug.crypto.secp256k1_curve import CURVE, P
from plug.crypto.square_root import square_root_steps
from plug.crypto.steps import finish


def square_root(value):
    return finish(square_root_steps(CURVE, value))


def test_square_roots():
    roots = 0
    for i in range(60):
        number = i if i < 20 else int.from_bytes(keccak256(bytes(i)), "big") % P
        assert square_root(number * number % P) in (number, P - number)
        other = square_root(number)
        roots += other is not None
        assert other is None or other * other % P == number
    assert 10 < roots < 50  # about half of all numbers have one


def test_one_given_up_gives_its_slots_back():
    area = curve._areas[0]
    steps = square_root_steps(CURVE, 4)
    next(steps)
    assert not curve._areas
    steps.close()
    assert curve._areas == [area]
