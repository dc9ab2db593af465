"""An ATECC608B at the level of its packets: sleep, wake, idle and watchdog; counts and checksums; the commands that a signing plug needs.

From the data sheet summary (DS40002239) and what CryptoAuthLib publishes; execution times are typical ones, below its longest.
"""

import os

import curve_p256
from atecc608b_memory import CONFIG_LOCK, DATA_LOCK, SHUT, Memory

ADDRESS = 0x60
_WAKE_MAX_HZ = 133_000  # eight bits of SDA low are then 60 us
_WAKE_US = 1_500
_WATCHDOG_US = 1_300_000
_NOT_WRITABLE = ((0, 16), (84, 90))  # of the configuration zone, by Write
PARSE, ECC_FAULT, EXECUTION, AFTER_WAKE, WATCHDOG, COMMUNICATION = 0x03, 0x05, 0x0F, 0x11, 0xEE, 0xFF
_SUCCESS = b"\x00"

# opcode: (name of the method, execution time in us)
_COMMANDS = {
    0x02: ("_read", 1_000),
    0x12: ("_write", 20_000),
    0x16: ("_nonce", 9_000),
    0x17: ("_lock", 20_000),
    0x1B: ("_random", 15_000),
    0x30: ("_info", 600),
    0x40: ("_genkey", 75_000),
    0x41: ("_sign", 65_000),
}


class _Refused(Exception):
    def __init__(self, status):
        super().__init__(status)
        self.status = status


class ATECC608BModel:
    """A chip with a serial number (9 bytes), from the factory or `is_set_up` for a plug. `now_us` is the world's clock wherever it is asked for.

    `slower` multiplies the execution times; `absent` leaves its place on the board empty.
    """

    def __init__(self, serial, is_set_up):
        if len(serial) != 9:
            raise ValueError(f"a serial number has 9 bytes, not {len(serial)}")
        self.memory = Memory(serial, is_set_up)
        self.absent = False
        self.slower = 1
        self.executed = 0
        self._sleep()

    # -- what comes over the bus --------------------------------------------------------------------------------------------------------

    def wake(self, freq, now_us):
        """Take an address of eight zeros at that bus frequency: from sleep or idle it wakes, unless SDA was low for too short a time."""
        self._pass_time(now_us)
        if not self._is_awake and freq <= _WAKE_MAX_HZ:
            self._is_awake = True
            self._woken_us = now_us
            self._busy_until_us = now_us + _WAKE_US
            self._put(bytes((AFTER_WAKE,)))

    def is_listening(self, now_us):
        """Tell whether it acknowledges its address: awake and not busy."""
        self._pass_time(now_us)
        return self._is_awake and not self.absent and now_us >= self._busy_until_us

    def write(self, data, now_us):
        """Take what follows its address: a word address and, for a command, the packet."""
        word = data[0] if data else 0
        if word == 0x00:
            self._position = 0
        elif word == 0x01:
            self._sleep()
        elif word == 0x02:
            self._is_awake = False  # idle: what is in RAM stays
        elif word == 0x03:
            self._take(data[1:], now_us)

    def read(self, nbytes):
        """Return the next bytes of the response, 0xFF where it is over."""
        part = self._output[self._position : self._position + nbytes]
        self._position += len(part)
        return part + b"\xff" * (nbytes - len(part))

    # -- states -------------------------------------------------------------------------------------------------------------------------

    def _pass_time(self, now_us):
        if self._is_awake and now_us - self._woken_us >= _WATCHDOG_US:
            self._sleep()

    def _sleep(self):
        self._is_awake = False
        self._woken_us = self._busy_until_us = 0
        self._message = None
        self._output, self._position = b"", 0

    def _put(self, payload):
        body = bytes((len(payload) + 3,)) + payload
        self._output, self._position = body + _checksum(body), 0

    # -- commands -----------------------------------------------------------------------------------------------------------------------

    def _take(self, packet, now_us):
        if len(packet) < 7 or packet[0] != len(packet) or _checksum(packet[:-2]) != packet[-2:]:
            self._put(bytes((COMMUNICATION,)))
            return
        opcode, mode, parameter, data = packet[1], packet[2], packet[3] | packet[4] << 8, packet[5:-2]
        if opcode not in _COMMANDS:
            self._put(bytes((PARSE,)))
            return
        name, duration_us = _COMMANDS[opcode]
        duration_us *= self.slower
        if now_us + duration_us - self._woken_us > _WATCHDOG_US:
            self._put(bytes((WATCHDOG,)))
            return
        self._busy_until_us = now_us + duration_us
        self.executed += 1
        try:
            self._put(getattr(self, name)(mode, parameter, data))
        except _Refused as refusal:
            self._put(bytes((refusal.status,)))

    def _info(self, mode, parameter, data):
        _require(mode == 0 and not data, PARSE)
        return bytes(self.memory.config[4:8])

    def _random(self, mode, parameter, data):
        _require(mode in (0, 1) and not data, PARSE)
        return os.urandom(32) if self.memory.config_locked else b"\xff\xff\x00\x00" * 8

    def _read(self, mode, parameter, data):
        _require(mode in (0x00, 0x80) and not data, PARSE)
        size = 32 if mode else 4
        start = (parameter >> 3) * 32 + (0 if mode else (parameter & 7) * 4)
        _require(start + size <= len(self.memory.config), PARSE)
        return bytes(self.memory.config[start : start + size])

    def _write(self, mode, parameter, data):
        _require(mode == 0 and len(data) == 4 and parameter < 32, PARSE)
        start = parameter * 4
        _require(not self.memory.config_locked, EXECUTION)
        _require(all(start + 4 <= first or start >= end for first, end in _NOT_WRITABLE), EXECUTION)
        self.memory.config[start : start + 4] = data
        self.memory.save()
        return _SUCCESS

    def _lock(self, mode, parameter, data):
        config = self.memory.config
        _require(mode & 0x7E == 0 and not data, PARSE)
        place = DATA_LOCK if mode & 1 else CONFIG_LOCK
        _require(config[place] != SHUT, EXECUTION)
        if mode & 1:
            _require(mode & 0x80 and self.memory.config_locked, EXECUTION)  # its checksum over secrets is not modelled
        elif not mode & 0x80:
            _require(_checksum(config) == bytes((parameter & 0xFF, parameter >> 8)), EXECUTION)
        config[place] = SHUT
        self.memory.save()
        return _SUCCESS

    def _nonce(self, mode, parameter, data):
        _require(mode == 0x43 and len(data) == 32, PARSE)  # pass-through, into the message buffer
        self._message = data
        return _SUCCESS

    def _genkey(self, mode, parameter, data):
        _require(mode in (0x00, 0x04) and parameter < 16 and not data, PARSE)
        memory = self.memory
        _require(memory.config_locked and memory.key_config(parameter) & 0x1D == 0x11, EXECUTION)  # private, P-256
        if mode == 0x04:
            _require(memory.slot_config(parameter) & 0x2000, EXECUTION)
            memory.keys[parameter] = curve_p256.new_secret()
            memory.save()
        else:
            _require(memory.key_config(parameter) & 0x02, EXECUTION)
        _require(parameter in memory.keys, EXECUTION)
        x, y = curve_p256.multiply(memory.keys[parameter], curve_p256.GENERATOR)
        return x.to_bytes(32, "big") + y.to_bytes(32, "big")

    def _sign(self, mode, parameter, data):
        _require(mode == 0xA0 and parameter < 16 and not data, PARSE)  # of an external message, in the message buffer
        memory = self.memory
        _require(memory.config_locked and memory.config[DATA_LOCK] == SHUT and self._message is not None, EXECUTION)
        _require(memory.slot_config(parameter) & 0x01 and parameter in memory.keys, EXECUTION)
        r, s = curve_p256.sign(memory.keys[parameter], self._message)
        self._message = None
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _require(is_so, status):
    if not is_so:
        raise _Refused(status)


def _checksum(data):
    """CRC-16, polynomial 0x8005, each byte from its lowest bit on; low byte first."""
    register = 0
    for byte in data:
        for i in range(8):
            feedback = register >> 15 ^ byte >> i & 1
            register = register << 1 & 0xFFFF
            if feedback:
                register ^= 0x8005
    return bytes((register & 0xFF, register >> 8))
