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


def test_a_bad_setting_is_named(tmp_path):
    (tmp_path / "sim.json").write_text('{"mains": {"volts": 230}}')
    environment = os.environ | {"MICROPYPATH": f"{ROOT}/firmware/sim:.frozen", "WATTSEAL_SIM": "sim.json"}
    done = subprocess.run([MICROPYTHON, "-c", "import machine"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "unknown key mains.volts" in done.stderr
