# needs: sim
# board: socket_16a_se
"""The signer with the simulated chip: what it signs, which chip it refuses, and how a blank one is set up."""

import asyncio
import os

from clock import world
from plug import set_up_element
from plug.crypto import p256
from plug.crypto.keccak import keccak256
from plug.drivers.atecc608b import crc16
from plug.errors import KeystoreError, SecureElementError
from plug.signing.element_setup import open_chip
from plug.signing.secure_element import SecureElementSigner
from run_in_micropython import raises

DIGEST = bytes(range(32))
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
OTHER = "0123ffffffffffffee"


def chip(serial="0123a1b2c3d4e5f6ee", is_set_up=True):
    """Put another chip on the board, or the same one after a power cut; return its model."""
    world._settings["secure_element"].update(serial=serial, is_set_up=is_set_up)
    world._signer_bus = None
    return world.signer_bus.chip


def sign(signer):
    return asyncio.run(signer.sign(DIGEST))


def forget(serial):
    """Let nobody have used that chip before."""
    name = f"atecc608b-{serial}.json"
    if name in os.listdir():
        os.remove(name)


def test_it_signs_low_s_with_the_key_that_its_id_commits_to():
    chip()
    signer = SecureElementSigner.create(bytes(32))
    assert signer.address == keccak256(b"P256" + signer.public_key)[12:]
    for _ in range(6):  # of which half would be high
        signature = sign(signer)
        assert len(signature) == 128
        assert signature[64:] == signer.public_key
        assert int.from_bytes(signature[32:64], "big") <= N // 2
        assert p256.verify(signer.public_key, DIGEST, signature[:64])


def test_the_key_outlives_a_power_cut():
    chip()
    signer = SecureElementSigner.create(bytes(32))
    chip()
    again = SecureElementSigner(signer.material)
    assert (again.address, again.public_key) == (signer.address, signer.public_key)
    assert p256.verify(signer.public_key, DIGEST, sign(again)[:64])


def test_a_successor_is_made_beside_the_key_that_still_signs():
    chip()
    first = SecureElementSigner.create(bytes(32))
    second = first.successor(bytes(32))
    assert first.material[0] != second.material[0]
    assert first.address != second.address
    for signer in (first, second):
        assert p256.verify(signer.public_key, DIGEST, sign(signer)[:64])
    third = second.successor(bytes(32))
    assert third.material[0] == first.material[0]
    assert "another key" in str(raises(SecureElementError, SecureElementSigner, first.material))


def test_a_locked_chip_draws_random_numbers():
    chip()
    draws = {asyncio.run(open_chip().random()) for _ in range(5)}
    assert len(draws) == 5
    assert all(len(draw) == 32 for draw in draws)


def test_another_chip_is_refused():
    chip()
    signer = SecureElementSigner.create(bytes(32))
    forget(OTHER)
    chip(OTHER)
    assert "this plug's key is in chip 0123a1b2c3d4e5f6ee" in str(raises(SecureElementError, SecureElementSigner, signer.material))


def test_an_unlocked_chip_is_refused():
    chip()
    signer = SecureElementSigner.create(bytes(32))
    for place in (86, 87):
        memory = chip().memory
        memory.config[place] = 0x55
        for attempt in (lambda: SecureElementSigner(signer.material), lambda: SecureElementSigner.create(bytes(32))):
            assert "is not locked" in str(raises(SecureElementError, attempt))


def test_other_settings_are_refused():
    for place, value in ((20, 0x80), (21, 0x60), (22, 0x85), (96, 0x17), (98, 0x11)):
        chip().memory.config[place] = value
        assert "other settings" in str(raises(SecureElementError, SecureElementSigner.create, bytes(32)))


def test_no_chip_or_no_atecc608_is_refused():
    chip().absent = True
    assert "does not wake" in str(raises(SecureElementError, SecureElementSigner.create, bytes(32)))
    chip().memory.config[6] = 0x50
    assert "no ATECC608" in str(raises(SecureElementError, SecureElementSigner.create, bytes(32)))


def test_a_material_that_names_no_key_is_refused():
    for material in (b"", bytes(73), bytes(75), b"\x02" + bytes(73)):
        raises(KeystoreError, SecureElementSigner, material)


def test_it_signs_over_a_bus_that_flips_bits_and_does_not_answer():
    chip()
    signer = SecureElementSigner.create(bytes(32))
    bus = world.signer_bus
    for failing in range(9):
        bus.failing_transfers = failing % 4
        assert p256.verify(signer.public_key, DIGEST, sign(signer)[:64])
    bus.failing_transfers = 0
    bus.faults.flip_ppm = 1_000  # of some 300 bytes a signature
    signed = refused = 0
    for _ in range(30):
        try:
            assert p256.verify(signer.public_key, DIGEST, sign(signer)[:64])
            signed += 1
        except SecureElementError:
            refused += 1
    assert signed > 2 * refused
    assert signer._chip.retries
    bus.faults.flip_ppm = 0


def test_a_stuck_bus_is_no_answer_and_a_slow_one_takes_its_time():
    chip()
    signer = SecureElementSigner.create(bytes(32))
    faults = world.signer_bus.faults
    for stuck in (0x00, 0xFF, 0x04, 0x11):
        faults.stuck = stuck
        assert "answer is damaged" in str(raises(SecureElementError, sign, signer))
    faults.stuck = None
    faults.slow_us = 3_000
    before_us = world.now_us
    assert p256.verify(signer.public_key, DIGEST, sign(signer)[:64])
    assert world.now_us - before_us > 10 * faults.slow_us
    faults.slow_us = 0


def test_a_chip_that_is_far_too_slow_is_given_up_and_comes_back():
    model = chip()
    signer = SecureElementSigner.create(bytes(32))
    model.slower = 15
    raises(SecureElementError, sign, signer)
    model.slower = 1
    assert p256.verify(signer.public_key, DIGEST, sign(signer)[:64])


def test_a_chip_that_a_restart_left_in_the_middle_of_something_is_waited_for():
    model = chip()
    signer = SecureElementSigner.create(bytes(32))
    model.wake(100_000, world.now_us)
    model.slower = 12
    model._take(b"\x07\x40\x00\x00\x00" + crc16(b"\x07\x40\x00\x00\x00"), world.now_us + 2_000)  # for 900 ms
    model.slower = 1
    assert p256.verify(signer.public_key, DIGEST, sign(signer)[:64])


def test_a_blank_chip_is_set_up_once():
    serial = "0123aaaaaaaaaaaaee"
    forget(serial)
    memory = chip(serial, is_set_up=False).memory
    assert "not locked" in str(raises(SecureElementError, SecureElementSigner.create, bytes(32)))
    shown = []
    set_up_element.run("lock it for ever", shown.append)
    assert shown == [f"chip {serial} is set up and locked"]
    assert memory.config[86:88] == b"\0\0"
    chip(serial, is_set_up=False)
    signer = SecureElementSigner.create(bytes(32))
    assert p256.verify(signer.public_key, DIGEST, sign(signer)[:64])
    set_up_element.run("lock it for ever", shown.append)  # nothing is left to do
    assert sign(SecureElementSigner(signer.material))


def test_nothing_is_locked_without_consent_or_with_settings_that_were_not_written():
    serial = "0123bbbbbbbbbbbbee"
    forget(serial)
    model = chip(serial, is_set_up=False)
    for consent in ("", "yes", True):
        assert "cannot be undone" in str(raises(SecureElementError, set_up_element.run, consent))
    assert model.executed == 0
    write = model._write
    model._write = lambda mode, parameter, data: b"\0"  # its EEPROM takes nothing
    assert "nothing is locked" in str(raises(SecureElementError, set_up_element.run, "lock it for ever"))
    assert model.memory.config[86:88] == b"\x55\x55"
    model._write = write
    set_up_element.run("lock it for ever", lambda text: None)
    assert model.memory.config[86:88] == b"\0\0"


def test_setting_up_goes_on_after_a_power_cut_between_the_locks():
    serial = "0123ccccccccccccee"
    forget(serial)
    model = chip(serial, is_set_up=False)
    lock = model._lock

    def fail(mode, parameter, data):
        if mode & 1:
            model.absent = True
            return b"\0"
        return lock(mode, parameter, data)

    model._lock = fail
    raises(SecureElementError, set_up_element.run, "lock it for ever")
    assert model.memory.config[86:88] == b"\x55\x00"
    memory = chip(serial, is_set_up=False).memory
    set_up_element.run("lock it for ever", lambda text: None)
    assert memory.config[86:88] == b"\0\0"


def test_a_chip_that_somebody_locked_half_with_other_settings_is_left_alone():
    serial = "0123ddddddddddddee"
    forget(serial)
    memory = chip(serial, is_set_up=False).memory
    memory.config[87] = 0
    assert "replace it" in str(raises(SecureElementError, set_up_element.run, "lock it for ever"))
    assert memory.config[86] == 0x55
