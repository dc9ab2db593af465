"""MicroPython: boots the real App over an image of flash, again and again in one process, driven by JSON lines, each a list of commands.

The simulator's flash is replaced by one in memory; contacts stay open and no task runs. Byte strings are hex; what a boot raises is answered
as {"error": code, "message": text}.
"""

import asyncio
import json
import sys
from binascii import hexlify, unhexlify

import esp32
import flash
from plug import board
from plug.app import App
from plug.crypto import secp256k1
from plug.drivers.contactor import Contactor
from plug.errors import PlugError
from plug.ledger import CAPACITY, open_ledger
from plug.session import IDLE
from plug.storage.journal import Journal
from plug.wire import to_hex

base = bytearray(b"\xff" * flash.SIZE)  # what `case` starts from
image = bytearray(base)
log = []
logs_data = True  # not where there is much too much of it
app = None
public_keys = {}  # the same key is booted a thousand times
_public_key = secp256k1.public_key


class Beats:
    """In the place of the supervisor."""

    def beat(self, name):
        pass


def read(offset, buffer):
    buffer[:] = memoryview(image)[offset : offset + len(buffer)]


def program(offset, data):
    if logs_data:
        log.append(("P", offset, len(data), hexlify(data).decode()))
    for index, byte in enumerate(data):
        image[offset + index] &= byte


def erase(sector):
    log.append(("E", sector * flash.SECTOR, flash.SECTOR, ""))
    image[sector * flash.SECTOR : (sector + 1) * flash.SECTOR] = b"\xff" * flash.SECTOR


def public_key(secret):
    if secret not in public_keys:
        public_keys[secret] = _public_key(secret)
    return public_keys[secret]


flash.read, flash.program, flash.erase = read, program, erase
secp256k1.public_key = public_key


def patch(offset, data):
    """Change the base of the cases."""
    data = unhexlify(data)
    base[offset : offset + len(data)] = data


def rebase(path):
    """Start the cases from the image in a file."""
    with open(path, "rb") as file:
        file.readinto(base)


def case(patches):
    """Work on a copy of the base with patches."""
    image[:] = base
    for offset, data in patches:
        data = unhexlify(data)
        image[offset : offset + len(data)] = data


def load(path):
    """Work on the image in a file."""
    with open(path, "rb") as file:
        file.readinto(image)


def boot(secret):
    """Boot with this device key in NVS ("" for none, null for what is there); return what the plug holds then."""
    global app
    log.clear()
    if secret is not None:
        esp32._namespaces = {"wattseal": {"blob:key": secret}} if secret else {}
    app = None
    app = App(Contactor(board.PINS["contactor"], board.CONTACTOR_ACTIVE_HIGH))
    return state()


def state():
    session, ledger = app._session, app._ledger
    ended = {}
    for tag in ledger._ended:
        entry = ledger.entry(tag)
        ended[hexlify(tag).decode()] = None if entry is None else entry[1]["receipt"]
    running = session.newest_messages()
    return {
        "register_mwh": app._register.total_mwh,
        "state": session.state,
        "session": None if running is None else running[1]["session"],
        "receipt": None if running is None or running[2] is None else running[2]["receipt"],
        "ended": ended,
        "unpaid": [hexlify(tag).decode() for tag in ledger.unpaid()],
        "damaged": ledger.damaged,
        "guard": ledger.guard(),
        "trip": app._guard.trip,
        "contactor": app._contactor.closed,
    }


def finish(utc):
    """Have the host end the session that goes on, as far as one does; return the state after it."""
    asyncio.new_event_loop()
    return asyncio.run(_finish(utc))


async def _finish(utc):
    session = app._session
    app._clock.set_utc(utc)
    app._supervisor = Beats()
    if session.state == IDLE:
        return state()
    tasks = [asyncio.create_task(app._meter_loop()), asyncio.create_task(app._session_loop())]
    replies = await app._commands.handle(json.dumps({"type": "end", "session": to_hex(session.voucher.session)}).encode())
    for _ in range(100):
        await asyncio.sleep_ms(100)
        if session.state == IDLE or any(task.done() for task in tasks):
            break
    for task in tasks:
        task.cancel()
    return {"error": "refused", "message": str(replies)} if replies else state()


def take_log():
    """Return what was erased and programmed since the last boot began."""
    return list(log)


def wear(sessions, samples, receipts):
    """Let a blank flash see so many sessions, paid but kept as long as there is room, after as many as it can hold; return the erases by sector.

    What is written comes from the last session of the plug that has booted.
    """
    global logs_data
    logs_data = False
    ledger = app._ledger
    tag = sorted(ledger._ended)[0]
    document, receipt = ledger.entry(tag)
    guard, sample = ledger.guard(), ledger.sample()
    blank = b"\xff" * flash.SECTOR
    for place in range(0, len(image), flash.SECTOR):  # a piece of all its length need not be there any more
        image[place : place + flash.SECTOR] = blank
    new = open_ledger(Journal(esp32.Partition("journal")), False)
    for number in range(2 * CAPACITY + sessions):
        if number == 2 * CAPACITY:
            log.clear()
        is_counted = number >= 2 * CAPACITY
        tag = b"%011d" % number
        new.make_room(0)
        new.put_session(tag, document)
        new.put_session(tag, document)
        for _ in range(4):  # closing, the closing an hour later, wear, a mains that goes and comes
            new.put_guard(guard)
        for _ in range(receipts if is_counted else 1):
            for _ in range(samples // receipts + 1 if is_counted else 1):
                new.put_sample(sample)
            new.put_receipt(tag, receipt)
        new.put_sample(sample)
        new.end(tag, 1)
        new.mark_acknowledged(tag)
        new.mark_paid(tag)
    logs_data = True
    erases = [0] * (flash.SIZE // flash.SECTOR)
    for letter, offset, _, _ in log:
        if letter == "E":
            erases[offset // flash.SECTOR] += 1
    return erases


COMMANDS = {"patch": patch, "rebase": rebase, "case": case, "load": load, "boot": boot, "finish": finish, "wear": wear, "take_log": take_log}


def answer(command):
    try:
        return COMMANDS[command[0]](*command[1:])
    except PlugError as error:
        return {"error": error.code, "message": str(error)}


while True:
    received = sys.stdin.readline()
    if not received:
        break
    sys.stdout.write("\n@" + json.dumps([answer(command) for command in json.loads(received)]) + "\n")
