"""What the channels of the metering IC ADE7953 measure: powers, energies, lagging rms values, peaks. Data sheet: Analog Devices ADE7953, rev. B."""

from math import asin, ceil, cos, exp, pi, sin

from meters import Meter

_FULL_SCALE_V = 0.5 / 2**0.5  # sine of 500 mV peak
_FULL_SCALE_RMS = 9032007
_FULL_SCALE_POWER = 4862401
_FULL_SCALE_PEAK = 6_500_000
_FULL_SCALE_COUNTS_PER_S = 206900
_PERIOD_CLOCK_MHZ = 223_750_000  # in mHz
_UNITY_GAIN = 0x400000
_GAINS = (1, 2, 4, 8, 16, 22)
_RMS_TIME_CONSTANT_S = 0.125  # settles to 2 % in the half second of the data sheet
_UNTUNED = 1.01  # our choice: the data sheet says only that 0x120 must be written for the stated accuracy
_PHASE_STEP_S = 1 / 893_850  # of PHCALA; a positive code takes from the lag of the current (Analog Devices on their forum, thread 572580)
_OFFSET_STEPS = 512  # of AWATTOS in one of AWATT
OVER_CURRENT, OVER_VOLTAGE = 1 << 13, 1 << 16  # in the interrupt registers


class Measurement(Meter):
    """The measuring part; `registers` of the configuration belong to it, `configure` must follow their changes."""

    def __init__(self, front_end, frequency_mhz, noise, world):
        ratio = front_end["divider_lower_ohm"] / (front_end["divider_upper_ohm"] + front_end["divider_lower_ohm"])
        self._input_v_per_v = ratio
        self._input_v_per_a = front_end["shunt_uohm"] / 1e6
        self._gain = 1 + front_end["gain_error_ppm"] / 1e6
        self._noise_level = front_end["noise_ppm"] / 1e6
        self._ripple = front_end.get("ripple_ppm", 0) / 1e6
        self._phase_error_s = front_end.get("phase_error_ns", 0) / 1e9
        self._noise = noise
        self._world = world
        self._voltage_rms_v = self._current_rms_a = 0.0
        self._power_w = self._reactive_w = self._apparent_w = 0.0
        self._voltage_v = self._current_a = 0.0
        self.peaks = [0.0, 0.0]  # voltage, current A, in codes
        self.energy = {}
        self.interrupts = 0
        self._expected = None  # (interrupt bit, due_us) of the next over-current or over-voltage
        self._frequency_mhz = frequency_mhz

    def set_frequency(self, frequency_mhz):
        """Take the mains frequency."""
        self._frequency_mhz = frequency_mhz
        self.configure()

    def configure(self):
        """Work out what follows from the registers alone."""
        registers = self.registers
        self.period = _PERIOD_CLOCK_MHZ // self._frequency_mhz - 1
        self._half_period_ms = 500_000 / self._frequency_mhz
        self._full_scale_v = _FULL_SCALE_V / amplification(registers[0x007], 5) / self._input_v_per_v
        self._full_scale_a = _FULL_SCALE_V / amplification(registers[0x008], 6) / self._input_v_per_a
        self._full_scale_w = full_scale_w = self._full_scale_v * self._full_scale_a
        gain = self._gain * registers[0x280] * registers[0x281] / float(_UNITY_GAIN) ** 2
        if registers[0x120] != 0x0030:
            gain *= _UNTUNED
        self._power_gain = gain * registers[0x282] / _UNITY_GAIN
        self._reactive_gain = gain * registers[0x283] / _UNITY_GAIN
        self._apparent_gain = gain * registers[0x284] / _UNITY_GAIN
        self._current_gain = self._gain * registers[0x280] / _UNITY_GAIN
        self._voltage_gain = registers[0x281] / _UNITY_GAIN
        self._offset_w = _signed(registers[0x289]) / _OFFSET_STEPS * full_scale_w / _FULL_SCALE_POWER
        self._counts_per_j = _FULL_SCALE_COUNTS_PER_S / full_scale_w
        code = registers[0x108] & 0x1FF
        shift_s = self._phase_error_s + (-code if registers[0x108] & 0x200 else code) * _PHASE_STEP_S
        shift = 2 * pi * self._frequency_mhz / 1000 * shift_s
        self._is_shifted = bool(shift)
        self._cos, self._sin = cos(shift), sin(shift)
        disabled = registers[0x001]
        self._no_load_w = [_no_load(registers[0x203 + i], full_scale_w) if not disabled >> i & 1 else 0.0 for i in range(3)]

    def measure(self, voltage_v, current_a, energy_j, elapsed_ms, noise, reactive_a=0.0):
        """Take in what flowed during the last `elapsed_ms`; voltage, rms and reactive current are those at its end, `noise` in -1..1
        disturbs the energy.
        """
        self._power_w = energy_j * 1000 / elapsed_ms
        self._reactive_w = voltage_v * reactive_a
        self._apparent_w = voltage_v * current_a
        self._voltage_v, self._current_a = voltage_v, current_a
        self._seconds, self._disturbed = elapsed_ms / 1000, 1 + self._noise_level * noise
        self._take_powers()
        if self._voltage_rms_v != voltage_v or self._current_rms_a != current_a:
            self._follow()
        if voltage_v * self._voltage_gain > self.peaks[0] or current_a * self._current_gain > self.peaks[1]:
            self._raise_peaks(elapsed_ms)

    # What follows is called at every sample of the firmware: a frame of few variables stays off the heap, which makes it several times as fast.

    def _take_powers(self):
        if self._voltage_v > self._full_scale_v or self._current_a > self._full_scale_a:
            self._clip()
        if self._is_shifted:
            self._shift()
        if abs(self._power_w) > self._no_load_w[0]:
            joule = (self._power_w * self._power_gain + self._offset_w) * self._seconds * self._disturbed
            mode = self.registers[0x201] & 3  # signed, positive only, absolute
            if mode and joule < 0:
                joule = -joule if mode == 2 else 0.0
            self.energy[0x21E] += joule * self._counts_per_j
            self.ideal_j += joule
        if self._reactive_w and abs(self._reactive_w) > self._no_load_w[1]:
            self.energy[0x220] += self._reactive_w * self._reactive_gain * self._seconds * self._counts_per_j
        if self._apparent_w > self._no_load_w[2]:
            self.energy[0x222] += self._apparent_w * self._apparent_gain * self._seconds * self._counts_per_j

    def _clip(self):
        clip = min(1.0, self._full_scale_v / self._voltage_v)
        if self._current_a > self._full_scale_a:
            clip *= self._full_scale_a / self._current_a
        self._power_w, self._reactive_w, self._apparent_w = self._power_w * clip, self._reactive_w * clip, self._apparent_w * clip

    def _shift(self):
        power_w, reactive_w = self._power_w, self._reactive_w
        self._power_w = power_w * self._cos + reactive_w * self._sin
        self._reactive_w = reactive_w * self._cos - power_w * self._sin

    def _follow(self):
        share = 1 - exp(-self._seconds / _RMS_TIME_CONSTANT_S)
        self._voltage_rms_v = _approach(self._voltage_rms_v, self._voltage_v, share)
        self._current_rms_a = _approach(self._current_rms_a, self._current_a, share)

    def current_rms(self):
        """Return IRMSA."""
        return self._rms(2, self._current_rms_a / self._full_scale_a, self._current_gain)

    def voltage_rms(self):
        """Return VRMS."""
        return self._rms(3, self._voltage_rms_v / self._full_scale_v, self._voltage_gain)

    def active_power(self):
        """Return AWATT."""
        return self._power((self._power_w * self._power_gain + self._offset_w) / self._full_scale_w)

    def reactive_power(self):
        """Return AVAR."""
        return self._power(self._reactive_w * self._reactive_gain / self._full_scale_w)

    def apparent_power(self):
        """Return AVA."""
        return self._power(self._apparent_w * self._apparent_gain / self._full_scale_w)

    def power_factor(self):
        """Return PFA: active over apparent power, negative for a current that leads."""
        if not self._apparent_w:
            return 0
        factor = min(int(abs(self._power_w) / self._apparent_w * 0x7FFF), 0x7FFF)
        return -factor if self._reactive_w < 0 else factor

    def peak(self, channel, clear):
        """Return the voltage's (0) or the current's (1) peak since it was cleared, and clear it."""
        full_scale = (self._full_scale_v, self._full_scale_a)[channel]
        code = int(min(self.peaks[channel] / full_scale, 1.0) * _FULL_SCALE_PEAK)
        if clear:
            self.peaks[channel] = 0.0
        return code

    def next_us(self, now_us):
        """Return when the end of the start-up, an over-current or an over-voltage comes."""
        self._expected = None
        if not self.is_ready(now_us // 1000):
            return self.ready_ms * 1000
        if self._world and (self.registers[0x224] <= _FULL_SCALE_PEAK or self.registers[0x225] <= _FULL_SCALE_PEAK):
            for channel, bit in enumerate((OVER_VOLTAGE, OVER_CURRENT)):
                if not self.interrupts & bit:
                    self._expect(bit, self._crossing_us(channel, now_us))
        return self._expected and self._expected[1]

    def event(self, now_us):
        """Raise the interrupt that was expected now."""
        if self._expected and now_us >= self._expected[1]:
            self.interrupts |= self._expected[0]

    def note_inputs(self, voltage_v, current_a):
        """Take over the rms values that flow from now on."""
        self._voltage_v, self._current_a = voltage_v, current_a

    def _expect(self, bit, due_us):
        if due_us is not None and (self._expected is None or due_us < self._expected[1]):
            self._expected = (bit, due_us)

    def _inputs(self):
        return self._voltage_v * self._voltage_gain, self._current_a * self._current_gain

    def _half(self, channel):
        """Return how much of its half period the voltage (0) or the current (1) has passed."""
        world = self._world
        return (world.current_phase() if channel else world.mains.phase(world.now_us)) * 2 % 1.0

    def _crossing_us(self, channel, now_us):
        """Return when the input is next over the level of its register, now perhaps; None for never."""
        ratio = self._inputs()[channel] / (self._full_scale_v, self._full_scale_a)[channel]
        level = self.registers[0x224 + channel]
        if min(ratio, 1.0) * _FULL_SCALE_PEAK <= level:
            return None
        part = asin(level / (ratio * _FULL_SCALE_PEAK)) / pi  # so much of a half period passes until it is, and again after
        half = self._half(channel)
        wait = 0.0 if part <= half <= 1 - part else (part - half) % 1.0
        return now_us + ceil(wait * self._half_period_ms * 1000)

    def _raise_peaks(self, elapsed_ms):
        passed = elapsed_ms / self._half_period_ms
        for channel, value in enumerate(self._inputs()):
            if passed < 1 and self._world:
                end = self._half(channel)
                begin = end - passed
                if not (begin <= 0.5 <= end or begin <= -0.5):  # no crest in between
                    value *= max(abs(sin(pi * end)), abs(sin(pi * begin)))
            self.peaks[channel] = max(self.peaks[channel], value)

    def _rms(self, stream, ratio, gain):
        ratio *= abs(gain) * (1 + self._noise_level * self._noise(stream))
        if self._ripple and self._world:
            ratio *= self._rippled()
        return int(min(ratio, 1.8) * _FULL_SCALE_RMS)

    def _rippled(self):
        return 1 + self._ripple * sin(4 * pi * self._world.mains.phase(self._world.now_us))

    def _power(self, ratio):
        return int(ratio * _FULL_SCALE_POWER * (1 + self._noise_level * self._noise(1)))


def _no_load(register, full_scale_w):
    """Equation 39: threshold register = 65536 - Y / 1.4, full scale over Y."""
    dynamic_range = (65536 - register) * 1.4
    return full_scale_w / dynamic_range if dynamic_range > 0 else full_scale_w


def _approach(value, target, share):
    value += (target - value) * share
    return target if abs(target - value) < 1e-4 else value


def amplification(code, known):
    """Return the gain that one of the first `known` codes stands for. Raises NotImplementedError for another."""
    if code >= known:
        raise NotImplementedError(f"ADE7953 model: amplifier gain code {code}")
    return _GAINS[code]


def _signed(value):
    return (value ^ 0x800000) - 0x800000
