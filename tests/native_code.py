"""How much native code .mpy files hold: on an ESP32 it goes to executable RAM, beside MicroPython's heap. `python tests/native_code.py [tree]`.

The format is that of MicroPython 1.25 (documentation, "MicroPython .mpy files", version 6): numbers are in groups of 7 bits, the highest first,
with 0x80 on all but the last. After the header come the interned strings, the constants and the outermost function; each function's first number
holds the length of its code, whether functions within it follow, and its kind.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
XTENSAWIN = ROOT / "build/firmware/socket_10a/xtensawin"
LIMIT = 20 * 1024  # bytes
VERSION = 6
BYTECODE, NATIVE, VIPER, ASSEMBLER = range(4)
FUNCTION_TABLE, NONE, FALSE, TRUE, ELLIPSIS, STRING, BYTES, INTEGER, FLOAT, COMPLEX, TUPLE = range(11)


class Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def skip(self, count: int) -> None:
        self.place += count
        if self.place > len(self._data):
            raise ValueError(f"the file ends before byte {self.place}")

    def number(self) -> int:
        value = 0
        while True:
            self.skip(1)
            byte = self._data[self.place - 1]
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value

    def constant(self) -> None:
        kind = self.number()
        if kind in (STRING, BYTES):
            self.skip(self.number() + 1)  # with a zero at the end
        elif kind in (INTEGER, FLOAT, COMPLEX):
            self.skip(self.number())
        elif kind == TUPLE:
            for _ in range(self.number()):
                self.constant()
        elif kind > TUPLE:
            raise ValueError(f"constant of the unknown kind {kind}")

    def native_code(self) -> int:
        """Bytes of native code in the function that starts here and in those within it."""
        head = self.number()
        kind, has_children, length = head & 3, head & 4, head >> 3
        self.skip(length)
        if kind != BYTECODE:
            self.number()  # where a native function's prelude is, or a viper function's flags
        if kind == ASSEMBLER:
            self.number()
            self.number()
        found = 0 if kind == BYTECODE else length
        return found + sum(self.native_code() for _ in range(self.number() if has_children else 0))


def native_code_bytes(data: bytes) -> int:
    """Bytes of native code in a .mpy file. Raises ValueError where it is not one of this format."""
    if data[:1] != b"M" or data[1] != VERSION:
        raise ValueError(f"not a .mpy file of version {VERSION}: it starts with {data[:4].hex()}")
    reader = Reader(data)
    reader.skip(4)
    strings, constants = reader.number(), reader.number()
    for _ in range(strings):
        length = reader.number()
        if not length & 1:  # else it is one that every MicroPython has
            reader.skip((length >> 1) + 1)
    for _ in range(constants):
        reader.constant()
    found = reader.native_code()
    if reader.place != len(data):
        raise ValueError(f"{len(data) - reader.place} bytes of the file after the last function")
    return found


def tree(folder: Path = XTENSAWIN) -> dict[str, int]:
    """Bytes of native code of each module of a built firmware that has some."""
    sizes = {str(path.relative_to(folder)): native_code_bytes(path.read_bytes()) for path in sorted(folder.rglob("*.mpy"))}
    return {name: size for name, size in sizes.items() if size}


def main() -> None:
    sizes = tree(*map(Path, sys.argv[1:]))
    for name, size in sizes.items():
        sys.stdout.write(f"{name:32} {size:7,} bytes\n")
    sys.stdout.write(f"{'together':32} {sum(sizes.values()):7,} bytes of at most {LIMIT:,}\n")


if __name__ == "__main__":
    main()
