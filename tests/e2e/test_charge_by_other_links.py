"""The whole path with real processes, as in test_charge.py, where the plug reaches `wattseal relay` by way of a broker or on a serial line."""

import os
import select
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from wattseal.demo.processes import SimulatedPlug
from wattseal.demo.replay import Replay
from wattseal.protocol.typed_data import FLAG_FINAL
from wattseal.relay.links.users import make_user

from tests.e2e.brokers import Mosquitto, free_port, needs_mosquitto
from tests.e2e.test_charge import ARRIVAL, Visit


class LinkedReplay(Replay):
    """A replay whose plug has `relay` in its configuration and `settings` in its simulator."""

    def __init__(self, folder: Path, relay: dict[str, Any], settings: dict[str, Any] | None = None) -> None:
        self._plug_relay = relay
        self._plug_settings = settings
        super().__init__(folder, ARRIVAL)

    def start_plug(self, car: dict[str, int] | None = None) -> SimulatedPlug:
        self._utc_at_zero = self.chain.timestamp()
        terms = {"host": "0x" + self.host.hex(), "utc_offset_min": 0, "tariff": [], "schedule": [], "button": False, "site": False}
        config = {"terms": terms, "relay": self._plug_relay}
        return SimulatedPlug(self._folder, self._board, self._port, self.contract, 0, car=car, settings=self._plug_settings, config=config)


@needs_mosquitto
def test_a_charge_by_a_broker_that_dies_and_a_relay_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Mosquitto(tmp_path)
    monkeypatch.setenv("WATTSEAL_MQTT_BROKER", f"mqtt://127.0.0.1:{broker.port}")
    try:
        with LinkedReplay(tmp_path / "replay", {"link": "mqtt", "host": "127.0.0.1", "port": broker.port}) as replay:
            visit = Visit(replay, 800)
            visit.wait_for_receipt()
            broker.close()
            assert replay.let_pass(60)["contacts"]
            broker.start()
            visit.wait_for_receipt()
            replay.relay.kill()
            assert replay.let_pass(60)["contacts"]
            replay.relay = replay.start_relay()
            state = visit.wait_for_receipt(FLAG_FINAL)
            visit.check_paid(state["true_mwh"] / 1000)
    finally:
        broker.close()


def test_a_charge_by_the_relay_s_own_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port, users = free_port(), tmp_path / "users"
    make_user(users, "nobody")
    with Replay(tmp_path / "replay", ARRIVAL) as first:  # tells the plug's id: a password needs it
        plug = first.connected()["plug"]
    password = make_user(users, plug.removeprefix("0x"))
    monkeypatch.setenv("WATTSEAL_MQTT_LISTEN", f"127.0.0.1:{port}")
    monkeypatch.setenv("WATTSEAL_MQTT_USERS", str(users))
    relay = {"link": "mqtt", "host": "127.0.0.1", "port": port, "user": plug.removeprefix("0x"), "password": password}
    flash = tmp_path / "replay" / "flash"
    kept = {path.name: path.read_bytes() for path in flash.iterdir() if path.name != "config.json"}

    class SamePlug(LinkedReplay):
        def start_plug(self, car: dict[str, int] | None = None) -> SimulatedPlug:
            flash.mkdir(exist_ok=True)
            for name, data in kept.items():
                (flash / name).write_bytes(data)
            return super().start_plug(car)

    with SamePlug(tmp_path / "replay", relay) as replay:
        visit = Visit(replay, 600)
        state = visit.wait_for_receipt(FLAG_FINAL)
        visit.check_paid(state["true_mwh"] / 1000)


@contextmanager
def cable() -> Iterator[tuple[str, str]]:
    """Two device files that are the ends of one line."""
    ends = [os.openpty(), os.openpty()]
    for _, slave in ends:
        tty.setraw(slave)
    masters = [master for master, _ in ends]
    is_cut = threading.Event()

    def carry() -> None:
        while not is_cut.is_set():
            for master in select.select(masters, [], [], 0.05)[0]:
                data = os.read(master, 65536)
                os.write(masters[1 - masters.index(master)], data)

    carrier = threading.Thread(target=carry)
    carrier.start()
    try:
        yield os.ttyname(ends[0][1]), os.ttyname(ends[1][1])
    finally:
        is_cut.set()
        carrier.join()
        for pair in ends:
            for end in pair:
                os.close(end)


def test_a_charge_on_a_serial_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with cable() as (relays, plugs):
        monkeypatch.setenv("WATTSEAL_SERIAL", relays)
        with LinkedReplay(tmp_path / "replay", {"link": "serial"}, {"link_line": plugs}) as replay:
            visit = Visit(replay, 600)
            state = visit.wait_for_receipt(FLAG_FINAL)
            visit.check_paid(state["true_mwh"] / 1000)
