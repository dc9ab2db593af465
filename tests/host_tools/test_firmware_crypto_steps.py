"""No step of the firmware's cryptography is longer than 10 ms at the ESP32 equivalence, so that sampling and interrupts get their turn."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 1_400_000  # i386 instructions: 10 ms at 7 ns each


def test_no_step_is_too_long():
    instructions = runpy.run_path(str(ROOT / "tests/instructions.py"))
    reason = instructions["why_not"]()
    if reason:
        pytest.skip(f"the steps' instructions cannot be counted: {reason}")
    build = [sys.executable, str(ROOT / "firmware/build.py"), "trees", "--board", "socket_10a", "--arch", "x86"]
    subprocess.run(build, check=True, capture_output=True)
    found = instructions["measure"]()
    names = [f"{curve} {name}" for curve in ("secp256k1", "p256") for name in ("public_key", "sign", "verify")]
    for name in ("secp256k1 recover", *names):
        steps = found[name]
        assert len(steps) > 10, name
        assert 100_000 < max(steps) <= LIMIT, (name, steps)
