"""Inside MicroPython, started by tests/bench.py: `micropython bench_firmware.py times` or `... memory`; prints one line of JSON.

Times are microseconds a call, plug.crypto's and those of plain Python in turn, so that whatever else the machine does meets both. The collector runs
before each sample and, where an operation needs it, inside. The memory is what one signature leaves on the heap with the collector off: bytes
that the interpreter itself gives back at once are not in it.
"""

import gc
import json
import os
import sys
import time
from binascii import hexlify

sys.path[:] = os.getenv("MICROPYPATH").split(":")  # without this script's own folder in front

import bench_plain  # noqa: E402
from plug.crypto import keccak, keccak_plain, secp256k1  # noqa: E402

SECRET = bytes(range(1, 33))
DATA = bytes(range(240))
RUNS = 31
CALLS = {"keccak256": 10, "sign": 1, "recover": 1}  # in one sample


def text(data):
    return hexlify(data).decode()


def operations(digest):
    """Name, plug.crypto's function, the alternative in plain Python, arguments."""
    signature = secp256k1.sign(SECRET, digest)
    return (
        ("keccak256", keccak.keccak256, keccak_plain.digest, (DATA,)),
        ("sign", secp256k1.sign, bench_plain.sign, (SECRET, digest)),
        ("recover", secp256k1.recover, bench_plain.recover, (digest, signature)),
    )


def sample(function, arguments, calls):
    gc.collect()
    start = time.ticks_us()
    for _ in range(calls):
        function(*arguments)
    return time.ticks_diff(time.ticks_us(), start) / calls


def times():
    result = {}
    digest = keccak.keccak256(DATA)
    for name, ours, plain, arguments in operations(digest):
        answer = ours(*arguments)
        if plain(*arguments) != answer:
            raise ValueError(f"{name}: plug.crypto and plain Python differ")
        pairs = [(sample(ours, arguments, CALLS[name]), sample(plain, arguments, CALLS[name])) for _ in range(RUNS)]
        result[name] = {"answer": text(answer), "ours_us": [pair[0] for pair in pairs], "plain_us": [pair[1] for pair in pairs]}
    return result


def grown(function, arguments):
    function(*arguments)  # what is made once only
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    function(*arguments)
    after = gc.mem_alloc()
    gc.enable()
    return after - before


def memory():
    return {name: {"ours": grown(ours, arguments), "plain": grown(plain, arguments)} for name, ours, plain, arguments in operations(bytes(32))}


sys.stdout.write(json.dumps({"times": times, "memory": memory}[sys.argv[1]]()) + "\n")
