"""The whole path with real processes, as in test_charge.py, where the plug reaches `wattseal relay` by way of a broker or on a serial line."""

import os
import select
import shutil
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from wattseal.demo.driver import Driver
from wattseal.demo.processes import RelayProcess, SimulatedPlug
from wattseal.demo.replay import Replay
from wattseal.protocol.typed_data import FLAG_FINAL
from wattseal.relay.links.users import make_user

from tests.e2e.bench import Bench
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
    monkeypatch.setenv("WATTSEAL_RELAY_BROKER", f"mqtt://127.0.0.1:{broker.port}")
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
    bench = Bench(tmp_path / "first")  # makes the plug's key: its id is its name at the broker
    plug = bench.hello["plug"].removeprefix("0x")
    bench.close()
    monkeypatch.setenv("WATTSEAL_RELAY_MQTT_LISTEN", f"127.0.0.1:{port}")
    monkeypatch.setenv("WATTSEAL_RELAY_MQTT_USERS", str(users))
    relay = {"link": "mqtt", "host": "127.0.0.1", "port": port, "user": plug, "password": make_user(users, plug)}

    class SamePlug(LinkedReplay):
        def start_relay(self) -> RelayProcess:
            """Its broker lets a plug say ten things a second: answers to the usual pings would be too many."""
            return RelayProcess(self._folder, self._upstreams, self.beacon, self.contract, self._relay_key, 0, ping_s=5)

        def start_plug(self, car: dict[str, int] | None = None) -> SimulatedPlug:
            shutil.copytree(tmp_path / "first/flash", self._folder / "flash", dirs_exist_ok=True)
            return super().start_plug(car)

    with SamePlug(tmp_path / "replay", relay) as replay:
        visit = Visit(replay, 400)
        visit.wait_for_receipt()
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


class SerialVisit(Visit):
    """A line takes its time: the plug's goes on while the driver waits for an answer."""

    def __init__(self, replay: Replay, energy_wh: int) -> None:
        is_started = threading.Event()

        def run() -> None:
            while not is_started.is_set():
                replay.plug.run(0.1)

        running = threading.Thread(target=run)
        start = Driver.start

        def start_while_time_passes(driver: Driver, *arguments: Any) -> str:
            running.start()
            try:
                return start(driver, *arguments)
            finally:
                is_started.set()
                running.join()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Driver, "start", start_while_time_passes)
            super().__init__(replay, energy_wh)


def test_a_charge_on_a_serial_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with cable() as (relays, plugs):
        monkeypatch.setenv("WATTSEAL_RELAY_SERIAL", relays)
        with LinkedReplay(tmp_path / "replay", {"link": "serial"}, {"link_line": plugs}) as replay:
            visit = SerialVisit(replay, 400)
            visit.wait_for_receipt()
            state = visit.wait_for_receipt(FLAG_FINAL)
            visit.check_paid(state["true_mwh"] / 1000)
