"""What the demo promises about files and figures, without running it."""

import pytest
from wattseal.demo.charges import Charge
from wattseal.demo.replay import Outcome, Replay, summary
from wattseal.errors import ConfigError

CHARGE = Charge("desk", 0, 60, 1000)


def outcome(billed_wh, true_wh=1000.0, **settlement):
    paid = {"paid": 5, "gas_used": 1, "tx_hash": "0x00", "block_number": 1, "proof_verified": True}
    return Outcome(CHARGE, "0x00", true_wh=true_wh, metered_wh=true_wh, billed_wh=billed_wh, settlement=paid | settlement, final=True)


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="no demo made"):
        Replay(tmp_path, 0)
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_billing_up_to_the_meters_stated_error_is_not_over_billing():
    result = summary([outcome(1001), outcome(0)], "a basis")
    assert result["over_billed_wh"] == 0
    assert result["ok"] is True


def test_billing_beyond_it_is_reported_and_fails():
    result = summary([outcome(1000), outcome(1003)], "a basis")
    assert result["over_billed_wh"] == pytest.approx(2)
    assert result["ok"] is False


@pytest.mark.parametrize("settlement", [{"proof_verified": False}, {"paid": None}, {"paid": 0}])
def test_an_unproven_or_unpaid_session_fails(settlement):
    assert summary([outcome(1000, **settlement)], "a basis")["ok"] is False


def test_a_session_that_is_not_final_does_not_count():
    unsettled = outcome(1000)
    unsettled.final = False
    result = summary([outcome(1000), unsettled], "header signed by the sync committee of simulated beacon chain")
    assert result["ok"] is False
    assert "simulated" in result["basis"]
