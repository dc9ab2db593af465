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
    """Erases of a sector of samples and of one of documents in ten years, with `live` bytes of documents copied each round."""
    samples = SAMPLES / 64 / SAMPLE_SECTORS
    # Three receipts fit in a sector of 4,064 bytes; voucher, states and tombstones take the place of another 1.5 or so.
    written = RECEIPTS * 4064 / 3 + 928 + 5 * 320 + 2 * 32
    documents = written / (DOCUMENT_SECTORS * 4064 - live)
    return samples * TEN_YEARS, documents * TEN_YEARS


@pytest.mark.parametrize("unsettled", [0, 31])
def test_no_sector_wears_out(unsettled, capsys):
    device = flash_journal.Device()
    booted, erases = device.run(("new", 64), ("boot",))[1], device.run(("run_sessions", SESSIONS, unsettled, SAMPLES, RECEIPTS))[0]
    device.close()
    assert booted is None
    assert len(erases) == SAMPLE_SECTORS + DOCUMENT_SECTORS, erases
    scale = TEN_YEARS / SESSIONS
    samples, documents = (sum(part) / len(part) * scale for part in (erases[:SAMPLE_SECTORS], erases[SAMPLE_SECTORS:]))
    worst = max(erases) * scale
    expected = computed(unsettled * (928 + 1328))
    with capsys.disabled():
        print(  # noqa: T201
            f"\nten years, {unsettled} unsettled sessions: {sum(erases) * scale:,.0f} erases, worst sector {worst:,.0f}; a sector of samples "
            f"{samples:,.0f} (computed {expected[0]:,.0f}), of documents {documents:,.0f} (computed {expected[1]:,.0f})"
        )
    assert worst < ENDURANCE
    assert samples == pytest.approx(expected[0], rel=0.05)
    assert documents == pytest.approx(expected[1], rel=0.25)
