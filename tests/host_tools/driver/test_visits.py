"""A driver at a plug through a real relay, and through relays that lie."""

import asyncio
import itertools
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from wattseal.driver import visits
from wattseal.driver.folder import DriverFolder
from wattseal.driver.relay_client import MAX_ANSWER_BYTES, RelayClient
from wattseal.driver.visits import Wanted
from wattseal.errors import BadSignature, BadTerms, LinkError, RelayRefused, WattsealError, WrongChain, WrongPlug
from wattseal.protocol.messages import SessionMessage, Voucher, to_hex
from wattseal.relay.api import make_drivers_app

from tests.host_tools.conftest import Actors, RunningRelay, ScriptedPlug, until
from tests.host_tools.conftest import actors as actors
from tests.host_tools.conftest import anyio_backend as anyio_backend
from tests.host_tools.relay.test_api import serving
from tests.host_tools.relay.test_keys import enrolment

WANTED = Wanted(cap=10**16, hours=24, host=Actors.host)


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wattseal.driver.visits.time.time", lambda: float(Actors.now))


@pytest.fixture
async def relay(running: RunningRelay) -> AsyncIterator[RelayClient]:
    async with serving(running, loopback_only=True, make=make_drivers_app) as client:
        yield RelayClient(str(client.base_url))


def offer(nonce: int = 7, **changes: Any) -> dict[str, Any]:
    return {"type": "offer", "nonce": nonce, "issued_at": Actors.now, "price_per_kwh": 10**14, "price_per_hour": 10**13} | changes


async def offering(running: RunningRelay) -> ScriptedPlug:
    plug = await running.connect()
    await plug.send(offer())
    await until(lambda: running.relay.connection(running.actors.plug).offer is not None)
    return plug


async def arrive(running: RunningRelay, folder: DriverFolder, relay: RelayClient, wanted: Wanted = WANTED) -> Any:
    actors = running.actors
    return await asyncio.to_thread(visits.arrive, folder, relay, actors.plug, wanted, actors.chain_id, actors.contract, None)


async def accept(plug: ScriptedPlug, running: RunningRelay) -> None:
    frame = await plug.expect("voucher")
    voucher = Voucher.from_wire(frame["voucher"])
    await plug.send(SessionMessage(voucher.digest(running.actors.domain), voucher, bytes.fromhex(frame["signature"][2:])).frame())


@pytest.mark.anyio
class TestAtAPlug:
    async def test_from_the_offer_to_the_last_receipt(self, running: RunningRelay, relay: RelayClient, folder: DriverFolder) -> None:
        plug = await offering(running)
        arriving = asyncio.create_task(arrive(running, folder, relay))
        await accept(plug, running)
        session = await arriving
        assert folder.is_accepted(session)
        assert (session.voucher.pricePerKwh, session.voucher.nonce, session.voucher.host) == (10**14, 7, Actors.host)
        assert await asyncio.to_thread(visits.fetch, folder, session, relay) == []
        messages = [running.actors.receipt_message(session.id, sequence) for sequence in range(1, 4)]
        await plug.send(*(message.frame() for message in messages))
        await until(lambda: running.store.count_receipts(session.id) == 3)
        assert await asyncio.to_thread(visits.fetch, folder, session, relay) == messages
        stopping = asyncio.create_task(asyncio.to_thread(visits.stop, folder, session, relay))
        stop = await plug.expect("stop")
        assert stop["session"] == to_hex(session.id)
        await plug.send(running.actors.status("ending", session.id))
        await stopping
        last = running.actors.receipt_message(session.id, 4, final=True)
        await plug.send(last.frame())
        await until(lambda: running.store.count_receipts(session.id) == 4)
        assert (await asyncio.to_thread(visits.fetch, folder, session, relay))[-1] == last
        assert visits.newest(folder, session).message == last

    async def test_the_host_is_whom_the_plug_signed_for(self, running: RunningRelay, relay: RelayClient, folder: DriverFolder) -> None:
        plug = await offering(running)
        nobody = replace(WANTED, host=None)
        with pytest.raises(LinkError, match="--host"):
            await arrive(running, folder, relay, nobody)
        await plug.send(enrolment().frame())
        await until(lambda: running.store.enrolment(running.actors.plug) is not None)
        arriving = asyncio.create_task(arrive(running, folder, relay, nobody))
        await accept(plug, running)
        assert (await arriving).voucher.host == running.actors.host

    async def test_what_the_plug_refused_is_signed_anew_with_the_same_key(
        self, running: RunningRelay, relay: RelayClient, folder: DriverFolder
    ) -> None:
        """The money waits at that key's address."""
        plug = await offering(running)
        arriving = asyncio.create_task(arrive(running, folder, relay))
        await plug.expect("voucher")
        await plug.send({"type": "refused", "code": "stale_nonce", "message": "said by the plug", "session": None})
        with pytest.raises(RelayRefused, match="said by the plug"):
            await arriving
        await plug.send(offer(8))
        await until(lambda: running.relay.connection(running.actors.plug).offer.nonce == 8)  # type: ignore[union-attr]
        again = asyncio.create_task(arrive(running, folder, relay))
        assert (await plug.expect("voucher"))["voucher"]["nonce"] == 7  # an answer that was lost looks the same
        await plug.send({"type": "refused", "code": "stale_nonce", "message": "said by the plug", "session": None})
        await accept(plug, running)
        session = await again
        assert session.voucher.nonce == 8
        assert [one.index for one in folder.sessions] == [session.index, session.index]

    async def test_a_price_above_the_limit_is_not_signed(self, running: RunningRelay, relay: RelayClient, folder: DriverFolder) -> None:
        await offering(running)
        with pytest.raises(BadTerms, match="a kWh"):
            await arrive(running, folder, relay, replace(WANTED, most_per_kwh=10**13))
        assert folder.sessions == []


class Liar(BaseHTTPRequestHandler):
    """A relay that answers what a test says."""

    answers: dict[str, Any] = {}  # noqa: RUF012 - of the one server

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        status, body = next((answer for path, answer in self.answers.items() if path in self.path), (404, b"{}"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    do_GET = do_POST = _answer  # noqa: N815 - the base class's names

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def liar() -> Iterator[RelayClient]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Liar.answers = {}
    yield RelayClient(f"http://127.0.0.1:{server.server_port}/")
    server.shutdown()
    server.server_close()


def offered(**changes: Any) -> dict[str, Any]:
    actors = Actors()
    own = {"plug": to_hex(actors.plug), "rated_power_w": 2300, "chain_id": actors.chain_id, "contract": to_hex(actors.contract)}
    return {key: value for key, value in (offer() | own | changes).items() if key != "type"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (offered(plug="0x" + "11" * 20), WrongPlug),
        (offered(contract="0x" + "11" * 20), WrongChain),
        (offered(issued_at=0), LinkError),
        ({"code": "no_offer", "message": "x" * 5000}, WattsealError),
        ([], LinkError),
        (b"<html>", LinkError),
        (b"[" * 100_000, LinkError),
        (b"x" * (MAX_ANSWER_BYTES + 1), LinkError),
    ],
)
def test_a_relay_that_lies_about_the_offer_gets_no_signature(liar: RelayClient, folder: DriverFolder, answer: Any, error: type[Exception]) -> None:
    Liar.answers["offer"] = 200, answer
    with pytest.raises(error) as refusal:
        visits.sign(folder, liar, Actors().plug, WANTED, Actors.chain_id, Actors.contract, None)
    assert folder.sessions == []
    assert len(str(refusal.value)) < 1000


def signed(folder: DriverFolder, liar: RelayClient) -> Any:
    Liar.answers["offer"] = 200, offered()
    return visits.sign(folder, liar, Actors().plug, WANTED, Actors.chain_id, Actors.contract, None)


def test_a_relay_that_names_another_session_has_not_handed_it_over(liar: RelayClient, folder: DriverFolder) -> None:
    session = signed(folder, liar)
    Liar.answers["vouchers"] = 201, {"session": "0x" + "11" * 32}
    with pytest.raises(LinkError, match="another session"):
        visits.arrive(folder, liar, Actors().plug, WANTED, Actors.chain_id, Actors.contract, None)
    assert not folder.is_accepted(session)


@pytest.mark.parametrize("wish", [{"most_per_kwh": 10**13}, {"most_per_hour": 1}, {"host": b"\x66" * 20}])
def test_what_was_signed_for_another_wish_is_not_handed_over_again(liar: RelayClient, folder: DriverFolder, wish: dict[str, Any]) -> None:
    """Its answer was lost, and the driver has named a limit or another host since."""
    session = signed(folder, liar)
    Liar.answers = {"vouchers": (201, {"session": to_hex(session.id)})}
    with pytest.raises(WattsealError):  # there is no offer to sign anew for
        visits.arrive(folder, liar, Actors().plug, replace(WANTED, **wish), Actors.chain_id, Actors.contract, None)
    assert not folder.is_accepted(session)


@pytest.mark.parametrize("cheat", ["forged", "never ends", "grows", "of another session", "no list"])
def test_a_relay_that_lies_about_receipts_has_none_kept(liar: RelayClient, folder: DriverFolder, monkeypatch: pytest.MonkeyPatch, cheat: str) -> None:
    session, actors = signed(folder, liar), Actors()
    good = actors.receipt_message(session.id, 1)
    numbers = itertools.count()
    answers: dict[str, Callable[[], Any]] = {
        "forged": lambda: {"receipts": [actors.signed(good.receipt, key=actors.driver_key).to_wire()], "after": None},
        "never ends": lambda: {"receipts": [], "after": -1},
        "grows": lambda: {"receipts": [], "after": next(numbers)},
        "of another session": lambda: {"receipts": [actors.receipt_message(b"\x11" * 32, 1).to_wire()], "after": None},
        "no list": lambda: {"receipts": good.to_wire(), "after": None},
    }
    if cheat == "grows":
        monkeypatch.setattr(liar, "_ask", lambda *_: answers[cheat]())
    Liar.answers["receipts"] = 200, answers[cheat]()
    with pytest.raises(WattsealError):
        visits.fetch(folder, session, liar)
    assert folder.receipts(session) == []


def test_an_enrolment_that_another_key_signed_names_no_host(liar: RelayClient, folder: DriverFolder) -> None:
    actors = Actors()
    Liar.answers = {"offer": (200, offered()), "key": (200, enrolment().to_wire() | {"host": "0x" + "66" * 20})}
    with pytest.raises(BadSignature):
        visits.sign(folder, liar, actors.plug, replace(WANTED, host=None), actors.chain_id, actors.contract, None)
    assert folder.sessions == []


def test_no_relay_at_all_says_so() -> None:
    with pytest.raises(LinkError, match="is it running"):
        RelayClient("http://127.0.0.1:9").offer(bytes(20))
