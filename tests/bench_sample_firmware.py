"""Inside MicroPython under callgrind, started by tests/bench_resources.py: the firmware from reset to sampling, then charging, over fakes.

A call of os.getenv marks where a count ends. Three: what is the test's, the imports, the construction of App. Then four for each sample: it, what
is the test's, after the first sample a collection of garbage, the test's. Prints JSON: {"cycle": samples in 100 ms, "samples": for each
[bytes allocated, transfers on the I2C bus as [bytes written, bytes read]]}; the first two samples are to leave out.
"""

import gc
import json
import os
import sys

sys.path[:] = os.getenv("MICROPYPATH").split(":")  # without this script's own folder in front

SAMPLES = 40
CLOSE_WITHIN = 1_000
mark = os.getenv
chip = None


class Anything:
    """Stands for what is made and hardly used: every method of it does nothing."""

    def __init__(self, *arguments, **named):
        pass

    def __getattr__(self, name):
        return lambda *arguments, **named: None


class Pin:
    IN, OUT, PULL_UP, IRQ_FALLING = 1, 3, 2, 2
    coil = 0

    def __init__(self, number, mode=None, pull=None, *, value=None):
        self.number = number
        if value is not None:
            self.value(value)

    def value(self, level=None):
        if level is not None:
            if self.number == 25:
                Pin.coil = level
            return None
        return 1 - Pin.coil if self.number in (35, 36) else 1

    def irq(self, handler, trigger):
        pass


class ADC:
    ATTN_11DB = 3

    def __init__(self, pin, atten):
        pass

    def read_uv(self):
        return 1_650_000


class I2C:
    """An ADE7953 that measures 230 V, 10 A, 50 Hz."""

    def __init__(self, *arguments, **named):
        global chip
        chip = self
        self.transfers = []
        self.registers = {
            0x10E: b"\x11\x79",
            0x312: b"\x00\x0b\x06\x00",
            0x31A: b"\x00\x00\x00\x00",
            0x31C: b"\x00\x5a\x79\x3b",
            0x31E: bytes(4),
            0x32D: bytes(4),
            0x37F: b"\x01\x02\x03\x04",
            0x702: b"\x03",
        }

    def readfrom_mem(self, address, register, count, *, addrsize):
        self.transfers.append((2, count))
        return self.registers.get(register) or bytes(count)

    def writeto_mem(self, address, register, data, *, addrsize):
        self.transfers.append((2 + len(data), 0))
        self.registers[register] = data


class NVS(Anything):
    def get_blob(self, key, buffer):
        buffer[: len(key_blob)] = key_blob
        return len(key_blob)


class Partition:
    """64 sectors of flash in a file."""

    TYPE_DATA = 1
    file = open("flash", "w+b")  # noqa: SIM115
    for _ in range(1024):
        file.write(b"\xff" * 256)

    @staticmethod
    def find(kind, label):
        return [Partition()]

    def readblocks(self, block, buffer, offset):
        Partition.file.seek(block * 4096 + offset)
        Partition.file.readinto(buffer)

    def writeblocks(self, block, buffer, offset):
        Partition.file.seek(block * 4096 + offset)
        Partition.file.write(buffer)

    def ioctl(self, operation, argument):
        if operation == 6:
            Partition.file.seek(argument * 4096)
            for _ in range(16):
                Partition.file.write(b"\xff" * 256)
        return {4: 64, 5: 4096}.get(operation, 0)


class FakeMachine:
    Pin, ADC, I2C, WDT = Pin, ADC, I2C, Anything
    WDT_RESET, PWRON_RESET = 3, 1
    freq = reset = staticmethod(lambda *arguments: None)
    reset_cause = staticmethod(lambda: 1)


class FakeEsp32:
    NVS, Partition = NVS, Partition


class FakeNetwork:
    STA_IF = 0
    WLAN = Anything


sys.modules["machine"], sys.modules["esp32"], sys.modules["network"] = FakeMachine, FakeEsp32, FakeNetwork
with open("config.json", "w") as file:
    json.dump({"wifi": {"ssid": "s", "password": "p"}, "relay": {"host": "127.0.0.1", "port": 1}, "chain_id": 1, "contract": "0x" + "11" * 20}, file)


def journal_in_use():
    """Leave a journal and a key behind as a plug has them that has served before."""
    global key_blob
    from plug.ledger import Sample, open_ledger
    from plug.storage.journal import Journal
    from plug.storage.keystore import KeyRecord

    key_blob = KeyRecord(1, bytes(range(1, 33))).to_bytes()
    ledger = open_ledger(Journal(Partition()), False)
    for number in range(40):
        ledger.put_sample(Sample(total_mwh=number))
    for name in [name for name in sys.modules if name.startswith("plug")]:
        del sys.modules[name]


journal_in_use()
gc.collect()

mark("")
from plug.imports import ORDER  # noqa: E402

for name in ORDER:
    __import__(name)
    gc.collect()
from plug import app as module  # noqa: E402
from plug.drivers.contactor import Contactor  # noqa: E402

mark("")
app = module.App(Contactor(25, True))
mark("")

from plug import board  # noqa: E402

# Contacts closed, a session charging: as main.py's task finds it. The guard's waits are not what is measured.
app._guard._min_off_ms = app._guard._min_off_left_ms = app._guard._min_on_ms = 0
meter, guard, session = app._meter, app._guard, app._session
meter.start()
now_ms = 0
for _ in range(CLOSE_WITHIN):
    now_ms += 10
    if guard.weld == "ok" and guard.state == "open":
        guard.want(True, now_ms)
    meter.sample(now_ms)
    guard.sample(now_ms, meter)
    if guard.is_closed:
        break
else:
    raise RuntimeError(f"the guard does not close: {guard.state}, {guard.trip}, {guard.waits_for}")
chip.registers[0x31A] = b"\x00\x1e\xa0\x00"
session.state = "charging"


class Clock:
    """Stands still within a sample."""

    def tick(self):
        return now_ms


class End(Exception):
    """Enough samples."""


class Supervisor:
    """Ends every sample's count, and after the last one the loop."""

    allocated = 0

    def beat(self, name):
        global now_ms
        mark("")
        now_ms += board.METER["sample_interval_ms"]
        found.append((gc.mem_alloc() - self.allocated, chip.transfers))
        chip.transfers = []
        energy = int.from_bytes(chip.registers[0x31E], "big") + 100
        chip.registers[0x31E] = energy.to_bytes(4, "big")
        if len(found) > SAMPLES:
            raise End
        mark("")
        if len(found) == 1:  # then none, as in the seconds between two collections
            gc.collect()
        mark("")
        self.allocated = gc.mem_alloc()
        mark("")


found = []
app._clock, app._supervisor, app._start_up_ms = Clock(), Supervisor(), 0
meter.start = lambda: None
chip.transfers = []
import asyncio  # noqa: E402

sleep_ms = asyncio.sleep_ms
asyncio.sleep_ms = lambda milliseconds: sleep_ms(0)  # all of a turn of the loop, but the waiting, of which a machine idles away as much as it likes
try:  # noqa: SIM105 - there is no contextlib here
    asyncio.run(app._meter_loop())
except End:
    pass
if not guard.is_closed or guard.trip:
    raise RuntimeError(f"the contacts opened: {guard.trip} {guard.trip_detail}")
cycle = max(1, 100 // board.METER["sample_interval_ms"])
sys.stdout.write(json.dumps({"cycle": cycle, "samples": found}))
