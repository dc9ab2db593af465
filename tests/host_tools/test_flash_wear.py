"""What ten years of four mean sessions a day do to the flash, from forty sessions that the firmware's journal really writes."""

import importlib.util
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("flash_journal", Path(__file__).with_name("flash_journal.py"))
flash_journal = importlib.util.module_from_spec(spec)
spec.loader.exec_module(flash_journal)

SESSIONS = 40
TEN_YEARS = 4 * 3652  # sessions
SAMPLES = 933  # 9.33 kWh, one each 10 Wh
RECEIPTS = 38  # of 1,300 bytes, 250 Wh each and the last; one voucher of 900 bytes, 5 states of 300
SAMPLE_SECTORS, DOCUMENT_SECTORS = 20, 44
ENDURANCE = 20_000


def computed(live: int) -> tuple[float, float]:
    """Erases of a sector of samples and of one of documents in ten years, while `live` bytes of documents stay."""
    samples = SAMPLES / 64 / SAMPLE_SECTORS
    # Three receipts fit in a sector of 4,064 bytes; voucher, states and tombstones take the place of another half a dozen records.
    written = RECEIPTS * 4064 / 3 + 928 + 5 * 320 + 2 * 32
    # A round copies what is live, a quarter of the ring before it must.
    documents = written / (DOCUMENT_SECTORS * 4064 - live * 4 / 3)
    return samples * TEN_YEARS, documents * TEN_YEARS


@pytest.mark.parametrize("unsettled", [0, 31])
def test_no_sector_wears_out(unsettled, capsys):
    device = flash_journal.Device()
    _, booted, (erases, most) = device.run(("new", 64), ("boot",), ("run_sessions", SESSIONS, unsettled, SAMPLES, RECEIPTS))
    device.close()
    assert booted is None
    assert most <= 2  # of 45 ms each: nothing else runs meanwhile
    assert len(erases) == SAMPLE_SECTORS + DOCUMENT_SECTORS, erases
    scale = TEN_YEARS / SESSIONS
    samples, documents = (sum(part) / len(part) * scale for part in (erases[:SAMPLE_SECTORS], erases[SAMPLE_SECTORS:]))
    worst = max(erases) * scale
    expected = computed(unsettled * (928 + 1328))
    with capsys.disabled():
        print(  # noqa: T201
            f"\nten years, {unsettled} unsettled sessions: {sum(erases) * scale:,.0f} erases, worst sector {worst:,.0f}, at most {most} in one call; "
            f"a sector of samples {samples:,.0f} (computed {expected[0]:,.0f}), of documents {documents:,.0f} (computed {expected[1]:,.0f})"
        )
    assert worst < ENDURANCE
    assert samples == pytest.approx(expected[0], rel=0.05)
    assert 0.95 * expected[1] < documents < 1.4 * expected[1]  # records seldom fill a sector to its end
