"""MicroPython's `machine.I2C` as on the ESP32, with metering IC and secure element on the buses that the settings wire to them."""

import clock

_ENODEV, _ETIMEDOUT = 19, 110
_BUS_TIME = clock.settings["bus_time"]

_world = clock.world


class I2C:
    """A hardware bus; each chip is on the one that the settings wire to it. OSError 19 without an answer, 110 for a bus that hangs."""

    def __init__(self, id=-1, *, scl=None, sda=None, freq=400000, timeout=50000):
        if id not in (0, 1):
            raise ValueError(f"I2C({id}) doesn't exist")
        scl = (18, 25)[id] if scl is None else getattr(scl, "id", scl)
        sda = (19, 26)[id] if sda is None else getattr(sda, "id", sda)
        meter = _world.meter
        self._reaches_meter = _world.is_wired(id, scl, sda) and freq <= meter.MAX_BUS_HZ
        self._address = meter.ADDRESS if self._reaches_meter else None
        self._us_per_byte = 9_000_000 / freq
        self._freq = freq
        self._signer = _world.signer_bus if _world.is_signer_wired(id, scl, sda) else None

    def scan(self):
        """Return the addresses that answer."""
        return [self._address] if self._reaches_meter and _world.meter.is_ready(_world.now_ms) else []

    # A frame of few variables stays off the heap: with one call more, reading a register is several times as fast.

    def readfrom_mem(self, addr, memaddr, nbytes, *, addrsize=8):
        """Return bytes from a register."""
        self._address_bits = addrsize
        return self._read(addr, memaddr, nbytes)

    def readfrom_mem_into(self, addr, memaddr, buf, *, addrsize=8):
        """Fill a buffer from a register."""
        self._address_bits, addrsize = addrsize, len(buf)
        buf[:] = self._read(addr, memaddr, addrsize)

    def writeto_mem(self, addr, memaddr, buf, *, addrsize=8):
        """Write bytes to a register."""
        self._transfer(addr, memaddr.to_bytes(addrsize // 8, "big") + bytes(buf), 0)

    def readfrom(self, addr, nbytes, stop=True):
        """Return bytes from where the last write pointed."""
        return self._transfer(addr, None, nbytes)

    def readfrom_into(self, addr, buf, stop=True):
        """Fill a buffer from where the last write pointed."""
        buf[:] = self._transfer(addr, None, len(buf))

    def writeto(self, addr, buf, stop=True):
        """Write bytes; return how many were acknowledged."""
        self._transfer(addr, bytes(buf), 0)
        return len(buf)

    def _read(self, addr, register, nbytes):
        if self._address_bits == 16 and not _world.bus_faults.is_active:
            return self._read_register(addr, register, nbytes)
        return self._transfer(addr, register.to_bytes(self._address_bits // 8, "big"), nbytes)

    def _read_register(self, addr, register, nbytes):
        """Do what _transfer does, fast, on a bus without faults."""
        if _BUS_TIME:
            self._take_time(nbytes + 4, _world.bus_faults.slow_us)
        self._address_ic(addr)
        _world.settle()
        received = _world.meter.read_at(register, nbytes)
        if _world.late_failures:
            self._fail_late()
        return received

    def _address_ic(self, addr):
        if addr != self._address or not _world.meter.is_ready(_world.now_ms):
            raise OSError(_ENODEV, "ENODEV")
        if _world.failing_transfers:
            _world.failing_transfers -= 1
            raise OSError(_ENODEV, "ENODEV")

    def _fail_late(self):
        _world.late_failures -= 1
        raise OSError(_ETIMEDOUT, "ETIMEDOUT")

    def _transfer(self, addr, sent, nbytes):
        """Send the address and bytes unless these are None, then the address again and receive bytes unless there are 0."""
        faults = _world.bus_faults if self._signer is None else self._signer.faults
        if _BUS_TIME or faults.slow_us:
            self._take_time((0 if sent is None else len(sent) + 1) + (nbytes + 1 if nbytes else 0), faults.slow_us)
        if self._signer is not None:
            return self._signer.transfer(self._freq, addr, sent, nbytes)
        self._address_ic(addr)
        if faults.stuck is not None:  # the master hears no complaint, and the IC nothing
            return bytes([faults.stuck]) * nbytes
        _world.settle()
        try:
            if sent is not None:
                _world.meter.write(faults.pass_on(sent), _world.now_ms)
            received = faults.pass_on(_world.meter.read(nbytes)) if nbytes else b""
        except NotImplementedError:
            if not faults.flip_ppm:
                raise
            received = bytes(nbytes)  # a flipped address led to a register that nobody knows
        if _world.late_failures:  # the IC has done its part, the processor never hears of it
            self._fail_late()
        return received

    def _take_time(self, transferred, slow_us):
        clock.spend_us(slow_us + (round(transferred * self._us_per_byte) if _BUS_TIME else 0))


if clock.settings["cpu_scale"]:
    import cpu

    cpu.charge_class(I2C, ("scan", "readfrom_mem", "readfrom_mem_into", "writeto_mem", "readfrom", "readfrom_into", "writeto"))
