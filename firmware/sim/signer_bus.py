"""The secure element on its own I2C bus, and the faults of that bus."""

from binascii import unhexlify

from atecc608b_model import ADDRESS, ATECC608BModel
from bus import BusFaults

_ENODEV = 19


class SignerBus:
    """The wires between processor and chip: `faults` as on the metering bus, `failing_transfers` go unanswered from now on."""

    def __init__(self, settings, world):
        self.faults = BusFaults(settings["seed"] + 1)
        self.failing_transfers = 0
        self.chip = ATECC608BModel(unhexlify(settings["secure_element"]["serial"]), settings["secure_element"]["is_set_up"])
        self._world = world

    def transfer(self, freq, addr, sent, nbytes):
        """Send the address and bytes unless these are None, then receive bytes unless there are 0. Raises OSError 19 without an answer."""
        now_us = self._world.now_us
        if self.failing_transfers:
            self.failing_transfers -= 1
            raise OSError(_ENODEV, "ENODEV")
        if self.faults.stuck is not None:  # the master hears no complaint, and the chip nothing
            return bytes([self.faults.stuck]) * nbytes
        if addr == 0:
            self.chip.wake(freq, now_us)
        if addr != ADDRESS or not self.chip.is_listening(now_us):
            raise OSError(_ENODEV, "ENODEV")
        if sent is not None:
            self.chip.write(self.faults.pass_on(sent), now_us)
        return self.faults.pass_on(self.chip.read(nbytes)) if nbytes else b""
