"""Inside MicroPython, started by tests/bench_embit.py: embit signs and verifies what tests/bench_firmware.py does; prints one line of JSON.

Each call runs once before it is measured. A call of os.getenv before and after it marks it for callgrind.
"""

import gc
import json
import os
import sys
import time
from binascii import hexlify

sys.path[:] = os.getenv("MICROPYPATH").split(":")  # without this script's own folder in front

from embit.util.key import ECKey  # noqa: E402

SECRET = bytes(range(1, 33))
DIGEST = bytes(range(32))


def measured(function, *arguments):
    """What the function returns, and the microseconds that it takes."""
    function(*arguments)
    gc.collect()
    gc.disable()
    mark = os.getenv
    mark("")
    start = time.ticks_us()
    answer = function(*arguments)
    taken_us = time.ticks_diff(time.ticks_us(), start)
    mark("")
    gc.enable()
    return answer, taken_us


key = ECKey()
key.set(SECRET, False)
signature, sign_us = measured(key.sign_ecdsa, DIGEST)
right, verify_us = measured(key.get_pubkey().verify_ecdsa, signature, DIGEST)
sys.stdout.write(json.dumps({"sign": hexlify(signature).decode(), "verify": right, "sign_us": sign_us, "verify_us": verify_us}) + "\n")
