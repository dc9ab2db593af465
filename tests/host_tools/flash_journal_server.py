"""MicroPython: the firmware's journal over flash in memory, driven by JSON lines, each a list of commands; the answer is a list of results.

Byte strings are hex. A JournalError is answered as {"error": code, "message": text}.
"""

import json
import struct
import sys
from binascii import crc32, hexlify, unhexlify

from plug.errors import JournalError
from plug.storage.journal import Journal

SECTOR = 4096
ERASED = b"\xff" * SECTOR


class Partition:
    """NOR flash: `base` is what `case` starts from, `image` what the journal works on."""

    def __init__(self):
        self.base = self.image = bytearray()
        self.erases = []
        self.log = None

    def readblocks(self, block, buf, offset):
        start = block * SECTOR + offset
        buf[:] = memoryview(self.image)[start : start + len(buf)]

    def writeblocks(self, block, buf, offset):
        start = block * SECTOR + offset
        if self.image[start : start + len(buf)] == memoryview(ERASED)[: len(buf)]:
            self.image[start : start + len(buf)] = buf
        else:
            for index, byte in enumerate(buf):
                self.image[start + index] &= byte
        if self.log is not None:
            self.log.append(("P", start, len(buf), hexlify(buf).decode()))

    def ioctl(self, op, arg):
        if op == 4:
            return len(self.image) // SECTOR
        if op == 5:
            return SECTOR
        if op == 6:
            self.image[arg * SECTOR : arg * SECTOR + SECTOR] = ERASED
            self.erases[arg] += 1
            if self.log is not None:
                self.log.append(("E", arg * SECTOR, SECTOR, ""))
            return 0
        return None


partition = Partition()
journal = None


def new(sectors):
    """Start with erased flash, and log from here."""
    partition.base = partition.image = bytearray(ERASED * sectors)
    partition.erases = [0] * sectors
    partition.log = None


def patch(offset, data):
    """Change the base of the cases."""
    data = unhexlify(data)
    partition.base[offset : offset + len(data)] = data


def case(patches):
    """Work on a copy of the base with patches."""
    partition.image = bytearray(partition.base)
    for offset, data in patches:
        data = unhexlify(data)
        partition.image[offset : offset + len(data)] = data


def load(path):
    """Work on the image in a file."""
    with open(path, "rb") as file:
        partition.image = bytearray(file.read())
    partition.log = None


def start_log():
    partition.log = []


def take_log():
    """Return what was erased and programmed since `start_log` or the last call."""
    taken, partition.log = partition.log, []
    return taken


def boot():
    global journal
    journal = Journal(partition)


def digest(data):
    return None if data is None else [len(data), crc32(data)]


def state():
    """Return the newest sample and all documents, each as length and CRC."""
    return [digest(journal.sample), {hexlify(key).decode(): digest(journal.get(key)) for key in journal.keys(b"")}]


def run_sessions(count, unsettled, samples, receipts):
    """Make the flash work of mean sessions while `unsettled` others stay kept; return the erases by sector and the most in one call."""
    most = 0

    def counted(function, *arguments):
        nonlocal most
        before = sum(partition.erases)
        function(*arguments)
        most = max(most, sum(partition.erases) - before)

    for session in range(unsettled + count):
        key = struct.pack(">I", session)
        if session == unsettled:
            partition.erases = [0] * len(partition.erases)
        counted(journal.put, b"v" + key, bytes(900))
        for number in range(samples if session >= unsettled else 1):
            counted(journal.put_sample, struct.pack("<II40x", session, number))
            if number * receipts // samples != (number - 1) * receipts // samples:
                counted(journal.put, b"r" + key, bytes(1300))
        for number in range(5):
            counted(journal.put, b"state", bytes([number]) * 300)
        if session >= unsettled:
            counted(journal.remove, b"v" + key)
            counted(journal.remove, b"r" + key)
    return partition.erases, most


COMMANDS = {
    "new": new,
    "patch": patch,
    "case": case,
    "load": load,
    "start_log": start_log,
    "take_log": take_log,
    "boot": boot,
    "state": state,
    "run_sessions": run_sessions,
    "put": lambda key, length, fill: journal.put(unhexlify(key), content(length, fill)),
    "remove": lambda key: journal.remove(unhexlify(key)),
    "put_sample": lambda length, fill: journal.put_sample(content(length, fill)),
    "has_room": lambda length: journal.has_room(length),
}


def content(length, fill):
    """Return `length` bytes that begin with the number `fill` and go on with its lowest byte."""
    return (fill.to_bytes(4, "little") + bytes([fill & 0xFF]) * length)[:length]


def answer(command):
    name, *arguments = command
    try:
        return COMMANDS[name](*arguments)
    except JournalError as error:
        return {"error": error.code, "message": str(error)}


while True:
    received = sys.stdin.readline()
    if not received:
        break
    sys.stdout.write(json.dumps([answer(command) for command in json.loads(received)]) + "\n")
