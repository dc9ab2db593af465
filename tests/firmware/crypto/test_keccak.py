"""Keccak-256 against published digests and tests/vectors/keccak256.txt."""

import os
from binascii import hexlify

from plug.crypto.keccak import keccak256
from run_in_micropython import raises


def test_published_digests():
    assert hexlify(keccak256(b"")) == b"c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert hexlify(keccak256(b"abc")) == b"4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"


def test_every_length_up_to_300_bytes():
    data = bytes(i & 0xFF for i in range(300))
    length = 0
    with open(os.getenv("TEST_VECTORS") + "/keccak256.txt") as vectors:
        for line in vectors:
            assert hexlify(keccak256(data[:length])).decode() == line.strip(), length
            length += 1
    assert length == 301


def test_argument_is_left_alone():
    data = bytearray(b"\xa5" * 272)
    assert keccak256(data) == keccak256(bytes(data))
    assert data == b"\xa5" * 272


def test_other_types_are_refused():
    for data in ("abc", 5, None, [1], memoryview(b"abc")):
        assert "data" in str(raises(ValueError, keccak256, data))
