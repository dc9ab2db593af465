"""The metering IC BL0942 on its UART: asked for registers or for the packet of all measurements. Data sheet: Shanghai Belling BL0942, V1.06.

What the model does not know raises NotImplementedError.
"""

from serial_meter import SerialMeter

_REFERENCE_V = 1.218
_CURRENT, _VOLTAGE, _POWER = 305978, 73989, 3537  # codes per mV over the reference, per mV^2 over its square, at gain 16
_FAST_SHARE = 0.363  # of I_RMS
_POWER_S_PER_PULSE = 1638.4 * 256  # a pulse of energy is this many codes of power times seconds
_MAX_CURRENT_MV, _MAX_VOLTAGE_MV = 42.0, 70.0
_RMS_US = 400_000  # between two results, 800 ms on demand
_ANSWER_US = 150
_LATE_US = 20_000  # bytes of one request further apart are two
_READ, _WRITE, _ALL = 0x58, 0xA8, 0xAA
_UNLOCK, _RESET = 0x55, 0x5A5A5A

_POWER_ON = {0x12: 0, 0x13: 0, 0x14: 0x0B, 0x15: 0xFFFF, 0x16: 1, 0x17: 3, 0x18: 0x24, 0x19: 0x87, 0x1A: 2, 0x1D: 0}
_GAINS = (1, 4, 16, 24)


class BL0942Model(SerialMeter):
    """One IC with the address 0."""

    def __init__(self, front_end, wiring, world):
        super().__init__(front_end, wiring, world)
        self.reset(0)

    def reset(self, now_ms):
        """Go back to power-on registers and counters."""
        self.registers = dict(_POWER_ON)
        self._pulses = 0.0
        self._rms = (0, 0, 0)  # current, voltage, power as they were at the last result
        self._rms_us = -_RMS_US
        self._request = b""
        self._heard_us = 0
        self.ready_ms = now_ms + 50
        self._line.clear()

    def corrupt(self, register, value):
        """Change a register as a disturbance would."""
        if register not in self.registers:
            raise ValueError(f"the BL0942 model has no register 0x{register:02X} to corrupt")
        self.registers[register] = value

    def measure(self, voltage_v, current_a, energy_j, elapsed_ms, noise, reactive_a=0.0):
        """Take in what flowed during the last `elapsed_ms`."""
        power_w = self.take_in(voltage_v, current_a, energy_j, elapsed_ms, reactive_a)
        codes = self._power_code(power_w)
        if abs(codes) > self._creep():
            if codes < 0 and self.registers[0x19] & 0x80:
                codes, power_w = -codes, -power_w
            joule = power_w * elapsed_ms / 1000 * (1 + self._noise_level * noise)
            self.ideal_j += joule
            self._pulses += codes * elapsed_ms / 1000 / _POWER_S_PER_PULSE * (1 + self._noise_level * noise)

    def receive(self, data, now_us):
        """Take bytes of a request; a complete one is answered."""
        if not self.is_ready(now_us // 1000):
            return
        if now_us - self._heard_us > _LATE_US + len(self._request) * self._byte_us:
            self._request = b""
        self._heard_us = now_us
        self._request += data
        done_us = now_us + round(len(data) * self._byte_us)
        while self._request:
            head = self._request[0]
            length = {_READ: 2, _WRITE: 6}.get(head, 1)
            if len(self._request) < length:
                return
            request, self._request = self._request[:length], self._request[length:]
            if head == _READ:
                self.send(self._answer(request[1]), done_us + _ANSWER_US)
            elif head == _WRITE and sum(request[:-1]) & 0xFF ^ 0xFF == request[-1]:
                self._write(request[1], int.from_bytes(request[2:5], "little"))

    def _write(self, register, value):
        if register == 0x1C:
            if value == _RESET:
                self.reset(self._world.now_ms)
        elif register not in self.registers:
            raise NotImplementedError(f"BL0942 model: nothing known of writing register 0x{register:02X}")
        elif register == 0x1D or self.registers[0x1D] == _UNLOCK:
            self.registers[register] = value

    def _answer(self, register):
        self._world.settle()
        if register == _ALL:
            body = b"\x55"
            for part, width in ((3, 3), (4, 3), (5, 3), (6, 3), (7, 3), (8, 2), (None, 1), (9, 1), (None, 2)):
                body += (0 if part is None else self._read(part)).to_bytes(width, "little")
        else:
            body = self._read(register).to_bytes(3, "little")
        return body + bytes([(_READ + register * (register != _ALL) + sum(body)) & 0xFF ^ 0xFF])

    def _read(self, register):
        now_us = self._world.now_us
        period_us = _RMS_US * (1 + (self.registers[0x19] >> 3 & 1))
        if now_us - self._rms_us >= period_us:
            self._rms_us = now_us - (now_us - self._rms_us) % period_us
            self._rms = (self._current_code(1), self._voltage_code(), self._power_code(self.power_w * self.level(3)))
        if register == 3:
            return self._rms[0]
        if register == 4:
            return self._rms[1]
        if register == 5:
            return int(self._current_code(2) * _FAST_SHARE)
        if register == 6:
            return int(self._rms[2]) & 0xFFFFFF
        if register == 7:
            value = int(self._pulses)
            if self.registers[0x19] & 0x40:
                self._pulses -= value
            return value & 0xFFFFFF
        if register == 8:
            return 1_000_000_000 // self._world.mains.frequency_mhz
        if register == 9:
            return (self.power_w < 0) | (abs(self._power_code(self.power_w)) <= self._creep()) << 1
        if register in self.registers:
            return self.registers[register]
        raise NotImplementedError(f"BL0942 model: nothing known of reading register 0x{register:02X}")

    def _creep(self):
        return self.registers[0x14] * 3125 / 256

    def _amplification(self):
        return _GAINS[self.registers[0x1A] & 3] / 16

    def _current_code(self, stream):
        mv = min(self.current_a * self._mv_per_a, _MAX_CURRENT_MV)
        return int(mv * abs(self._gain) * _CURRENT / _REFERENCE_V * self._amplification() * self.level(stream)) & 0xFFFFFF

    def _voltage_code(self):
        return int(min(self.voltage_v * self._mv_per_v, _MAX_VOLTAGE_MV) * _VOLTAGE / _REFERENCE_V * self.level(4)) & 0xFFFFFF

    def _power_code(self, power_w):
        clip = min(1.0, _MAX_VOLTAGE_MV / max(self.voltage_v * self._mv_per_v, 1e-9))
        clip *= min(1.0, _MAX_CURRENT_MV / max(self.current_a * self._mv_per_a, 1e-9))
        return power_w * clip * self._mv_per_a * self._mv_per_v * _POWER / _REFERENCE_V**2 * self._amplification()
