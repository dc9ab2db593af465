"""embit's pure-Python secp256k1 in the 32-bit port: the public implementation for MicroPython that tests/bench.py measures plug.crypto beside.

It comes from PyPI when the bench runs and stays below build/. Two things that MicroPython lacks are given to the copy: `int.bit_length`, replaced by
the length of `bin`, and `hmac`, of which it uses one function. No other line is changed. What runs is embit.util.key, which does the work of its
py_secp256k1: that one's own conversions reverse bytes with a slice, which MicroPython cannot.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from statistics import median
from typing import Any

import instructions

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "tests/bench_embit_firmware.py"
VERSION = "0.8.0"
TITLE = f"embit {VERSION}"
RUNS = 15
HMAC = """from hashlib import sha256


class new:
    def __init__(self, key, message, name):
        self._data = key + bytes(64 - len(key)), message

    def digest(self):
        key, message = self._data
        inner = sha256(bytes([byte ^ 0x36 for byte in key]) + message).digest()
        return sha256(bytes([byte ^ 0x5C for byte in key]) + inner).digest()
"""


def fetch(folder: Path) -> Path | None:
    """Get embit into `folder`, ready for MicroPython; None where PyPI cannot be reached."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:", "--dest", str(folder), f"embit=={VERSION}"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return None
    tree = folder / "embit_tree"
    shutil.rmtree(tree, ignore_errors=True)
    package = tree / "embit/util"
    package.mkdir(parents=True)
    for init in (package, package.parent):
        (init / "__init__.py").touch()
    with tarfile.open(folder / f"embit-{VERSION}.tar.gz") as archive:
        source = archive.extractfile(f"embit-{VERSION}/src/embit/util/key.py")
        if source is None:
            raise FileNotFoundError("embit/util/key.py")
        (package / "key.py").write_text(re.sub(r"(\w+)\.bit_length\(\)", r"(len(bin(\1)) - 2)", source.read().decode()))
    (tree / "hmac.py").write_text(HMAC)
    return tree


def times_ms(tree: Path) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """What embit answered, and milliseconds of each call by its name."""
    found = []
    for _ in range(RUNS):
        environment = os.environ | {"MICROPYPATH": f"{tree}:.frozen"}
        command = [str(ROOT / "build/bin/micropython-x86"), "-X", "heapsize=32m", str(SCRIPT)]
        found.append(json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout))
    return found[0], {name: [answer[f"{name}_us"] / 1000 for answer in found] for name in ("sign", "verify")}


def instruction_counts(tree: Path) -> dict[str, int]:
    """Instructions of a signature and of its verification, without the collector; needs instructions.why_not() == ""."""
    _, counts = instructions.count(SCRIPT, tree, heap="32m")
    return {"secp256k1 sign": counts[-3], "secp256k1 verify": counts[-1]}


def main() -> None:
    folder = ROOT / "build/bench"
    folder.mkdir(parents=True, exist_ok=True)
    tree = fetch(folder)
    if tree is None:
        sys.stdout.write("embit cannot be had from PyPI\n")
        return
    sys.stdout.write(f"{TITLE}: { ({name: median(values) for name, values in times_ms(tree)[1].items()}) } ms\n")
    sys.stdout.write(f"{instructions.why_not() or instruction_counts(tree)}\n")


if __name__ == "__main__":
    main()
