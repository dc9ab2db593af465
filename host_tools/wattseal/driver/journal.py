"""Files to which lines of JSON are only added; a line counts once it is on the disk, whatever happens afterwards."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wattseal.errors import WalletError
from wattseal.protocol.framing import strict_json

MAX_FILE_BYTES = 64 << 20


class Journal:
    """One file of JSON objects, one a line. To be used by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the objects in order; a last line without its end was never durable and is left out. Raises WalletError."""
        try:
            with self.path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return
        except OSError as error:
            raise WalletError(f"cannot read {self.path}: {error.strerror}") from error
        if len(data) > MAX_FILE_BYTES:
            raise WalletError(f"{self.path} has more than {MAX_FILE_BYTES} bytes; move it away and fetch the receipts again")
        for number, line in enumerate(data.split(b"\n")[:-1], 1):
            try:
                found = strict_json(line)
            except ValueError as error:
                raise WalletError(f"line {number} of {self.path} is damaged: {error}; restore the file from a backup") from error
            if not isinstance(found, dict):
                raise WalletError(f"line {number} of {self.path} is no object; restore the file from a backup")
            yield found

    def add(self, *entries: dict[str, Any]) -> None:
        """Append objects; they are on the disk when this returns. Raises WalletError."""
        lines = b"".join(json.dumps(entry, separators=(",", ":")).encode() + b"\n" for entry in entries)
        try:
            is_new = not self.path.exists()
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            with open(descriptor, "r+b") as file:
                file.seek(_end_of_last_line(file.read(MAX_FILE_BYTES)))
                file.truncate()
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                flush_folder(self.path.parent)
        except OSError as error:
            raise WalletError(f"cannot write {self.path}: {error.strerror}; nothing was signed or sent") from error


def flush_folder(folder: Path) -> None:
    """Put a folder's list of files on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _end_of_last_line(data: bytes) -> int:
    return data.rfind(b"\n") + 1
