"""Print the setting `cpu_scale` with which one instruction of the i386 port costs 7 ns: `micropython firmware/sim/calibrate.py`.

The loop below takes INSTRUCTIONS on micropython-x86: see docs/simulator.md on how that was counted. On another port it stands for the same work.
"""

import sys

import cpu

INSTRUCTIONS = 442_600_000
NS_PER_INSTRUCTION = 7
_ROUNDS, _TRIES = 200_000, 7


def work(rounds):
    """Do what firmware does most: small integers, a buffer, calls."""
    buffer = bytearray(64)
    value = 1
    for i in range(rounds):
        value = value * 5 + i & 0xFFFF
        buffer[i & 63] = value & 0xFF
        value ^= len(buffer) + buffer[value & 63]
    return value


def measure():
    """Return the scale: the fastest of a few runs counts."""
    fastest_ns = None
    for _ in range(_TRIES):
        began_ns = cpu.now_ns()
        work(_ROUNDS)
        elapsed_ns = cpu.now_ns() - began_ns
        fastest_ns = elapsed_ns if fastest_ns is None else min(fastest_ns, elapsed_ns)
    return INSTRUCTIONS * NS_PER_INSTRUCTION / fastest_ns


if __name__ == "__main__":
    sys.stdout.write(f"{measure():.2f}\n")
