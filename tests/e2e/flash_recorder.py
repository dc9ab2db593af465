"""MicroPython: runs the plug's main.py, unchanged, and puts marks between the operations in the flash log: what a power cut there must not undo.

A mark is a letter M, offset 0, length, JSON: before each erase or program {"ms", "register_mwh", "true_mwh"}, the moment, the register as the
firmware has it in RAM, and what truly went through the contacts; {"sent": message} just before a message is given to the socket;
{"key": true} once the device key is in NVS.
"""

import json

import clock
import esp32
import flash
from plug.metering import energy
from plug.net import link

registers = []
_note = flash._note
_write = link.Link._write
_commit = esp32.NVS.commit


class Register(energy.EnergyRegister):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        registers.append(self)


def mark(content):
    data = json.dumps(content).encode()
    _note(b"M", 0, len(data), data)


def note(letter, offset, length, data):
    world = clock.world
    world.settle()
    mark({"ms": world.now_ms, "register_mwh": registers[0].total_mwh if registers else 0, "true_mwh": int(world.true_j / 3.6)})
    _note(letter, offset, length, data)


async def write(self, message):
    mark({"sent": message})
    await _write(self, message)


def commit(self):
    _commit(self)
    mark({"key": True})


energy.EnergyRegister = Register
flash._note = note
link.Link._write = write
esp32.NVS.commit = commit

with open(__file__.rsplit("/", 1)[0] + "/plug_main.py") as file:
    exec(file.read())
