"""The HTTP API over a real socket, with a scripted plug on the other side of the relay."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from wattseal.protocol.messages import to_hex
from wattseal.relay.api import MAX_BODY_BYTES, make_app, make_drivers_app
from wattseal.relay.links import Timings

from tests.host_tools.conftest import RunningRelay, ScriptedPlug, until
from tests.host_tools.relay.test_keys import enrolment, retirement

pytestmark = pytest.mark.anyio


class ApiServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(running: RunningRelay, loopback_only: bool, make: Callable[..., Starlette] = make_app) -> AsyncIterator[httpx.AsyncClient]:
    listener = socket.create_server(("127.0.0.1", 0))
    host, port = listener.getsockname()
    server = ApiServer(uvicorn.Config(make(running.relay, loopback_only), lifespan="off", log_config=None, access_log=False))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=10) as client:
        yield client
    server.should_exit = True
    await task


@pytest.fixture
async def api(running: RunningRelay) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(running, loopback_only=True) as client:
        yield client


async def offering(running: RunningRelay) -> ScriptedPlug:
    plug = await running.connect()
    await plug.send({"type": "offer", "nonce": 7, "issued_at": running.actors.now, "price_per_kwh": 0, "price_per_hour": 0})
    await until(lambda: running.relay.connection(running.actors.plug).offer is not None)
    return plug


def voucher_body(running: RunningRelay) -> dict[str, Any]:
    return running.actors.voucher_message().to_wire()


async def test_a_drivers_way_from_offer_to_settlement(running: RunningRelay, api: httpx.AsyncClient) -> None:
    actors = running.actors
    plug = await offering(running)
    path = f"/plugs/{to_hex(actors.plug)}"
    offer = (await api.get(f"{path}/offer")).json()
    assert offer == {
        "plug": to_hex(actors.plug),
        "nonce": 7,
        "issued_at": actors.now,
        "price_per_kwh": 0,
        "price_per_hour": 0,
        "rated_power_w": 2300,
        "chain_id": actors.chain_id,
        "contract": to_hex(actors.contract),
    }
    posting = asyncio.create_task(api.post(f"{path}/vouchers", json=voucher_body(running)))
    await plug.expect("voucher")
    await plug.send(actors.session().frame())
    posted = await posting
    session = actors.session().session
    assert (posted.status_code, posted.json()) == (201, {"session": to_hex(session)})
    running.gateway.open(session)
    first, last = actors.receipt_message(session, 1), actors.receipt_message(session, 2, final=True)
    await plug.send(first.frame(), last.frame())
    await plug.expect("settled")
    seen = (await api.get(f"/sessions/{to_hex(session)}")).json()
    settled = running.store.settlements(session)[0]
    assert seen["voucher"] == actors.voucher().to_wire()
    assert seen["newest"] == last.to_wire()
    assert seen["receipts"] == 2
    assert seen["due"] == settled.total_paid
    assert [(one["state"], one["paid"], one["tx_hash"], one["proof_verified"]) for one in seen["settlements"]] == [
        ("settled", settled.paid, "0x" + "11" * 32, True)
    ]
    receipts = (await api.get(f"/sessions/{to_hex(session)}/receipts")).json()
    assert receipts == {"receipts": [first.to_wire(), last.to_wire()], "after": None}
    assert (await api.get(f"/sessions/{to_hex(session)}/receipts?after=1")).json()["receipts"] == [last.to_wire()]


@pytest.mark.parametrize(("code", "status"), [("busy", 409), ("stale_nonce", 409), ("bad_terms", 422), ("bad_signature", 422)])
async def test_the_plugs_refusal_keeps_its_code(running: RunningRelay, api: httpx.AsyncClient, code: str, status: int) -> None:
    plug = await offering(running)
    posting = asyncio.create_task(api.post(f"/plugs/{to_hex(running.actors.plug)}/vouchers", json=voucher_body(running)))
    await plug.expect("voucher")
    await plug.send({"type": "refused", "code": code, "message": "said by the plug", "session": None})
    posted = await posting
    assert (posted.status_code, posted.json()) == (status, {"code": code, "message": "said by the plug"})


class TestSilentPlug:
    @pytest.fixture
    def timings(self) -> Timings:
        return Timings(poll_s=0.01, answer_s=0.05)

    async def test_a_plug_that_does_not_answer_is_504(self, running: RunningRelay, api: httpx.AsyncClient) -> None:
        await offering(running)
        posted = await api.post(f"/plugs/{to_hex(running.actors.plug)}/vouchers", json=voucher_body(running))
        assert (posted.status_code, posted.json()["code"]) == (504, "plug_silent")


async def test_a_plug_that_is_not_there(running: RunningRelay, api: httpx.AsyncClient) -> None:
    path = f"/plugs/{to_hex(running.actors.plug)}/offer"
    assert ((await api.get(path)).status_code, (await api.get(path)).json()["code"]) == (404, "unknown_plug")
    plug = await running.connect()
    assert ((await api.get(path)).status_code, (await api.get(path)).json()["code"]) == (409, "no_offer")
    await running.charge(plug)
    await plug.close()
    await until(lambda: not running.relay.connections)
    assert ((await api.get(path)).status_code, (await api.get(path)).json()["code"]) == (504, "plug_offline")


async def test_stop(running: RunningRelay, api: httpx.AsyncClient) -> None:
    plug = await running.connect()
    session = await running.charge(plug)
    path = f"/sessions/{to_hex(session)}/stop"
    forged = running.actors.stop(session, key=running.actors.plug_key)
    refused = await api.post(path, json={"signature": to_hex(forged.signature)})
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_signature")
    stopping = asyncio.create_task(api.post(path, json={"signature": to_hex(running.actors.stop(session).signature)}))
    await plug.expect("stop")
    await plug.send(running.actors.status("ending", session))
    stopped = await stopping
    assert (stopped.status_code, stopped.json()) == (200, {"session": to_hex(session)})


async def test_plugs_health_and_quarantine(running: RunningRelay, api: httpx.AsyncClient) -> None:
    plug = await offering(running)
    await plug.send(running.actors.status("idle"))
    await plug.send_raw(b"rubbish\n")
    await plug.expect("refused")
    assert (await api.get("/healthz")).json()["plugs_connected"] == 1
    (seen,) = (await api.get("/plugs")).json()["plugs"]
    status = {key: value for key, value in running.actors.status("idle").items() if key != "type"}
    assert (seen["connected"], seen["offers"], seen["firmware"], seen["status"]) == (True, True, "0.1.0", status)
    (entry,) = (await api.get("/quarantine")).json()["quarantine"]
    assert (entry["code"], bytes.fromhex(entry["raw"][2:])) == ("bad_frame", b"rubbish")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nothing", b"", 404, "not_found"),
        ("GET", "/plugs/0x12/offer", b"", 422, "malformed"),
        ("GET", "/plugs/0x" + "AA" * 20 + "/offer", b"", 422, "malformed"),
        ("GET", "/sessions/0x" + "00" * 32, b"", 404, "unknown_session"),
        ("GET", "/sessions/0x" + "00" * 32 + "/receipts", b"", 404, "unknown_session"),
        ("POST", "/sessions/0x" + "00" * 32 + "/stop", json.dumps({"signature": "0x" + "00" * 65}).encode(), 404, "unknown_session"),
        ("POST", "/plugs", b"", 405, "method_not_allowed"),
        ("POST", "/plugs/0x" + "00" * 20 + "/vouchers", b"", 422, "malformed"),
        ("POST", "/plugs/0x" + "00" * 20 + "/vouchers", b"[" * 5000, 422, "malformed"),
        ("POST", "/plugs/0x" + "00" * 20 + "/vouchers", b'{"voucher":{},"signature":"0x"}', 422, "malformed"),
        ("POST", "/plugs/0x" + "00" * 20 + "/vouchers", b'{"voucher":1.5,"signature":"0x"}', 422, "malformed"),
        ("POST", "/plugs/0x" + "00" * 20 + "/vouchers", b" " * (MAX_BODY_BYTES + 1), 413, "too_large"),
    ],
)
async def test_every_refusal_has_one_shape(api: httpx.AsyncClient, method: str, path: str, body: bytes, status: int, code: str) -> None:
    answer = await api.request(method, path, content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json().keys() == {"code", "message"}
    assert answer.json()["message"]


async def test_after_must_be_an_integer(running: RunningRelay, api: httpx.AsyncClient) -> None:
    session = await running.charge(await running.connect())
    for text in ("x", "", "1.5", "9" * 30):
        answer = await api.get(f"/sessions/{to_hex(session)}/receipts", params={"after": text})
        assert (answer.status_code, answer.json()["code"]) == (422, "malformed")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7141", "127.0.0.1.evil.example", ""])
async def test_another_host_is_refused_on_loopback(api: httpx.AsyncClient, host: str) -> None:
    answer = await api.get("/plugs", headers={"host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "bad_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:7141", "127.0.0.1:7141", "[::1]:7141", "[::1]"])
async def test_the_loopback_names_are_taken(api: httpx.AsyncClient, host: str) -> None:
    assert (await api.get("/healthz", headers={"host": host})).status_code == 200


async def test_any_host_is_taken_elsewhere(running: RunningRelay) -> None:
    async with serving(running, loopback_only=False) as api:
        assert (await api.get("/healthz", headers={"host": "relay.example"})).status_code == 200


async def test_the_hosts_commands_reach_the_plug(running: RunningRelay, api: httpx.AsyncClient) -> None:
    plug = await running.connect()
    path = f"/plugs/{to_hex(running.actors.plug)}/commands"
    for command in (
        {"type": "clear_trip"},
        {"type": "new_contactor"},
        {"type": "reboot"},
        {"type": "budget", "current_ma": 6000},
        {"type": "end", "session": "0x" + "ab" * 32},
    ):
        assert (await api.post(path, json=command)).status_code == 202
        assert await plug.expect(command["type"]) == command


@pytest.mark.parametrize(
    "command",
    [{}, {"type": "format"}, {"type": ["end"]}, {"type": "budget", "current_ma": -1}, {"type": "budget"}, {"type": "reboot", "now": 1}, []],
)
async def test_a_command_that_is_none_goes_nowhere(running: RunningRelay, api: httpx.AsyncClient, command: Any) -> None:
    await running.connect()
    assert (await api.post(f"/plugs/{to_hex(running.actors.plug)}/commands", json=command)).status_code == 422


async def test_a_page_of_another_site_cannot_command_a_plug(running: RunningRelay, api: httpx.AsyncClient) -> None:
    await running.connect()
    answer = await api.post(f"/plugs/{to_hex(running.actors.plug)}/commands", content='{"type": "reboot"}', headers={"content-type": "text/plain"})
    assert answer.status_code == 415


async def test_an_enrolment_is_asked_for_and_exported(running: RunningRelay, api: httpx.AsyncClient) -> None:
    actors = running.actors
    plug = await running.connect()
    path = f"/plugs/{to_hex(actors.plug)}"
    missing = await api.get(f"{path}/key")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_enrolled")
    posting = asyncio.create_task(api.post(f"{path}/enrolments", json={"epoch": 5}))
    assert (await plug.expect("enrol"))["epoch"] == 5
    message = enrolment(5)
    await plug.send(message.frame())
    posted = await posting
    expected = message.to_wire() | {"chain_id": actors.chain_id, "contract": to_hex(actors.contract), "retirements": [], "retired": None}
    assert (posted.status_code, posted.json()) == (201, expected)
    assert (await api.get(f"{path}/key")).json() == expected


async def test_a_retired_key_is_shown_as_retired_and_not_asked_to_enrol(running: RunningRelay, api: httpx.AsyncClient) -> None:
    running.store.put_enrolment(enrolment(5))
    running.store.put_retirement(retirement(6))
    await running.connect()  # whoever has the old secret can
    path = f"/plugs/{to_hex(running.actors.plug)}"
    shown = (await api.get(f"{path}/key")).json()
    assert (shown["epoch"], shown["retired"]) == (5, retirement(6).to_wire())
    posted = await api.post(f"{path}/enrolments", json={"epoch": None})
    assert (posted.status_code, posted.json()["code"]) == (409, "retired")
    assert to_hex(running.actors.other_plug) in posted.json()["message"]


async def test_a_plug_without_a_host_or_with_a_later_epoch_says_so(running: RunningRelay, api: httpx.AsyncClient) -> None:
    plug = await running.connect()
    for code, status in (("no_host", 422), ("stale_epoch", 409)):
        posting = asyncio.create_task(api.post(f"/plugs/{to_hex(running.actors.plug)}/enrolments", json={"epoch": None}))
        await plug.expect("enrol")
        await plug.send({"type": "refused", "code": code, "message": "said by the plug", "session": None})
        posted = await posting
        assert (posted.status_code, posted.json()) == (status, {"code": code, "message": "said by the plug"})


@pytest.mark.parametrize(
    "body", ['{"epoch": 0}', '{"epoch": -1}', '{"epoch": "5"}', '{"epoch": true}', '{"epoch": 18446744073709551616}', "{}", '{"epoch": 1, "host": 2}']
)
async def test_no_epoch_is_taken_for_one(running: RunningRelay, api: httpx.AsyncClient, body: str) -> None:
    await running.connect()
    path = f"/plugs/{to_hex(running.actors.plug)}/enrolments"
    posted = await api.post(path, content=body, headers={"content-type": "application/json"})
    assert (posted.status_code, posted.json()["code"]) == (422, "malformed")
    assert (await api.post(path, content='{"epoch": 1}', headers={"content-type": "text/plain"})).status_code == 415


async def test_a_plug_that_never_came_cannot_enrol(running: RunningRelay, api: httpx.AsyncClient) -> None:
    posted = await api.post(f"/plugs/{to_hex(running.actors.plug)}/enrolments", json={"epoch": None})
    assert (posted.status_code, posted.json()["code"]) == (404, "unknown_plug")


async def test_drivers_have_their_own_address_without_what_is_the_hosts(running: RunningRelay) -> None:
    plug = f"/plugs/{to_hex(running.actors.plug)}"
    session = to_hex(await running.charge(await running.connect()))
    async with serving(running, loopback_only=False, make=make_drivers_app) as drivers:
        for path in (f"/sessions/{session}", f"/sessions/{session}/receipts", f"/sessions/{session}/page"):
            assert (await drivers.get(path)).status_code == 200
        assert (await drivers.get(f"{plug}/offer")).json()["code"] == "no_offer"
        assert (await drivers.get(f"{plug}/key")).json()["code"] == "not_enrolled"
        assert (await drivers.post(f"/sessions/{session}/stop", json={"signature": "0x" + "00" * 65})).json()["code"] == "bad_signature"
        for path in ("/plugs", "/quarantine", "/healthz", "/metrics", f"{plug}", "/sessions", "/"):
            assert (await drivers.get(path)).status_code == 404
        for path in (f"{plug}/commands", f"{plug}/enrolments"):
            assert (await drivers.post(path, json={"type": "reboot"})).status_code == 404
