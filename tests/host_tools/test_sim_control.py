"""The simulator's control channel, driven as a harness drives it: small MicroPython programs under it, one process each."""

import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MICROPYTHON = ROOT / "build/bin/micropython-x64"
TIMEOUT_S = 60

IDLE = """
import time
while True:
    time.sleep_ms(1000)
"""

# Samples the meter at 10 Hz, as often as the fastest firmware would, and echoes lines on a socket.
SAMPLER = """
import asyncio
from machine import I2C, Pin

i2c = I2C(0, scl=Pin(22), sda=Pin(21), freq=400000)
contactor = Pin(25, Pin.OUT, value=0)
samples = 0
errors = []
modes = set()

def write(register, value):
    i2c.writeto_mem(0x38, register, value, addrsize=16)

async def sample():
    global samples
    await asyncio.sleep_ms(200)
    for register, value in ((0x0FE, b"\\xad"), (0x120, b"\\x00\\x30"), (0x008, b"\\x04"), (0x004, b"\\x00")):
        write(register, value)
    while True:
        await asyncio.sleep_ms(100)
        try:
            for register, width in ((0x31E, 4), (0x31C, 4), (0x31A, 4)):
                i2c.readfrom_mem(0x38, register, width, addrsize=16)
            modes.add(i2c.readfrom_mem(0x38, 0x004, 1, addrsize=16)[0])
        except OSError as error:
            errors.append(error.errno)
        samples += 1

answers = (b"samples\\n", b"errors\\n", b"modes\\n")

async def serve(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        line = await reader.readline()
        if line == b"close\\n":
            contactor(1)
        elif line == b"open\\n":
            contactor(0)
        elif line in answers:
            line = str(eval(line)).encode() + b"\\n"
        writer.write(line)
        await writer.drain()

async def main():
    await asyncio.gather(sample(), serve(PORT))

asyncio.run(main())
"""

# Opens the contactor from the handler of the metering IC's interrupt, as the fastest firmware would.
TRIPPER = """
import time
from machine import I2C, Pin

i2c = I2C(0, scl=Pin(22), sda=Pin(21), freq=400000)
contactor = Pin(25, Pin.OUT, value=0)
time.sleep_ms(200)
level = (3_000_000).to_bytes(4, "big")
for register, value in ((0x0FE, b"\\xad"), (0x120, b"\\x00\\x30"), (0x008, b"\\x04"), (0x325, level), (0x32C, b"\\x00\\x00\\x20\\x00")):
    i2c.writeto_mem(0x38, register, value, addrsize=16)
i2c.readfrom_mem(0x38, 0x32E, 4, addrsize=16)
Pin(34, Pin.IN).irq(lambda pin: contactor(0), Pin.IRQ_FALLING)
contactor(1)
while True:
    BUSY
    time.sleep_ms(10)
"""


class Simulator:
    """A MicroPython process under the simulator, its control channel, and for SAMPLER the socket to its firmware."""

    def __init__(self, folder, program, **settings):
        with socket.create_server(("127.0.0.1", 0)) as control, socket.create_server(("127.0.0.1", 0)) as firmware:
            settings["control"] = list(control.getsockname())
            (folder / "sim.json").write_text(json.dumps(settings))
            (folder / "program.py").write_text(program.replace("PORT", str(firmware.getsockname()[1])))
            self.process = subprocess.Popen(
                [MICROPYTHON, "-X", "heapsize=512k", "program.py"],
                cwd=folder,
                env=os.environ | {"MICROPYPATH": f"{ROOT}/firmware/sim:.frozen", "WATTSEAL_SIM": "sim.json"},
                stderr=subprocess.PIPE,
                text=True,
            )
            control.settimeout(TIMEOUT_S)
            firmware.settimeout(TIMEOUT_S)
            self._control = control.accept()[0]
            self._control.settimeout(TIMEOUT_S)
            self._replies = self._control.makefile("r")
            self._firmware = firmware.accept()[0].makefile("rw") if "PORT" in program else None

    def send(self, line):
        self._control.sendall(line.encode() + b"\n")

    def receive(self):
        return json.loads(self._replies.readline())

    def command(self, cmd, **arguments):
        self.send(json.dumps({"cmd": cmd, **arguments}))
        reply = self.receive()
        assert reply.get("reply") == cmd, reply
        return reply

    def ask(self, line):
        """Send a line to the firmware and return its answer."""
        self._firmware.write(line + "\n")
        self._firmware.flush()
        return self._firmware.readline().strip()

    def close_control(self):
        self._replies.close()
        self._control.close()

    def wait(self):
        """Return (exit status, stderr)."""
        _, errors = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, errors


@pytest.fixture
def start(tmp_path):
    running = []

    def start_one(program, **settings):
        running.append(Simulator(tmp_path, program, **settings))
        return running[-1]

    yield start_one
    for simulator in running:
        simulator.process.kill()
        simulator.process.communicate()
        simulator.close_control()


def test_run_advances_by_just_that_much(start):
    simulator = start(IDLE)
    assert simulator.command("state")["at_ms"] == 0
    reply = simulator.command("run", ms=12345)
    assert (reply["at_ms"], reply["reason"]) == (12345, "elapsed")
    assert simulator.command("run", ms=0)["at_ms"] == 12345


def test_a_charge_from_contact_to_contact(start):
    simulator = start(SAMPLER)
    simulator.command("plug_in", energy_wh=2000, current_ma=10000, taper_wh=100)
    assert simulator.command("run", ms=5000, until="contactor_closed")["reason"] == "elapsed"
    simulator.ask("close")
    reply = simulator.command("run", ms=5000, until="contactor_closed")
    assert (reply["reason"], reply["at_ms"], reply["contacts"]) == ("contactor_closed", 5020, 1)
    reply = simulator.command("run", ms=60_000)
    assert 2_250_000 < reply["power_mw"] < 2_350_000
    assert not reply["car_full"]
    reply = simulator.command("run", ms=3_600_000, until="car_full")
    assert (reply["reason"], reply["true_mwh"], reply["car_full"], reply["power_mw"]) == ("car_full", 2_000_000, True, 0)
    simulator.ask("open")
    assert simulator.command("run", ms=1000, until="contactor_open")["contacts"] == 0
    assert simulator.command("unplug")["car_plugged_in"] is False


def test_an_hour_of_sampling_at_10_hz(start):
    simulator = start(SAMPLER)
    simulator.command("run", ms=3_600_200)
    assert simulator.ask("samples") == "36000"


def test_time_stands_still_outside_run_while_sockets_are_served(start):
    simulator = start(SAMPLER)
    before = simulator.command("run", ms=1000)["at_ms"]
    samples = simulator.ask("samples")
    for i in range(100):
        assert simulator.ask(f"line {i}") == f"line {i}"
    assert simulator.ask("samples") == samples
    assert simulator.command("state")["at_ms"] == before


def test_the_reply_of_a_run_comes_after_what_was_due_in_it(start):
    simulator = start(SAMPLER)
    simulator.command("run", ms=200)
    for expected in range(1, 20):
        simulator.command("run", ms=100)
        assert simulator.ask("samples") == str(expected)


def test_speed_caps_the_rate_and_sockets_stay_awake(start):
    simulator = start(SAMPLER, speed=100)
    simulator.command("run", ms=300)
    began = time.monotonic()
    simulator.send('{"cmd": "run", "ms": 30000}')
    sampled = [int(simulator.ask("samples")) for _ in range(20)]
    assert sampled == sorted(sampled)
    assert sampled[-1] < 300, "answers came only after the run"
    assert simulator.receive()["at_ms"] == 30300
    assert time.monotonic() - began > 0.29


def test_mains_and_faults_reach_the_world(start):
    simulator = start(SAMPLER)
    simulator.command("run", ms=1000)
    assert simulator.command("mains", voltage_mv=0)["voltage_mv"] == 0
    assert (simulator.ask("errors"), simulator.ask("modes")) == ("[]", "{0}")
    simulator.command("fault", i2c=2)
    simulator.command("run", ms=500)
    simulator.command("fault", i2c_late=1)
    simulator.command("run", ms=500)
    assert simulator.ask("errors") == "[19, 19, 110]"
    simulator.command("fault", meter_reset=True)
    simulator.command("run", ms=500)
    assert simulator.ask("modes") in ("{0, 64}", "{64, 0}")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("nonsense", "syntax"),
        ("[]", "cmd must be one of"),
        ('{"cmd": "fly"}', "cmd must be one of"),
        ('{"cmd": "run"}', "ms must be"),
        ('{"cmd": "run", "ms": -1}', "ms must be"),
        ('{"cmd": "run", "ms": 1, "til": 1}', "til"),
        ('{"cmd": "run", "ms": 1, "until": "dawn"}', "dawn"),
        ('{"cmd": "plug_in", "energy_wh": 0, "current_ma": 1}', "energy_wh"),
        ('{"cmd": "plug_in", "energy_wh": "1", "current_ma": 1}', "unsupported types"),
        ('{"cmd": "plug_in", "watts": 1}', "watts"),
        ('{"cmd": "fault"}', "exactly one"),
        ('{"cmd": "fault", "i2c": 1, "i2c_late": 1}', "exactly one"),
        ('{"cmd": "fault", "bus_stuck": "up"}', "bus_stuck"),
        ('{"cmd": "fault", "meter_register": 5}', "meter_register"),
        ('{"cmd": "fault", "meter_register": [902, 1]}', "0x386"),
        ('{"cmd": "mains"}', "voltage_mv"),
        ('{"cmd": "mains", "voltage_mv": 400000}', "300000"),
        ('{"cmd": "mains", "frequency_mhz": 10}', "frequency_mhz"),
        ('{"cmd": "dip", "voltage_mv": 100000}', "ms must be"),
        ('{"cmd": "contactor", "line": "glued"}', "glued"),
        ('{"cmd": "contactor", "open_ms": -1}', "open_ms"),
        ('{"cmd": "ntc", "contacts": "wet"}', "wet"),
        ('{"cmd": "pin", "pin": 5, "level": 2}', "level"),
        ('{"cmd": "button", "pressed": 1}', "pressed"),
        ('{"cmd": "secure_element", "absent": 1}', "absent"),
        ('{"cmd": "secure_element", "slower": -1}', "slower"),
        ('{"cmd": "secure_element", "locked": true}', "locked"),
        ('{"cmd": "heat", "ambient_mc": 1.5}', "ambient_mc"),
        ('{"cmd": "at", "ms": 5}', "do must be"),
        ('{"cmd": "at", "ms": 5, "do": {"cmd": "run", "ms": 1}}', "cmd must be"),
        ('{"cmd": "at", "ms": 5, "do": {"cmd": "mains", "voltage_mv": -1}}', "voltage_mv"),
    ],
)
def test_a_bad_command_gets_one_error_and_changes_nothing(start, line, complaint):
    simulator = start(IDLE)
    simulator.send(line)
    assert complaint in simulator.receive()["error"]
    assert simulator.command("state")["at_ms"] == 0


def test_commands_sent_at_once_are_answered_in_order(start):
    simulator = start(IDLE)
    simulator.send('{"cmd": "run", "ms": 10}\n{"cmd": "state"}\n{"cmd": "run", "ms": 5}')
    assert [(reply["reply"], reply["at_ms"]) for reply in (simulator.receive() for _ in range(3))] == [("run", 10), ("state", 10), ("run", 15)]


def test_closing_the_channel_ends_the_process_even_within_a_run(start):
    simulator = start(IDLE, speed=1)
    simulator.send('{"cmd": "run", "ms": 3600000}')
    simulator.close_control()
    status, errors = simulator.wait()
    assert status == 0
    assert "harness" in errors


@pytest.mark.parametrize(
    ("statement", "status"),
    [("machine.reset()", 3), ("machine.WDT(timeout=2000); time.sleep_ms(10000)", 4)],
)
def test_resets_end_the_process_without_any_cleaning_up(start, tmp_path, statement, status):
    simulator = start(f"import machine, time\ntry:\n    {statement}\nfinally:\n    open('cleaned', 'w').close()\n")
    simulator.send('{"cmd": "run", "ms": 5000}')
    assert simulator.wait()[0] == status
    assert not (tmp_path / "cleaned").exists()


def test_a_brown_out_ends_the_process_at_its_moment(start, tmp_path):
    simulator = start("import time\ntry:\n    time.sleep_ms(10000)\nfinally:\n    open('cleaned', 'w').close()\n")
    simulator.command("at", ms=1234, do={"cmd": "brown_out"})
    simulator.send('{"cmd": "run", "ms": 5000}')
    status, errors = simulator.wait()
    assert status == 5
    assert "1234000 us" in errors
    assert not (tmp_path / "cleaned").exists()


def test_a_brown_out_looks_like_a_power_on_to_micropython(start, tmp_path):
    simulator = start("import machine, time\nopen(f'cause{machine.reset_cause()}', 'w').close()\ntime.sleep_ms(1000)\n", reset_cause="brown_out")
    simulator.command("run", ms=1)
    assert (tmp_path / "cause1").exists()


def charge(simulator):
    simulator.command("plug_in", energy_wh=2000, current_ma=10000, start_ms=100)
    simulator.command("run", ms=1000)


@pytest.mark.parametrize("busy", ["pass", "sum(range(20000))"])
def test_an_overload_strikes_in_the_middle_of_a_run_and_the_latency_is_on_record(start, busy):
    simulator = start(TRIPPER.replace("BUSY", busy), cpu_scale=0 if busy == "pass" else 50)
    charge(simulator)
    simulator.command("at", ms=2000, do={"cmd": "overload", "current_ma": 90000, "ms": 500})
    reply = simulator.command("run", ms=3000, until="contactor_open")
    assert reply["reason"] == "contactor_open"
    assert 2_000_000 <= reply["irq_at_us"] <= 2_010_000
    assert 0 <= reply["coil_low_at_us"] - reply["irq_at_us"] < 1000
    assert (reply["openings"], reply["opening_ma"]) == (1, 100000)


def test_welded_poles_dips_and_leakage(start):
    simulator = start(SAMPLER)
    simulator.ask("close")
    charge(simulator)
    simulator.command("contactor", line="welded", open_ms=15)
    simulator.ask("open")
    opened = simulator.command("run", ms=1000, until="contactor_open")
    assert (opened["at_ms"], opened["line"], opened["neutral"]) == (1015, 1, 0)
    reply = simulator.command("contactor", neutral="welded")
    assert (reply["contacts"], reply["coil_low_at_us"]) == (1, 1_000_000)
    assert simulator.command("dip", voltage_mv=120000, ms=40)["voltage_mv"] == 120000
    assert simulator.command("run", ms=40)["voltage_mv"] > 225000
    reply = simulator.command("mains", voltage_mv=253000, frequency_mhz=51500)
    assert (reply["voltage_mv"] > 249000, reply["frequency_mhz"]) == (True, 51500)
    simulator.command("leakage", line_ua=2000)
    simulator.command("fault", meter_register=[0x380, 0x410000])


PINS = """
import time
from machine import ADC, Pin

pins = [Pin(number, Pin.IN, Pin.PULL_UP if number == 27 else None) for number in (27, 35, 36, 39)]
contacts = ADC(Pin(32), atten=ADC.ATTN_11DB)
while True:
    with open("seen", "w") as file:
        file.write(f"{[pin() for pin in pins]} {contacts.read_uv() // 100000}")
    time.sleep_ms(10)
"""


def test_commands_reach_the_inputs(start, tmp_path):
    simulator = start(PINS)

    def seen():
        simulator.command("run", ms=20)
        return (tmp_path / "seen").read_text()

    assert seen() == "[1, 1, 1, 1] 16"
    simulator.command("button", pressed=True)
    simulator.command("leakage", neutral_ua=900)
    simulator.command("pin", pin=39, level=0)
    simulator.command("ntc", contacts="short")
    assert seen() == "[0, 1, 0, 0] 1"
    simulator.command("button", pressed=False)
    simulator.command("leakage")
    simulator.command("pin", pin=39, level=None)
    simulator.command("ntc", contacts="ok")
    simulator.command("heat", ambient_mc=85000, contacts_uohm=100)
    assert seen() == "[1, 1, 0, 1] 3"


def test_computing_beyond_the_end_of_a_run_is_charged_to_the_next(start):
    simulator = start("import time\nwhile True:\n    sum(range(300000))\n    time.sleep_ms(1)\n", cpu_scale=50)
    assert simulator.command("run", ms=5)["at_ms"] == 5
    assert simulator.command("state")["at_ms"] == 5
    assert simulator.command("run", ms=2000)["at_ms"] == 2005


def test_ten_minutes_of_sampling_at_100_hz_take_seconds(start):
    simulator = start(SAMPLER.replace("sleep_ms(100)", "sleep_ms(10)"))
    simulator.command("plug_in", energy_wh=9000, current_ma=10000)
    simulator.ask("close")
    began = time.monotonic()
    simulator.command("run", ms=600_200)
    assert simulator.ask("samples") == "60000"
    assert time.monotonic() - began < 20  # about 2 s where nobody else computes


def test_a_bad_setting_is_named(tmp_path):
    (tmp_path / "sim.json").write_text('{"mains": {"volts": 230}}')
    environment = os.environ | {"MICROPYPATH": f"{ROOT}/firmware/sim:.frozen", "WATTSEAL_SIM": "sim.json"}
    done = subprocess.run([MICROPYTHON, "-c", "import machine"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "unknown key mains.volts" in done.stderr
