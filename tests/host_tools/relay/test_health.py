"""Ready or not, and why."""

import asyncio
import sqlite3
import time
from pathlib import Path

import httpx
import pytest
from wattseal.errors import StoreError
from wattseal.relay import health
from wattseal.relay.api import make_app
from wattseal.relay.health import Health, Reason

from tests.host_tools.conftest import FakeGateway, RunningRelay

pytestmark = pytest.mark.anyio


async def test_every_check_that_fails_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", 0.01)

    async def good() -> None:
        return None

    async def bad() -> str:
        return "it is broken: mend it"

    async def failing() -> None:
        raise StoreError("the disk is full")

    async def hanging() -> None:
        await asyncio.Event().wait()

    asked = Health()
    for name, check in (("good", good), ("bad", bad), ("failing", failing), ("hanging", hanging)):
        asked.add(name, check)
    assert await asked.reasons() == [
        Reason("bad", "it is broken: mend it"),
        Reason("failing", "the disk is full [store]"),
        Reason("hanging", "no answer within 0.01 s"),
    ]


async def test_many_who_ask_are_answered_by_one_check() -> None:
    made = 0

    async def check() -> None:
        nonlocal made
        made += 1

    asked = Health()
    asked.add("check", check)
    await asyncio.gather(*(asked.reasons() for _ in range(50)))
    assert made == 1


async def test_the_api_says_ready_or_why_not(running: RunningRelay, gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = Health()
    checks.add("store", running.relay.check_store)
    checks.add("link", running.server.check)
    checks.add("chain", lambda: running.relay.check_head(900))
    monkeypatch.setattr(health, "KEEP_S", 0)
    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", 0.5)
    app = make_app(running.relay, loopback_only=False, health=checks)
    async with httpx.AsyncClient(base_url="http://relay", transport=httpx.ASGITransport(app)) as api:
        gateway.head = int(time.time()) - 5
        answer = await api.get("/healthz")
        assert (answer.status_code, answer.json()["ok"], answer.json()["reasons"]) == (200, True, [])
        gateway.head = int(time.time()) - 5_000
        await running.server.close()
        other = sqlite3.connect(tmp_path / "relay.sqlite")
        other.execute("BEGIN IMMEDIATE")
        answer = await api.get("/healthz")
        assert (answer.status_code, answer.json()["ok"]) == (503, False)
        why = {reason["check"]: reason["why"] for reason in answer.json()["reasons"]}
        other.close()
        assert why.keys() == {"store", "link", "chain"}
        assert "5000 s old" in why["chain"] or "5001 s old" in why["chain"]
        assert (await api.get("/livez")).status_code == 200
        assert (await api.get("/metrics")).headers["content-type"].startswith("text/plain")
