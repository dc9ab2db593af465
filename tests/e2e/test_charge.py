"""The whole path with real processes: firmware in MicroPython, relay, gateway, anvil."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wattseal.demo.charges import Charge, load
from wattseal.demo.driver import PRICE_PER_HOUR, PRICE_PER_KWH
from wattseal.demo.replay import CAR_CURRENT_MA, METER_ERROR_PPM, Replay
from wattseal.gateway.contract import STATUS_CLOSED
from wattseal.protocol.typed_data import FLAG_FINAL, FLAG_POWER_LOST

ARRIVAL = 1_551_450_000
INTERVAL_WH = 250


@pytest.fixture(params=["x64", "x86"])
def replay(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Replay]:
    with Replay(tmp_path, ARRIVAL, port=request.param) as running:
        yield running


class Visit:
    """One driver's session on a running replay."""

    def __init__(self, replay: Replay, energy_wh: int) -> None:
        self.replay = replay
        page = replay.connected()
        self.plug = page["plug"]
        self.driver = replay.driver(bytes(31) + b"\x05")
        self.voucher = self.driver.voucher(replay.relay.get(f"/plugs/{self.plug}/offer"), replay.host)
        self.session = self.driver.start(replay.relay, self.voucher)
        replay.plug.ask(cmd="plug_in", energy_wh=energy_wh, current_ma=CAR_CURRENT_MA)
        replay.charging(self.session)

    def page(self) -> dict[str, Any]:
        page: dict[str, Any] = self.replay.relay.get(f"/sessions/{self.session}")
        return page

    def receipts(self) -> list[dict[str, Any]]:
        page = self.replay.relay.get(f"/sessions/{self.session}/receipts")
        return [message["receipt"] for message in page["receipts"]]

    def wait_for_receipt(self, flag: int = 0) -> dict[str, Any]:
        """Let time pass until the relay has a receipt with `flag` that is newer than the ones it has now."""
        before = len(self.receipts())
        for _ in range(60):
            state = self.replay.let_pass(20)
            newest = self.receipts()[before:]
            if newest and newest[-1]["flags"] & flag == flag:
                return state
        raise AssertionError(f"no further receipt with flags {flag:#x} in {self.receipts()}")

    def check_paid(self, true_wh: float) -> None:
        """The newest receipt is final, does not exceed the true energy, and is paid to the last unit, the rest refunded."""
        settlement = self.replay.settled(self.session)
        final = self.receipts()[-1]
        assert final["flags"] & FLAG_FINAL
        assert final["energyWh"] <= true_wh * (1 + METER_ERROR_PPM / 1e6)
        due = final["energyWh"] * PRICE_PER_KWH // 1000 + final["activeSeconds"] * PRICE_PER_HOUR // 3600
        assert settlement["total_paid"] == due
        assert settlement["proof_verified"]
        assert self.driver.wallet.session_state(bytes.fromhex(self.session[2:])).status == STATUS_CLOSED
        assert self.driver.wallet.balance_of(self.replay.host, self.voucher.token) == due
        assert self.driver.wallet.balance_of(self.driver.wallet.address, self.voucher.token) == self.voucher.cap - due


def test_a_charge_is_paid_for_what_was_delivered(replay: Replay) -> None:
    outcome = replay.replay(Charge("desk", ARRIVAL, ARRIVAL + 1800, 600), lambda wh: None)
    assert outcome.true_wh == pytest.approx(600, abs=0.01)
    assert outcome.metered_wh == pytest.approx(600, rel=METER_ERROR_PPM / 1e6)
    assert outcome.true_wh * 0.998 - 2 <= outcome.billed_wh <= outcome.true_wh * (1 + METER_ERROR_PPM / 1e6)
    assert outcome.over_billed_wh == 0
    assert outcome.settlement["proof_verified"]
    assert outcome.settlement["paid"] >= outcome.billed_wh * PRICE_PER_KWH // 1000


def test_a_plug_that_lost_power_resumes_and_bills_only_what_it_metered(replay: Replay) -> None:
    visit = Visit(replay, 5000)
    state = visit.wait_for_receipt()
    state = visit.wait_for_receipt()
    state = replay.let_pass(30)
    assert state["contacts"]
    before = visit.receipts()[-1]
    replay.plug.kill()
    lost_wh = state["true_mwh"] / 1000

    replay.plug = replay.start_plug({"energy_wh": 400, "current_ma": CAR_CURRENT_MA})
    assert replay.plug.run(0.1)["contacts"] == 0
    replay.charging(visit.session)
    state = visit.wait_for_receipt(FLAG_FINAL)
    true_wh = lost_wh + state["true_mwh"] / 1000
    final = visit.receipts()[-1]
    assert final["flags"] & FLAG_POWER_LOST
    assert final["sequence"] > before["sequence"]
    assert (final["startedAt"], final["registerWh"]) == (before["startedAt"], before["registerWh"])
    assert true_wh - INTERVAL_WH - 2 <= final["energyWh"]
    visit.check_paid(true_wh)


def test_a_relay_killed_in_a_session_loses_nothing(replay: Replay) -> None:
    visit = Visit(replay, 700)
    visit.wait_for_receipt()
    stored = visit.receipts()
    replay.relay.kill()
    state = replay.plug.run(900, "contactor_open")
    replay.chain.follow(replay.utc(state))
    replay.relay = replay.start_relay()
    assert visit.receipts()[: len(stored)] == stored
    state = visit.wait_for_receipt(FLAG_FINAL)
    visit.check_paid(state["true_mwh"] / 1000)


def test_a_driver_stops(replay: Replay) -> None:
    visit = Visit(replay, 5000)
    visit.wait_for_receipt()
    visit.driver.stop(replay.relay, visit.session)
    state = visit.wait_for_receipt(FLAG_FINAL)
    assert state["contacts"] == 0
    visit.check_paid(state["true_mwh"] / 1000)


def test_real_sessions_are_read_as_they_are() -> None:
    charges = load(5)
    assert [charge.energy_wh for charge in charges] == [4216, 786, 1018, 17366, 4711]
    assert (charges[0].departure - charges[0].arrival) == 80 * 60
