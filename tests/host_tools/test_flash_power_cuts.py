"""Power is cut in every erase and program of a workload, and again while the journal recovers: nothing is lost, nothing comes back."""

import importlib.util
from pathlib import Path
from random import Random

import pytest

HERE = Path(__file__).parent


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


flash_journal = load("flash_journal", HERE / "flash_journal.py")
power_cut = load("power_cut", HERE.parent / "power_cut.py")

SECTORS = 16  # 5 of samples, 11 of documents
RECOVERIES = 60
AGAIN = 6
BATCH = 40


@pytest.fixture(scope="module")
def device():
    running = flash_journal.Device()
    yield running
    running.close()


def workload(random):
    """Sessions as the plug has them, more of them and longer than one round of both rings, with odd sizes and removals between."""
    commands = [("boot",), ("put", b"kept".hex(), 500, 7)]
    for session in range(11):
        if session > 1:
            commands += [("remove", f"{kind}{session - 2:02}".encode().hex()) for kind in "rv"]
        voucher, receipt = (f"{kind}{session:02}".encode().hex() for kind in "vr")
        commands.append(("put", voucher, 900, random.getrandbits(32)))
        for number in range(random.choice([2, 8, 10])):
            commands += [("put_sample", random.randint(1, 48), random.getrandbits(32)) for _ in range(6)]
            commands.append(("put", receipt, random.choice([1300, 1300, 1290, 1700, 60]), random.getrandbits(32)))
            if number % 4 == 0:
                commands.append(("put", b"state".hex(), 300, random.getrandbits(32)))
        if session % 3 == 0:
            commands.append(("boot",))
    return commands


def record(device, commands):
    """Run commands from the flash as it is; return the operations and for each command their number before it, with the model then."""
    operations, before, model = [], [], flash_journal.Model()
    device.run(("new", SECTORS), ("start_log",))
    for command in commands:
        before.append((len(operations), model.copy()))
        result, log = device.run(command, ("take_log",))
        assert result is None, result
        operations += as_operations(log)
        model.take(command)
    before.append((len(operations), model))
    return operations, before


def as_operations(log):
    return [power_cut.Operation(offset, length, bytes.fromhex(data) if letter == "P" else None) for letter, offset, length, data in log]


def allowed(commands, before, number):
    """Return the states that a cut in operation `number` may leave: of before the command that was cut, or of after it."""
    at = max(index for index, (start, _) in enumerate(before) if start <= number)
    states = [before[at][1].state()]
    if at < len(commands):
        states.append(before[at + 1][1].state())
    if before[at][0] == number:  # between two commands; those without an operation too
        states += [model.state() for start, model in before if start == number]
    return states


def patches(cut):
    return [(cut.offset, cut.content.hex())] if cut.content else []


def test_every_cut(device, capsys):
    random = Random(1)
    commands = workload(random)
    operations, before = record(device, commands)
    erased = {operation.offset // power_cut.SECTOR for operation in operations if operation.data is None}
    assert len(erased) == SECTORS
    assert sum(operation.data is None for operation in operations) > 2 * SECTORS - 6
    total, tested, base = power_cut.total(operations), 0, 0
    device.run(("new", SECTORS))
    batch, wanted = [], []

    def check_batch():
        results = device.run(*batch)
        for (cut, states), place in zip(wanted, range(0, len(results), 6), strict=True):
            where = f"cut in operation {cut[0]} ({cut[1]})"
            assert results[place + 1] is None, (where, results[place + 1])
            assert results[place + 2] in states, where
            assert results[place + 3] is None, (where, results[place + 3])
            assert results[place + 4] is None, (where, results[place + 4])
            after = [results[place + 2][0], results[place + 2][1] | {b"after".hex(): flash_journal.digest(400, 5)}]
            assert results[place + 5] == after, where
        batch.clear()
        wanted.clear()
        return len(results) // 6

    for cut in power_cut.cuts(operations, power_cut.blank(SECTORS * power_cut.SECTOR), random):
        while base < cut.number:  # the device's base follows
            if batch:
                tested += check_batch()
            place = operations[base].offset
            device.run(("patch", place, cut.flash[place : place + operations[base].length].hex()))
            base += 1
        batch += [("case", patches(cut)), ("boot",), ("state",), ("put", b"after".hex(), 400, 5), ("boot",), ("state",)]
        wanted.append(((cut.number, cut.name), allowed(commands, before, cut.number)))
    tested += check_batch()
    with capsys.disabled():
        print(f"\npower cuts: {len(operations)} erases and programs, {tested} cuts tested of {total}")  # noqa: T201
    assert tested == total


def test_cuts_in_recovery(device, tmp_path, capsys):
    """The command that was cut is given again after the cut, and cut at each of its own operations; then some more times in a row."""
    random = Random(2)
    commands = workload(random)
    operations, before = record(device, commands)
    # Cuts in and after the opening of a sector of documents, where live records move.
    places = [
        number
        for number, operation in enumerate(operations)
        if any(other.data is None and other.offset >= SECTORS * 5 // 16 * power_cut.SECTOR for other in operations[max(0, number - 9) : number + 1])
    ]
    names = {True: ("erased 128/256", "erased 250/256"), False: ("programmed 2/4", "programmed 3/4")}
    chosen = {number: random.choice(names[operations[number].data is None]) for number in random.sample(places, RECOVERIES)}
    tested = total = again = 0
    for cut in power_cut.cuts(operations, power_cut.blank(SECTORS * power_cut.SECTOR), random):
        if chosen.get(cut.number) != cut.name:
            continue
        states = allowed(commands, before, cut.number)
        command = commands[max(index for index, (start, _) in enumerate(before[:-1]) if start <= cut.number)]
        states.append(after(states[0], command))
        image = cut.image()
        inner = recover(device, image, command, tmp_path)
        assert inner
        total += power_cut.total(inner)
        for second in power_cut.cuts(inner, bytearray(image), random):
            check(device, second.image(), states, f"{cut.number} {cut.name}, then {second.number} {second.name}", tmp_path)
            tested += 1
        for _ in range(AGAIN):  # the same again and again, at any place
            inner = recover(device, image, command, tmp_path)
            image = random.choice([second.image() for second in power_cut.cuts(inner, bytearray(image), random)])
            check(device, image, states, f"{cut.number} {cut.name}, and again", tmp_path)
            again += 1
    with capsys.disabled():
        print(f"\npower cuts in recovery: {len(chosen)} cuts, {tested} second cuts tested of {total}, {again} in rows of {AGAIN}")  # noqa: T201
    assert tested == total


def after(state, command):
    model = flash_journal.Model()
    model.sample, model.documents = state[0], dict(state[1])
    model.take(command)
    return model.state()


def show(device, image, folder):
    """Let the device work on an image."""
    (folder / "image").write_bytes(image)
    device.run(("load", str(folder / "image")))


def recover(device, image, command, folder):
    """Boot on an image and give a command; return the operations."""
    show(device, image, folder)
    log, booted, result, more = device.run(("start_log",), ("boot",), command, ("take_log",))
    assert booted is None, booted
    assert result is None, result
    assert log is None
    return as_operations(more)


def check(device, image, states, where, folder):
    show(device, image, folder)
    booted, state = device.run(("boot",), ("state",))
    assert booted is None, (where, booted)
    assert state in states, where
