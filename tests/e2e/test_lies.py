"""An upstream that forges what decides about money, between the relay and the chain: refused, named, and the next one asked."""

from pathlib import Path

import pytest
from rich.console import Console
from wattseal.cli.demo import _show_refusal
from wattseal.demo.charges import Charge
from wattseal.demo.lies import Forged
from wattseal.demo.replay import Replay
from wattseal.errors import ProofError

ARRIVAL = 1_551_450_000
CHARGE = Charge("desk", ARRIVAL, ARRIVAL + 900, 60)
WHY = {
    Forged.RECEIPT: "the receipts give the root",
    Forged.BALANCE: "a trie node does not have the hash",
    Forged.HEADER: "asked for block",
}


@pytest.mark.parametrize("forged", Forged)
def test_a_forgery_is_refused_and_the_honest_upstream_asked(tmp_path: Path, forged: Forged) -> None:
    with Replay(tmp_path, ARRIVAL, forged=forged) as replay:
        outcome = replay.deliver(CHARGE, lambda _: None)
        refusal = replay.refusal()
        assert refusal.startswith(f"{replay.liar.name} forged {'the ' if forged is not Forged.RECEIPT else 'a '}")
        assert WHY[forged] in refusal
        assert "simulated sync committee" in refusal
        outcome.settlement = replay.settled(outcome.session)
        replay.wait_until_final(outcome)
        assert outcome.settlement["proof_verified"]
        assert outcome.final
        assert outcome.over_billed_wh == 0
        assert replay.driver(b"\x07" * 32).wallet.balance_of(replay.host, bytes(20)) == outcome.settlement["total_paid"]
        assert replay.verified.basis == "header signed by the sync committee of simulated beacon chain"


def test_without_an_honest_upstream_nothing_counts_as_paid(tmp_path: Path) -> None:
    with Replay(tmp_path, ARRIVAL, forged=Forged.RECEIPT, alone=True) as replay:
        outcome = replay.deliver(CHARGE, lambda _: None)
        with pytest.raises(ProofError, match=r"no other upstream.*give it another --rpc"):
            _show_refusal(Console(), replay, alone=True)
        settlements = replay.relay.get(f"/sessions/{outcome.session}")["settlements"]
        assert not [settlement for settlement in settlements if settlement["paid"] is not None]
