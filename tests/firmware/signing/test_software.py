"""The key in software: where it comes from, and that it signs."""

import asyncio
import os

from plug.crypto import secp256k1
from plug.crypto.secp256k1_curve import N
from plug.errors import KeystoreError
from plug.signing import software
from plug.signing.software import SoftwareSigner
from run_in_micropython import raises

HOSTS = b"\x01" * 32


class FixedOs:
    """What os.urandom gave, one after the other."""

    def __init__(self, *draws):
        self.draws = list(draws)

    def urandom(self, length):
        draw = self.draws.pop(0)
        assert length == len(draw) == 32
        return draw


class Digest:
    def __init__(self, value):
        self.value = value

    def digest(self):
        return self.value


def created(entropy, *draws):
    software.os = FixedOs(*draws)
    try:
        return SoftwareSigner.create(entropy)
    finally:
        software.os = os


def test_both_entropies_matter_and_the_key_is_neither():
    secrets = {created(entropy, draw).material for entropy in (HOSTS, b"\x02" * 32) for draw in (b"\x03" * 32, b"\x04" * 32)}
    assert len(secrets) == 4
    assert not secrets & {HOSTS, b"\x02" * 32, b"\x03" * 32, b"\x04" * 32}
    assert created(HOSTS, b"\x03" * 32).material == created(HOSTS, b"\x03" * 32).material


def test_the_hash_is_the_one_on_the_page():
    from hashlib import sha256

    assert created(HOSTS, b"\x03" * 32).material == sha256(b"Wattseal device key 1" + b"\x03" * 32 + HOSTS).digest()


def test_a_number_that_is_no_key_is_drawn_again():
    hashes = [bytes(32), N.to_bytes(32, "big"), b"\xff" * 32, (N - 1).to_bytes(32, "big")]
    real = software.sha256
    software.sha256 = lambda data: Digest(hashes.pop(0))
    try:
        signer = created(HOSTS, b"\x05" * 32, b"\x06" * 32, b"\x07" * 32, b"\x08" * 32)
    finally:
        software.sha256 = real
    assert int.from_bytes(signer.material, "big") == N - 1
    assert hashes == []


def test_material_that_is_no_key_is_refused_and_not_shown():
    for material in (b"", bytes(32), b"\x11" * 31, b"\x11" * 33, N.to_bytes(32, "big"), b"\xff" * 32):
        text = str(raises(KeystoreError, SoftwareSigner, material))
        assert "erase" in text
        assert "1111" not in text


def test_it_signs_as_the_address_that_it_gives():
    signer = SoftwareSigner(b"\x33" * 32)
    assert signer.public_key == secp256k1.public_key(b"\x33" * 32)
    assert signer.address == secp256k1.address(signer.public_key)
    signature = asyncio.run(signer.sign(b"\x55" * 32))
    assert secp256k1.recover(b"\x55" * 32, signature) == signer.public_key


def test_a_successor_is_another_key_and_the_old_one_stays():
    old = created(HOSTS, b"\x03" * 32)
    before = old.material
    software.os = FixedOs(b"\x09" * 32)
    try:
        new = old.successor(HOSTS)
    finally:
        software.os = os
    assert new.address != old.address
    assert old.material == before
