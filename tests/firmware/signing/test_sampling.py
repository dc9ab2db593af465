# needs: sim
# board: socket_16a_se
"""Sampling goes on while the chip signs, also over a bad bus; transfers take the time of their bits here."""

import asyncio
import json
import os

with open("sim.json", "w") as file:
    json.dump({"bus_time": True}, file)
os.putenv("WATTSEAL_SIM", "sim.json")

from clock import world
from plug import board
from plug.crypto import p256
from plug.metering.calibration import Calibration
from plug.metering.meter import open_meter
from plug.signing.secure_element import SecureElementSigner

INTERVAL_MS = board.METER["sample_interval_ms"]
LONGEST_MS = 20  # a sample's interval, one transfer to the chip, the sample itself
DIGEST = bytes(range(32))


def longest_gap(signer, signatures):
    """Return the longest time between two samples while so many signatures are made."""
    gaps = []
    meter, driver = open_meter(Calibration())

    async def sample():
        await asyncio.sleep_ms(driver.START_UP_MS)
        meter.start()
        last_us = world.now_us
        while True:
            await asyncio.sleep_ms(INTERVAL_MS)
            meter.sample(world.now_ms)
            gaps.append(world.now_us - last_us)
            last_us = world.now_us

    async def both():
        task = asyncio.create_task(sample())
        await asyncio.sleep_ms(500)
        gaps.clear()
        for _ in range(signatures):
            assert p256.verify(signer.public_key, DIGEST, (await signer.sign(DIGEST))[:64])
        task.cancel()

    asyncio.run(both())
    assert meter.is_live
    assert len(gaps) > 8 * signatures
    return max(gaps) / 1000


def test_sampling_goes_on_while_the_chip_signs():
    signer = SecureElementSigner.create(bytes(32))
    assert longest_gap(signer, 10) < LONGEST_MS


def test_sampling_goes_on_while_the_chip_fails():
    signer = SecureElementSigner.create(bytes(32))
    world.signer_bus.failing_transfers = 4
    assert longest_gap(signer, 3) < LONGEST_MS
    assert signer._chip.retries
