"""The partition table against ESP-IDF's documented format, and what stock MicroPython expects of it."""

import hashlib
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

spec = importlib.util.spec_from_file_location("partition_table", ROOT / "firmware/partition_table.py")
partition_table = importlib.util.module_from_spec(spec)
spec.loader.exec_module(partition_table)

SHIPPED = (ROOT / "firmware/partitions.csv").read_text()


def read(table: bytes) -> dict[str, tuple[int, int, int, int, int]]:
    """Read a binary table as the guide describes it: {label: (type, subtype, offset, size, flags)}."""
    assert len(table) == 0xC00
    found = {}
    for start in range(0, len(table), 32):
        entry = table[start : start + 32]
        if entry[:2] == b"\xeb\xeb":
            assert entry[2:16] == b"\xff" * 14
            assert entry[16:] == hashlib.md5(table[:start]).digest()
            assert table[start + 32 :] == b"\xff" * (0xC00 - start - 32)
            return found
        assert int.from_bytes(entry[:2], "little") == 0x50AA
        label = entry[12:28].rstrip(b"\0").decode()
        offset, size, flags = (int.from_bytes(entry[at : at + 4], "little") for at in (4, 8, 28))
        found[label] = (entry[2], entry[3], offset, size, flags)
    raise AssertionError("no MD5 entry")


def test_shipped_table(tmp_path, monkeypatch):
    monkeypatch.setattr(partition_table, "OUTPUT", tmp_path / "firmware/partition-table.bin")
    table = partition_table.write().read_bytes()
    assert table[:32] == bytes.fromhex("aa50 01 02 00900000 00600000 6e767300000000000000000000000000 00000000")
    assert read(table) == {
        "nvs": (1, 2, 0x9000, 0x6000, 0),
        "phy_init": (1, 1, 0xF000, 0x1000, 0),
        "factory": (0, 0, 0x10000, 0x1F0000, 0),
        "vfs": (1, 0x81, 0x200000, 0x1C0000, 0),
        "journal": (1, 6, 0x3C0000, 0x40000, 0),
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("journal,  data, undefined, 0x3C0000, 0x40000,", "journal, data, undefined, 0x3C0000, 0x40000", "line 9: 5 fields"),
        ("0x3C0000", "all the rest", "line 9: offset 'all the rest'"),
        ("journal, ", "vfs, ", "line 9: name 'vfs' must"),
        ("journal, ", "a_name_of_16_chr,", "line 9: name 'a_name_of_16_chr' must"),
        ("undefined", "nothing", "line 9: type data, subtype nothing"),
        ("0x40000,", "0x40000, encrypted", "flags 'encrypted'"),
        ("0x3C0000", "0x3C0800", "line 9: offset 0x3c0800 must be a multiple of 0x1000"),
        ("0x10000, ", "0x11000, ", "line 7: offset 0x11000 must be a multiple of 0x10000"),
        ("0x3C0000", "0x3B0000", "line 9: offset 0x3b0000 lies before 0x3c0000"),
        ("0x9000", "0x8000", "line 5: offset 0x8000 lies before 0x9000"),
        ("0x40000,", "0x41000,", "line 9: ends at 0x401000"),
    ],
)
def test_what_is_wrong_is_said(old, new, message):
    assert SHIPPED.count(old) == 1
    with pytest.raises(partition_table.PartitionError) as caught:
        partition_table.parse(SHIPPED.replace(old, new))
    assert message in str(caught.value)
