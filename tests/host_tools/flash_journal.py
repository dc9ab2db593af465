"""The firmware's journal in a MicroPython process, and the plain model that it must agree with."""

import json
import os
import subprocess
from binascii import crc32
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Device:
    """A process of flash_journal_server.py, run from source."""

    def __init__(self, port: str = "x64") -> None:
        command = [ROOT / f"build/bin/micropython-{port}", "-X", "heapsize=16m", ROOT / "tests/host_tools/flash_journal_server.py"]
        environment = os.environ | {"MICROPYPATH": str(ROOT / "firmware")}
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, *commands: tuple) -> list:
        """Run commands; return their results."""
        self._process.stdin.write(json.dumps(commands) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()


def digest(length: int, fill: int) -> list[int]:
    """Length and CRC of the content that the server makes of these."""
    data = (fill.to_bytes(4, "little") + bytes([fill & 0xFF]) * length)[:length]
    return [length, crc32(data)]


class Model:
    """What the journal must hold."""

    def __init__(self) -> None:
        self.sample: list[int] | None = None
        self.documents: dict[str, list[int]] = {}

    def copy(self) -> "Model":
        other = Model()
        other.sample, other.documents = self.sample, dict(self.documents)
        return other

    def take(self, command: tuple) -> None:
        """Follow a command that was carried out."""
        name, *arguments = command
        if name == "put":
            self.documents[arguments[0]] = digest(*arguments[1:])
        elif name == "remove":
            self.documents.pop(arguments[0], None)
        elif name == "put_sample":
            self.sample = digest(*arguments)

    def state(self) -> list:
        return [self.sample, self.documents]
