"""ADE7953 metering IC over I2C, voltage channel and current channel A. Page and table numbers: datasheet rev. C."""

from time import sleep_ms

from micropython import const

from plug.errors import MeterError

FIELDS = ("voltage_mv", "current_ma", "power_mw", "frequency_mhz")
RATE_HZ = 100
BILLING = True
OVER_CURRENT_PIN = True
BUS = "i2c"
START_UP_MS = 100  # page 18

_ADDRESS = const(0x38)

# Registers; the upper byte of the address tells the width.
_DISNOLOAD = const(0x001)
_LCYCMODE = const(0x004)
_PGA_V = const(0x007)
_PGA_IA = const(0x008)
_WRITE_PROTECT = const(0x040)
_UNLOCK = const(0x0FE)
_CONFIG = const(0x102)
_TIMING = const(0x120)
_AP_NOLOAD = const(0x303)
_AWATT = const(0x312)
_IRMSA = const(0x31A)
_VRMS = const(0x31C)
_AENERGYA = const(0x31E)
_VERSION = const(0x702)

_CONFIG_VALUE = const(0x0004)  # high-pass filters on; COMM_LOCK cleared, so that the bus stays I2C (page 51)
_LCYCMODE_VALUE = const(0x00)  # RSTREAD cleared: reading does not clear the energy; a chip reset sets it again (table 17)
_PGA_CODES = {1: 0, 2: 1, 4: 2, 8: 3, 16: 4, 22: 5}  # table 6

_RMS_FULL_SCALE = const(9032007)  # page 23
_POWER_FULL_SCALE = const(4862401)  # page 24

_START_UP_MS = const(100)  # page 18
_ATTEMPTS = const(3)
_MAX_GAP_MS = const(30_000)  # the energy register may pass half its range in 40.5 s (page 26): then the sign is lost
_JITTER_MS = const(100)  # between the caller's clock and the read itself


def _signed(value):
    """Return a 24-bit two's complement number as int, modulo 2^24."""
    return ((value + 0x800000) & 0xFFFFFF) - 0x800000


class ADE7953:
    """The IC on `i2c` (a machine.I2C), read with the constants `scale` (METER of the board module).

    `version` is the silicon version once started; `discarded` counts the intervals whose energy was not booked.
    Every method that talks to the IC raises MeterError when it does not answer; it may be called again.
    """

    def __init__(self, i2c, scale):
        self._i2c = i2c
        self._scale = scale
        power_count_mj = scale["energy_mwh_numerator"] * 3600  # over the denominator: one count in mJ
        self._max_counts_per_s = scale["max_power_mw"] * scale["energy_mwh_denominator"] // power_count_mj
        self._configured = False
        self._energy = None  # the register at the last reading, None: no reading to compare with
        self._energy_ms = 0
        self.version = None
        self.discarded = 0

    def start(self):
        """Wait for the IC, configure it and check what it holds; blocks for about 110 ms. Raises MeterError."""
        sleep_ms(_START_UP_MS)
        self.version = self._read(_VERSION)
        self._configure()

    def read_counts(self, now_ms):
        """Return the signed energy counts since the previous call; `now_ms` is a monotone clock. Raises MeterError.

        0 at the first call, and wherever the difference cannot be trusted: the IC was reset, the calls are more than
        30 s apart, or it is more than the board's greatest power could add. Never more than was measured.
        """
        energy = self._read_energy()
        # Read after the energy: if it still holds our value, so did the energy register.
        if not self._configured or self._read(_LCYCMODE) != _LCYCMODE_VALUE:
            self.discarded += 1
            self._configure()
            return 0
        previous, elapsed_ms = self._energy, now_ms - self._energy_ms
        self._energy, self._energy_ms = energy, now_ms
        if previous is None:
            return 0
        counts = _signed(energy - previous)
        if elapsed_ms > _MAX_GAP_MS or abs(counts) > self._max_counts(elapsed_ms):
            self.discarded += 1
            return 0
        return counts

    def read_rms(self):
        """Return (voltage in mV, current in mA), rms, rounded down; they lag about half a second. Raises MeterError."""
        voltage_mv = self._read(_VRMS) * self._scale["full_scale_mv"] // _RMS_FULL_SCALE
        return voltage_mv, self._read(_IRMSA) * self._scale["full_scale_ma"] // _RMS_FULL_SCALE

    def read_power(self):
        """Return the active power in mW, rounded down, negative when it flows back into the mains. Raises MeterError."""
        return _signed(self._read(_AWATT)) * self._scale["full_scale_mw"] // _POWER_FULL_SCALE

    def _configure(self):
        """Write the configuration, then compare all of it; forget the last reading."""
        self._configured = False
        self._energy = None
        scale = self._scale
        settings = (
            (_TIMING, 0x0030),
            (_CONFIG, _CONFIG_VALUE),
            (_PGA_V, _PGA_CODES[scale["pga_voltage"]]),
            (_PGA_IA, _PGA_CODES[scale["pga_current"]]),
            (_AP_NOLOAD, 65536 - scale["no_load_ratio"] * 5 // 7),  # equation 39: 65536 - Y / 1.4
            (_DISNOLOAD, 0),
            (_LCYCMODE, _LCYCMODE_VALUE),  # after the others: a reset half-way is then seen in it
            (_WRITE_PROTECT, 0x07),
        )
        # The no-load threshold may change only while its detection is off (page 40); the key must come right before _TIMING (page 18).
        preparation = ((_WRITE_PROTECT, 0), (_DISNOLOAD, 1), (_UNLOCK, 0xAD))
        for register, value in preparation + settings:
            self._write(register, value)
        for register, value in settings:
            found = self._read(register)
            if found != value:
                raise MeterError(f"register 0x{register:03x} of the metering IC holds 0x{found:x}, written was 0x{value:x}; is it an ADE7953?")
        self._configured = True

    def _max_counts(self, elapsed_ms):
        """Return the most counts that the board's greatest power adds in that time."""
        return (elapsed_ms + _JITTER_MS) * self._max_counts_per_s // 1000

    def _read_energy(self):
        """Return the raw energy register. The bus has no checksum, so two readings in a row must agree."""
        for _ in range(_ATTEMPTS):
            first = self._read(_AENERGYA)
            second = self._read(_AENERGYA)
            if abs(_signed(second - first)) <= self._max_counts(0):
                return second
        raise MeterError("the metering IC's energy register reads differently each time; check the I2C wiring")

    def _read(self, register):
        """Return a register as unsigned int; of a 32-bit register the lower 24 bits, which hold all of it (page 60)."""
        width = _width(register)
        return int.from_bytes(self._transfer(self._i2c.readfrom_mem, register, width)[-3:], "big")

    def _write(self, register, value):
        self._transfer(self._i2c.writeto_mem, register, value.to_bytes(_width(register), "big"))

    def _transfer(self, transfer, register, argument):
        """Call `transfer` up to three times; raise MeterError when the IC acknowledges none."""
        for attempt in range(_ATTEMPTS):
            try:
                return transfer(_ADDRESS, register, argument, addrsize=16)
            except OSError as error:
                if attempt == _ATTEMPTS - 1:
                    raise MeterError(f"the metering IC does not answer (register 0x{register:03x}: {error}); check its supply and the I2C wiring")


def _width(register):
    """Return the width of a register in bytes: 1 to 4 at 0x0xx to 0x3xx, 1 at 0x702 (page 60)."""
    return (register >> 8) + 1 if register < 0x400 else 1
