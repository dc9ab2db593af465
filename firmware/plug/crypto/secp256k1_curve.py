"""The curve secp256k1 (SEC 2, version 2, section 2.4.1) with its endomorphism (Gallant, Lambert and Vanstone, 2001)."""

from plug.crypto.arithmetic import Curve
from plug.crypto.table import Table

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

# (BETA * x, y) is LAMBDA * (x, y); both are cube roots of one. (A1, B1) and (A2, B2) are short vectors (a, b) with a + b * LAMBDA = 0 modulo N.
LAMBDA = 0x5363AD4CC05C30E0A5261C028812645A122E22EA20816678DF02967C1B23BD72
BETA = 0x7AE96A2B657C07106E64479EAC3434E99CF0497512F58995C1396C28719501EE
_A1 = 0x3086D221A7D46BCDE86C90E49284EB15
_B1 = -0xE4437ED6010E88286F547FA90ABFE4C3
_A2 = 0x114CA50F7A8E2F3F657C1108D9D44CFD8
_B2 = _A1
_HALF_N = N >> 1


def split(scalar):
    """Two parts (k, negative) of `scalar` = k1 + k2 * LAMBDA modulo N, each k below 2^128: at most half the sums of the vectors' coordinates."""
    c1 = (_B2 * scalar + _HALF_N) // N
    c2 = (-_B1 * scalar + _HALF_N) // N
    k1 = scalar - c1 * _A1 - c2 * _A2
    k2 = -c1 * _B1 - c2 * _B2
    return (abs(k1), k1 < 0), (abs(k2), k2 < 0)


_TABLE = Table("secp256k1_table.bin", "50565990d057f3aa65ebfd5b6ee584d4a5b22376c217317dd9fe1d81a6feaca2")
CURVE = Curve(P, (977, 64, 0, 0, 0), False, 0, 7, N, _TABLE, split, BETA)
