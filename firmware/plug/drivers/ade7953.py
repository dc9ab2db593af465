"""ADE7953 metering IC over I2C, voltage channel and current channel A. Page and table numbers: data sheet rev. C, where not said otherwise."""

from micropython import const

from plug.drivers.counter import CheckedCounter
from plug.errors import MeterError

FIELDS = ("voltage_mv", "current_ma", "power_mw", "frequency_mhz")
RATE_HZ = 100
BILLING = True
OVER_CURRENT_PIN = True
BUS = "i2c"
START_UP_MS = 100  # page 18
PHASE_AND_OFFSET = True  # has registers that correct them

_ADDRESS = const(0x38)

# Registers; the upper byte of the address tells the width.
_DISNOLOAD = const(0x001)
_LCYCMODE = const(0x004)
_PGA_V = const(0x007)
_PGA_IA = const(0x008)
_WRITE_PROTECT = const(0x040)
_UNLOCK = const(0x0FE)
_CONFIG = const(0x102)
_PHCALA = const(0x108)
_PERIOD = const(0x10E)
_TIMING = const(0x120)
_ACCMODE = const(0x301)
_AP_NOLOAD = const(0x303)
_AWATT = const(0x312)
_IRMSA = const(0x31A)
_VRMS = const(0x31C)
_AENERGYA = const(0x31E)
_OILVL = const(0x325)
_IAPEAK = const(0x328)
_RSTIAPEAK = const(0x329)
_IRQENA = const(0x32C)
_IRQSTATA = const(0x32D)
_RSTIRQSTATA = const(0x32E)
_CRC = const(0x37F)
_AIGAIN = const(0x380)
_AVGAIN = const(0x381)
_AWGAIN = const(0x382)
_AWATTOS = const(0x389)
_VERSION = const(0x702)

_CONFIG_VALUE = const(0x0104)  # high-pass filters on, CRC on; COMM_LOCK cleared, so that the bus stays I2C (pages 51, 59)
_LCYCMODE_VALUE = const(0x00)  # RSTREAD cleared: reading does not clear the energy; a chip reset sets it again (table 17)
_OVER_CURRENT = const(1 << 13)  # OIA in IRQENA and IRQSTATA (table 22)
_PGA_CODES = {1: 0, 2: 1, 4: 2, 8: 3, 16: 4}  # table 6
_UNITY_GAIN = const(0x400000)
_PPM = const(1_000_000)
# The no-load threshold may change only while its detection is off (page 40); the key must come right before _TIMING (page 18).
_PREPARATION = ((_WRITE_PROTECT, 0), (_DISNOLOAD, 1), (_ACCMODE, 0), (_UNLOCK, 0xAD))

_RMS_FULL_SCALE = const(9_032_007)  # page 23
_RMS_LIMIT = const(9_900_000)  # more cannot come from the inputs, gains included
_POWER_FULL_SCALE = const(4_862_401)  # page 24
# Of the waveforms that peak and over-current detection look at, about: full-scale rms and power together give 6.39 million.
_PEAK_FULL_SCALE = const(6_500_000)
_OFFSET_LSB = const(512)  # AWATTOS steps in one of AWATT (rev. B, page 35)
_PHASE_HZ = const(893_850)  # PHCALA steps in a second
_PHASE_SIGN = const(0x200)  # sign and magnitude (rev. B, page 60)
_PERIOD_MHZ = const(223_750_000)

_ATTEMPTS = const(3)
_BETWEEN_MS = const(2)  # the most that passes between two readings in a row
_ENERGY_INTERVAL_MS = const(100)


class ADE7953:
    """The IC on `bus` (a machine.I2C), read with the constants `scale` (METER of the board module) and a Calibration.

    The caller has waited START_UP_MS since power came. start(), sample() and take_over_current() raise MeterError when the IC does not
    answer or answers nonsense; each may be called again. sample() configures the IC again when it was reset, which takes some 15 ms.
    """

    BILLING = BILLING

    def __init__(self, bus, scale, calibration):
        self._bus = bus
        self._scale = scale
        self._calibration = calibration
        max_counts_per_s = scale["max_power_mw"] * scale["energy_mwh_denominator"] // (scale["energy_mwh_numerator"] * 3600)
        self._counter = CheckedCounter(24, max_counts_per_s)
        self._most_between = max_counts_per_s * _BETWEEN_MS // 1000 + 1
        self._slots = max(1, _ENERGY_INTERVAL_MS // scale["sample_interval_ms"])
        self._slot = 0
        self._is_configured = False
        self._crc = None
        self.version = None
        self.voltage_mv = self.current_ma = self.power_mw = self.frequency_mhz = None
        self.failures = 0
        self.is_live = False

    @property
    def discarded(self):
        """How many readings or intervals of the energy were not booked."""
        return self._counter.discarded

    def start(self):
        """Configure the IC and check what it holds; no waiting. Raises MeterError."""
        self._counter.restart()
        self.version = None
        self._check_version()
        self._configure()

    def sample(self, now_ms):
        """Take one reading; `now_ms` is a monotone clock. Current every time, the others in turn, each ten times a second. Raises MeterError."""
        try:
            if not self._is_configured:
                self._configure()  # its checksum and its filters need a moment
                return
            self._sample(now_ms)
        except MeterError:
            self.is_live = False
            self._slot = 0  # the next reading begins with the check that it is still the IC as configured
            raise
        self.is_live = True

    def take_counts(self):
        """Return the signed energy counts booked since the last call; see CheckedCounter.take()."""
        return self._counter.take()

    def take_over_current(self):
        """Return the peak current in mA when the IC's over-current detection has fired, and clear it, else None. Raises MeterError."""
        if not self._read_unsigned(_IRQSTATA) & _OVER_CURRENT:
            return None
        peak_ma = self._read_unsigned(_IAPEAK) * self._scale["full_scale_peak_ma"] // _PEAK_FULL_SCALE
        try:
            self._read_unsigned(_RSTIAPEAK)  # first: the peak of what fires from here on must be in it
            self._read_unsigned(_RSTIRQSTATA)
        except MeterError:
            pass  # it fired: that must not get lost; the next call reports it again
        return peak_ma

    def _sample(self, now_ms):
        slot, slots, scale = self._slot, self._slots, self._scale
        if slot == 0:
            self._read_energy(now_ms)
        self.current_ma = self._read_rms(_IRMSA) * scale["full_scale_ma"] // _RMS_FULL_SCALE
        if slot & 1 or slots == 1:
            self.voltage_mv = self._read_rms(_VRMS) * scale["full_scale_mv"] // _RMS_FULL_SCALE
        if slot == 2 % slots:
            self.power_mw = self._read_signed(_AWATT) * scale["full_scale_mw"] // _POWER_FULL_SCALE
        if slot == 4 % slots:
            self._read_frequency()
        if slot == 6 % slots:
            self._check_version()
        self._slot = (slot + 1) % slots

    def _read_energy(self, now_ms):
        """Hand the energy register to the counter, if two readings agree and the IC still is as we configured it."""
        for _ in range(_ATTEMPTS):
            first = self._read_signed(_AENERGYA)
            energy = self._read_signed(_AENERGYA)
            if abs(((energy - first + 0x800000) & 0xFFFFFF) - 0x800000) <= self._most_between:
                break
        else:
            self.failures += 1
            raise MeterError("the metering IC's energy register reads differently each time; check the I2C wiring")
        # Looked at after the energy: if all is still ours, so was the energy register. One wrong reading is not yet a reset.
        if self._is_ours() or self._is_ours():
            self._counter.read(energy & 0xFFFFFF, now_ms)
        else:
            self._counter.discard()
            self._configure()

    def _is_ours(self):
        """Tell whether the IC still holds our configuration. The checksum is its own: the first after a configuration is the one to keep."""
        if self._read(_LCYCMODE, 1)[0] != _LCYCMODE_VALUE:
            return False
        crc = self._read(_CRC, 4)
        if self._crc is None and crc == self._read(_CRC, 4):
            self._crc = crc
        return crc == self._crc

    def _read_frequency(self):
        """Take the line frequency; None while there is no voltage to measure it by, or it is none of a mains."""
        frequency_mhz = _PERIOD_MHZ // (int.from_bytes(self._read(_PERIOD, 2), "big") + 1)
        has_voltage = self.voltage_mv is not None and self.voltage_mv * 10 > self._scale["rated_voltage_mv"]
        self.frequency_mhz = frequency_mhz if has_voltage and 40_000 <= frequency_mhz <= 70_000 else None

    def _check_version(self):
        """The silicon version is not documented, but is neither what an idle bus reads nor does it change."""
        for _ in range(_ATTEMPTS):
            version = self._read(_VERSION, 1)[0]
            if version not in (0x00, 0xFF) and self.version in (None, version):
                self.version = version
                return
            self.failures += 1
        self._is_configured = False
        self._counter.discard()
        raise MeterError(f"the metering IC reports version {version}, before it was {self.version}; is it an ADE7953? Check the I2C wiring")

    def _configure(self):
        """Write the configuration, then compare all of it."""
        self._is_configured = False
        self._crc = None
        settings = self._settings()
        for register, value in _PREPARATION + settings:
            self._write(register, value)
        for register, value in settings:
            width = _width(register)
            found = int.from_bytes(self._read(register, width), "big")
            if found != value & ((1 << (8 * width)) - 1):
                self.failures += 1
                raise MeterError(f"register 0x{register:03x} of the metering IC holds 0x{found:x}, written was 0x{value:x}; is it an ADE7953?")
        self._read_unsigned(_RSTIRQSTATA)  # a reset pulls the interrupt pin too
        self._read_unsigned(_RSTIAPEAK)
        self._is_configured = True
        self._slot = 1 % self._slots  # the energy comes last: the checksum is then the new one

    def _settings(self):
        """Return (register, value) of the whole configuration."""
        scale, calibration = self._scale, self._calibration
        voltage_ppm, current_ppm = _PPM + calibration.voltage_gain_ppm, _PPM + calibration.current_gain_ppm
        # Power is measured behind the gains of voltage and current.
        power_gain = _UNITY_GAIN * (_PPM + calibration.power_gain_ppm) * _PPM // (voltage_ppm * current_ppm)
        steps = calibration.phase_ns * _PHASE_HZ // _PPM // 1000
        peak_ma = scale.get("over_current_ma")
        return (
            (_TIMING, 0x0030),
            (_CONFIG, _CONFIG_VALUE),
            (_PGA_V, _PGA_CODES[scale["pga_voltage"]]),
            (_PGA_IA, _PGA_CODES[scale["pga_current"]]),
            (_PHCALA, steps if steps >= 0 else _PHASE_SIGN - steps),
            (_AIGAIN, _UNITY_GAIN * current_ppm // _PPM),
            (_AVGAIN, _UNITY_GAIN * voltage_ppm // _PPM),
            (_AWGAIN, power_gain),
            (_AWATTOS, calibration.power_offset_mw * _POWER_FULL_SCALE * _OFFSET_LSB // scale["full_scale_mw"]),
            (_OILVL, 0xFFFFFF if peak_ma is None else peak_ma * _PEAK_FULL_SCALE // scale["full_scale_peak_ma"]),
            (_IRQENA, 0 if peak_ma is None else _OVER_CURRENT),
            (_AP_NOLOAD, 65536 - scale["no_load_ratio"] * 5 // 7),  # equation 39: 65536 - Y / 1.4
            (_DISNOLOAD, 0),
            (_LCYCMODE, _LCYCMODE_VALUE),  # after the others: a reset half-way is then seen in it
            (_WRITE_PROTECT, 0x07),
        )

    def _read_rms(self, register):
        value = self._read_unsigned(register)
        if value > _RMS_LIMIT:
            self.failures += 1
            raise MeterError(f"register 0x{register:03x} of the metering IC reads {value}, more than its inputs give; check the I2C wiring")
        return value

    def _read_unsigned(self, register):
        """Return a 24-bit register, read with 32 bits: the upper 8 are then zero (page 60), which shows some faults of the bus."""
        for _ in range(_ATTEMPTS):
            data = self._read(register, 4)
            if data[0] == 0:
                return data[1] << 16 | data[2] << 8 | data[3]
            self.failures += 1
        raise MeterError(f"register 0x{register:03x} of the metering IC reads more than 24 bits; check the I2C wiring")

    def _read_signed(self, register):
        """Return a signed 24-bit register, of the 32 bits that are read (page 60)."""
        data = self._read(register, 4)
        value = data[1] << 16 | data[2] << 8 | data[3]
        return value - 0x1000000 if value & 0x800000 else value

    def _read(self, register, width):
        return self._transfer(self._bus.readfrom_mem, register, width)

    def _write(self, register, value):
        width = _width(register)
        self._transfer(self._bus.writeto_mem, register, (value & ((1 << (8 * width)) - 1)).to_bytes(width, "big"))

    def _transfer(self, transfer, register, argument):
        """Call `transfer` up to three times; raise MeterError when the IC acknowledges none."""
        for attempt in range(_ATTEMPTS):
            try:
                return transfer(_ADDRESS, register, argument, addrsize=16)
            except OSError as error:
                self.failures += 1
                if attempt == _ATTEMPTS - 1:
                    raise MeterError(f"the metering IC does not answer (register 0x{register:03x}: {error}); check its supply and the I2C wiring")


def _width(register):
    """Return the width of a register in bytes: 1 to 4 at 0x0xx to 0x3xx (page 60)."""
    return (register >> 8) + 1
