"""What the simulated flash logs rebuilds the flash, and the journal boots on cuts of it in new processes."""

import importlib.util
import os
import subprocess
from pathlib import Path
from random import Random

import pytest

ROOT = Path(__file__).resolve().parents[2]
CUTS = 5

spec = importlib.util.spec_from_file_location("power_cut", ROOT / "tests/power_cut.py")
power_cut = importlib.util.module_from_spec(spec)
spec.loader.exec_module(power_cut)

OPEN = """
import esp32
from plug.storage.journal import Journal
journal = Journal(esp32.Partition.find(esp32.Partition.TYPE_DATA, label="journal")[0])
"""
WRITE = """
for number in range(200):
    journal.put_sample(b"%d" % number)
    if number % 5 == 0:
        journal.put(b"receipt", b"%d" % number * 400)
print("written")
"""
READ = """
receipt = journal.get(b"receipt")
print(journal.sample.decode(), receipt[: len(receipt) // 400].decode())
"""


def run(script: str, folder: Path, **environment: str) -> str:
    environment = os.environ | {"MICROPYPATH": f"{ROOT}/firmware/sim:{ROOT}/firmware"} | environment
    done = subprocess.run(
        [ROOT / "build/bin/micropython-x64", "-c", OPEN + script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout.strip()


def test_log_rebuilds_the_flash(tmp_path):
    log = tmp_path / "flash.log"
    assert run(WRITE, tmp_path, WATTSEAL_FLASH_LOG=str(log)) == "written"
    flash = (tmp_path / "flash.bin").read_bytes()
    operations = power_cut.read_log(log.read_bytes())
    cuts = list(range(power_cut.total(operations)))
    chosen = {*Random(1).sample(cuts[400:-1], CUTS), cuts[-1]}
    for index, cut in enumerate(power_cut.cuts(operations, power_cut.blank(len(flash)), Random(1))):
        if index in chosen:
            (tmp_path / "flash.bin").write_bytes(cut.image())
            sample, receipt = map(int, run(READ, tmp_path).split())
            assert receipt == sample - sample % 5 or (sample % 5 == 0 and receipt == sample - 5)
    assert (sample, receipt) == (199, 195)
    assert cut.image() == flash


def test_another_log_is_refused():
    with pytest.raises(ValueError, match="byte 0"):
        power_cut.read_log(b"X" + bytes(8))
