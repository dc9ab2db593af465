"""Turn firmware/partitions.csv into ESP-IDF's binary partition table.

python firmware/partition_table.py    build/firmware/partition-table.bin

Format: ESP-IDF programming guide, "Partition Tables"; entries of 32 bytes, then one with the MD5 of all before it, then 0xFF up to 0xC00 bytes.
"""

import hashlib
import struct
import sys
from pathlib import Path

FIRMWARE = Path(__file__).resolve().parent
SOURCE = FIRMWARE / "partitions.csv"
OUTPUT = FIRMWARE.parent / "build" / "firmware" / "partition-table.bin"

FLASH_SIZE = 0x400000
TABLE_OFFSET, SECTOR, APP_ALIGNMENT = 0x8000, 0x1000, 0x10000
TABLE_SIZE, ENTRY = 0xC00, struct.Struct("<2sBBLL16sL")
TYPES = {"app": 0x00, "data": 0x01}
SUBTYPES = {("app", "factory"): 0x00, ("data", "phy"): 0x01, ("data", "nvs"): 0x02, ("data", "undefined"): 0x06, ("data", "fat"): 0x81}
FLAGS = {"": 0}


class PartitionError(Exception):
    """What is wrong with a partition table; one message for people."""


def parse(text: str) -> list[tuple[str, str, str, int, int, str]]:
    """Return (name, type, subtype, offset, size, flags) of each line. Raise PartitionError that names line, value and remedy."""
    entries = []
    end = TABLE_OFFSET + SECTOR
    for number, line in enumerate(text.splitlines(), 1):
        fields = [field.strip() for field in line.split("#")[0].split(",")]
        if fields == [""]:
            continue
        where = f"partitions.csv, line {number}"
        if len(fields) != 6:
            raise PartitionError(f"{where}: {len(fields)} fields; six are needed: name, type, subtype, offset, size, flags")
        name, kind, subtype, flags = *fields[:3], fields[5]
        try:
            offset, size = (int(field, 0) for field in fields[3:5])
        except ValueError:
            raise PartitionError(f"{where}: offset {fields[3]!r} and size {fields[4]!r} must be numbers, such as 0x9000") from None
        if not 0 < len(name.encode()) < 16 or name in [entry[0] for entry in entries]:
            raise PartitionError(f"{where}: name {name!r} must be of 1 to 15 bytes and no other partition's")
        if (kind, subtype) not in SUBTYPES or flags not in FLAGS:
            raise PartitionError(f"{where}: type {kind}, subtype {subtype}, flags {flags!r} are not known; add them to firmware/partition_table.py")
        alignment = APP_ALIGNMENT if kind == "app" else SECTOR
        if offset % alignment or size % SECTOR or size <= 0:
            raise PartitionError(f"{where}: offset {offset:#x} must be a multiple of {alignment:#x}, size {size:#x} one of {SECTOR:#x}")
        if offset < end:
            raise PartitionError(f"{where}: offset {offset:#x} lies before {end:#x}, where the partition before it ends; move it")
        end = offset + size
        if end > FLASH_SIZE:
            raise PartitionError(f"{where}: ends at {end:#x}, but the flash at {FLASH_SIZE:#x}; make it smaller")
        entries.append((name, kind, subtype, offset, size, flags))
    return entries


def binary(entries: list[tuple[str, str, str, int, int, str]]) -> bytes:
    """Return the table as the boot loader reads it."""
    table = b""
    for name, kind, subtype, offset, size, flags in entries:
        table += ENTRY.pack(b"\xaa\x50", TYPES[kind], SUBTYPES[kind, subtype], offset, size, name.encode(), FLAGS[flags])
    table += b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(table, usedforsecurity=False).digest()
    return table.ljust(TABLE_SIZE, b"\xff")


def write() -> Path:
    """Write the table of firmware/partitions.csv; return its path. Raise PartitionError."""
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_bytes(binary(parse(SOURCE.read_text())))
    return OUTPUT


if __name__ == "__main__":
    try:
        print(write())
    except PartitionError as error:
        sys.exit(str(error))
