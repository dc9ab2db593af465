"""The combs' files: read point by point, and not at all when damaged."""

from plug.crypto import table
from plug.crypto.secp256k1 import public_key
from plug.crypto.secp256k1_curve import CURVE
from run_in_micropython import raises

ONE = (1).to_bytes(32, "big")


def test_points_are_those_of_the_curve():
    for index in (0, 1, 77, 127):
        point = CURVE.table.point(index)
        x, y = int.from_bytes(point[:32], "little"), int.from_bytes(point[32:], "little")
        assert (x * x * x + 7 - y * y) % CURVE.prime == 0


def test_the_base_point_comes_out():
    assert public_key(ONE)[:4] == b"\x79\xbe\x66\x7e"


def test_another_file_than_the_expected_one_is_refused():
    for digest in ("00" * 32, ""):
        error = raises(ValueError, table.Table, "secp256k1_table.bin", digest)
        assert "secp256k1_table.bin is damaged" in str(error)
    raises(OSError, table.Table, "absent.bin", "")
