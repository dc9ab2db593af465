"""Inside MicroPython under callgrind, started by tests/instructions.py: runs plug.crypto's operations, each first once for what is made once only.

A call of os.getenv, before the first step and after each, marks where the count of a step ends. Prints JSON: a list of [operation, number of steps].
"""

import gc
import json
import os
import sys

sys.path[:] = os.getenv("MICROPYPATH").split(":")  # without this script's own folder in front

from plug.crypto import keccak, p256, secp256k1  # noqa: E402

SECRET = bytes(range(1, 33))
DIGEST = keccak.keccak256(bytes(range(240)))
PUBLIC = secp256k1.public_key(SECRET)
SIGNATURE = secp256k1.sign(SECRET, DIGEST)


def one_step(function):
    """A stepping form of a function that has none."""

    def steps(*arguments):
        function(*arguments)
        return
        yield

    return steps


OPERATIONS = (
    ("nothing", one_step(lambda: None), ()),
    ("keccak256, 1 block", one_step(keccak.keccak256), (bytes(100),)),
    ("keccak256, 2 blocks", one_step(keccak.keccak256), (bytes(236),)),
    ("secp256k1 public_key", secp256k1.public_key_steps, (SECRET,)),
    ("secp256k1 sign", secp256k1.sign_steps, (SECRET, DIGEST)),
    ("secp256k1 recover", secp256k1.recover_steps, (DIGEST, SIGNATURE)),
    ("secp256k1 verify", secp256k1.verify_steps, (PUBLIC, DIGEST, SIGNATURE[:64])),
    ("p256 public_key", p256.public_key_steps, (SECRET,)),
    ("p256 sign", p256.sign_steps, (SECRET, DIGEST)),
    ("p256 verify", p256.verify_steps, (p256.public_key(SECRET), DIGEST, p256.sign(SECRET, DIGEST))),
)


def count(steps):
    """Run all steps with a mark after each; their number."""
    done = 0
    mark = os.getenv
    mark("")
    for _ in steps:
        mark("")
        done += 1
    mark("")
    return done + 1


marked = []
for name, function, arguments in OPERATIONS:
    for _ in function(*arguments):
        pass
    gc.collect()
    gc.disable()
    marked.append((name, count(function(*arguments))))
    gc.enable()
sys.stdout.write(json.dumps(marked))
