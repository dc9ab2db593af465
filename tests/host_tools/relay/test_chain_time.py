import pytest
from wattseal.errors import GatewayError, Implausible, RpcError
from wattseal.relay import chain_time
from wattseal.relay.chain_time import MAX_AHEAD_S, ChainTime

pytestmark = pytest.mark.anyio

NOW = 1_772_000_000


class Head:
    """A chain's newest header, or what asking for it raises."""

    def __init__(self) -> None:
        self.utc = NOW
        self.failure: GatewayError | None = None
        self.asked = 0

    async def __call__(self) -> int:
        self.asked += 1
        if self.failure:
            raise self.failure
        return self.utc


@pytest.fixture
def head() -> Head:
    return Head()


async def test_a_time_that_has_not_come_is_implausible(head: Head) -> None:
    clock = ChainTime(head)
    await clock.ask()
    await clock.check(NOW + MAX_AHEAD_S)
    with pytest.raises(Implausible, match=str(NOW + MAX_AHEAD_S + 60)):
        await clock.check(NOW + MAX_AHEAD_S + 60)


async def test_the_chain_is_asked_again_before_a_receipt_is_refused(head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_time, "_ASK_EVERY_S", 0)
    clock = ChainTime(head)
    await clock.ask()
    head.utc = NOW + 86_400
    await clock.check(NOW + 86_400)
    await clock.check(NOW + 3600)
    assert head.asked == 2


async def test_a_flood_of_times_ahead_does_not_flood_the_chain(head: Head) -> None:
    clock = ChainTime(head)
    await clock.ask()
    for _ in range(50):
        with pytest.raises(Implausible):
            await clock.check(2**63)
    assert head.asked == 1


async def test_without_a_chain_there_is_nothing_to_compare_with(head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_time, "_ASK_EVERY_S", 0)
    clock = ChainTime(head)
    await clock.check(2**63)
    assert head.asked == 0
    await clock.ask()
    head.failure = RpcError("no answer")
    await clock.check(NOW + 86_400)


async def test_a_chain_that_answers_with_an_older_header_takes_nothing_back(head: Head) -> None:
    clock = ChainTime(head)
    await clock.ask()
    head.utc = NOW - 86_400
    assert await clock.ask() == NOW - 86_400
    await clock.check(NOW + MAX_AHEAD_S)
