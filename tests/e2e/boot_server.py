"""A MicroPython process that boots the real App over images of flash, a hundred a second (power_cut_server.py)."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from wattseal.demo.processes import ROOT, _wiring

BOARD = "desk_16a"
HERE = Path(__file__).parent


class Server:
    """A process of power_cut_server.py."""

    def __init__(self, folder: Path, config: str) -> None:
        folder.mkdir()
        (folder / "config.json").write_text(config)
        (folder / "sim.json").write_text(json.dumps({"car": {"energy_wh": 5000, "current_ma": 6000}} | _wiring(BOARD)))
        path = [ROOT / "firmware/sim", ROOT / "build/firmware" / BOARD / "x64"]
        environment = {"MICROPYPATH": ":".join(map(str, path)) + ":.frozen", "WATTSEAL_SIM": str(folder / "sim.json")}
        self.folder = folder
        self._process = subprocess.Popen(
            [ROOT / "build/bin/micropython-x64", "-X", "heapsize=6m", HERE / "power_cut_server.py"],
            cwd=folder,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *commands: tuple) -> list[Any]:
        """Run commands; return their results."""
        self._process.stdin.write(json.dumps(commands) + "\n")
        self._process.stdin.flush()
        while True:
            line = self._process.stdout.readline()
            assert line, "the server has ended"
            if line.startswith("@"):
                return json.loads(line[1:])

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()
