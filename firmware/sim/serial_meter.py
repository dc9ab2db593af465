"""What the metering ICs on a serial line share: inputs, rms values, bytes that leave one after the other."""

from math import cos, pi, sin

from meters import Meter


class SerialMeter(Meter):
    """An IC that sends bytes at `FORMAT` (baud rate, bits, parity, stop bits)."""

    BUS = "uart"
    FORMAT = (4800, 8, None, 1)

    def __init__(self, front_end, wiring, world):
        ratio = front_end["divider_lower_ohm"] / (front_end["divider_upper_ohm"] + front_end["divider_lower_ohm"])
        self._mv_per_v = ratio * 1000
        self._mv_per_a = front_end["shunt_uohm"] / 1000
        self._gain = 1 + front_end["gain_error_ppm"] / 1e6
        self._noise_level = front_end["noise_ppm"] / 1e6
        self._phase_error_s = front_end["phase_error_ns"] / 1e9
        self._world = world
        self._line = []  # (when its first bit leaves, bytes), in order of time
        self._byte_us = (2 + self.FORMAT[1] + (self.FORMAT[2] is not None)) * 1_000_000 / self.FORMAT[0]
        self.voltage_v = self.current_a = 0.0
        self.power_w = 0.0
        self.ready_ms = 0

    def is_ready(self, now_ms):
        """Tell whether it has started."""
        return now_ms >= self.ready_ms

    def listen(self, now_us):
        """Learn that somebody listens."""

    def receive(self, data, now_us):
        """Take bytes that the processor sends."""

    def send(self, data, from_us):
        """Put bytes on the line, after those that are on it."""
        if self._line:
            last_us, last = self._line[-1]
            from_us = max(from_us, last_us + len(last) * self._byte_us)
        self._line.append((from_us, data))

    def sent(self, now_us):
        """Return the bytes that have arrived at the processor since the last call."""
        arrived = b""
        while self._line:
            from_us, data = self._line[0]
            complete = min(len(data), int((now_us - from_us) / self._byte_us))
            if complete <= 0:
                break
            arrived += data[:complete]
            if complete == len(data):
                self._line.pop(0)
            else:
                self._line[0] = (from_us + complete * self._byte_us, data[complete:])
                break
        return arrived

    def take_in(self, voltage_v, current_a, energy_j, elapsed_ms, reactive_a):
        """Note what flows; return the active power with the front end's errors."""
        self.voltage_v, self.current_a = voltage_v, current_a
        power_w = energy_j * 1000 / elapsed_ms
        if self._phase_error_s:
            shift = 2 * pi * self._world.mains.frequency_mhz / 1000 * self._phase_error_s
            power_w = power_w * cos(shift) + voltage_v * reactive_a * sin(shift)
        self.power_w = power_w * self._gain
        return self.power_w

    def level(self, stream):
        """Return the factor of this moment's noise."""
        return 1 + self._noise_level * self._world.noise(stream)
