"""Write plug/crypto/secp256k1_table.txt and p256_table.txt, the multiples of the base points that the firmware's comb adds up.

python firmware/generate_comb_tables.py [--check]

The comb (Lim and Lee, 1994; signed digits as in Hamburg, 2012) reads a scalar as 8 teeth of 32 bits, each bit standing for +1 or -1.
Line j, x and then y, 32 little-endian bytes each in hex, is the sum of +-2^(32 * i) * G over the teeth i = 0..7, where bit i of j gives the
sign (1 is plus) and tooth 7 is always plus.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "python firmware/generate_comb_tables.py"
TEETH = 8
COLUMNS = 32

Point = tuple[int, int]


@dataclass(frozen=True)
class Curve:
    """y^2 = x^3 + a * x + b modulo p with a base point; the firmware keeps a coordinate times `factor`."""

    target: str
    p: int
    a: int
    base: Point
    factor: int

    def add(self, left: Point, right: Point) -> Point:
        """The sum of two points, neither the point at infinity nor each other's negative."""
        (x1, y1), (x2, y2) = left, right
        slope = (3 * x1 * x1 + self.a) * pow(2 * y1, -1, self.p) if left == right else (y2 - y1) * pow(x2 - x1, -1, self.p)
        x = (slope * slope - x1 - x2) % self.p
        return x, (slope * (x1 - x) - y1) % self.p

    def comb(self) -> list[Point]:
        """The table's 128 points."""
        teeth = [self.base]
        for _ in range(TEETH - 1):
            point = teeth[-1]
            for _ in range(COLUMNS):
                point = self.add(point, point)
            teeth.append(point)
        points = [teeth.pop()]
        for x, y in teeth:
            points = [self.add(point, (x, self.p - y)) for point in points] + [self.add(point, (x, y)) for point in points]
        return points


P_256 = 2**256 - 2**224 + 2**192 + 2**96 - 1
CURVES = (
    Curve(  # SEC 2, version 2, section 2.4.1
        "firmware/plug/crypto/secp256k1_table.txt",
        2**256 - 2**32 - 977,
        0,
        (
            0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
            0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
        ),
        1,
    ),
    Curve(  # SP 800-186, section 3.2.1.3
        "firmware/plug/crypto/p256_table.txt",
        P_256,
        -3,
        (
            0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
            0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
        ),
        2**260 % P_256,
    ),
)


def render() -> dict[str, str]:
    """The text of each generated file by its path from the repository's root."""
    result = {}
    for curve in CURVES:
        points = [[coordinate * curve.factor % curve.p for coordinate in point] for point in curve.comb()]
        result[curve.target] = "".join(f"{x.to_bytes(32, 'little').hex()}{y.to_bytes(32, 'little').hex()}\n" for x, y in points)
    return result


def main() -> int:
    """Write the files, or with --check compare them; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the file is stale")
    check = parser.parse_args().check
    for path, text in render().items():
        if not check:
            (ROOT / path).write_text(text)
        elif (ROOT / path).read_text() != text:
            sys.stderr.write(f"{path} is stale; run: {COMMAND}\n")
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
