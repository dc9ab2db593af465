from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wattseal.driver.journal import Journal
from wattseal.errors import WalletError


def test_nothing_yet(tmp_path: Path) -> None:
    assert list(Journal(tmp_path / "none").read()) == []


@given(cut=st.integers(1, 40))
def test_a_line_that_was_cut_off_does_not_count_and_does_not_spoil_the_next(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    journal = Journal(path)
    journal.add({"n": 1}, {"n": 2})
    whole = path.read_bytes()
    journal.add({"n": 3, "text": "x" * 20})
    path.write_bytes(whole + path.read_bytes()[len(whole) :][:-cut])
    assert list(journal.read()) == [{"n": 1}, {"n": 2}]
    journal.add({"n": 4})
    assert list(journal.read()) == [{"n": 1}, {"n": 2}, {"n": 4}]


@pytest.mark.parametrize("line", [b"{", b"[1]", b'{"a":1,"a":2}', b"\xff"])
def test_damage_in_the_middle_is_named(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "j").write_bytes(b'{"n":1}\n' + line + b"\n")
    with pytest.raises(WalletError, match="line 2"):
        list(Journal(tmp_path / "j").read())


def test_only_this_user_reads_it(tmp_path: Path) -> None:
    Journal(tmp_path / "j").add({})
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600
