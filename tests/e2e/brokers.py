"""MQTT brokers for tests: Mosquitto as a process, amqtt in a thread; and a relay's place behind them."""

import asyncio
import json
import queue
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from amqtt.broker import Broker
from paho.mqtt.enums import CallbackAPIVersion

from tests.e2e.bench import Bench

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
TIMEOUT_S = 20
CONNECT_TRIES = 400
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="Mosquitto is not installed (Debian: mosquitto)")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens on {port}"
            time.sleep(0.02)  # another process opens it


class Mosquitto:
    """A broker on `port`, with the given lines of mosquitto.conf more; anonymous unless they say something else."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        head = ("user root", "persistence false", f"listener {self.port} 127.0.0.1")
        anonymous = () if any(line.startswith("allow_anonymous") for line in lines) else ("allow_anonymous true",)
        self._config.write_text("\n".join((*head, *anonymous, *lines)) + "\n")
        self._log = folder / "mosquitto.log"
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([MOSQUITTO, "-c", self._config, "-v"], stdout=log, stderr=log)
        wait_for_port(self.port)

    def close(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")


class Amqtt:
    """The embedded broker, in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.start()

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._run(self._start())

    async def _start(self) -> None:
        plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        self._broker = Broker({"listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}}, "plugins": plugins})
        await self._broker.start()

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT_S)

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self._run(self._broker.shutdown())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Listener:
    """In the relay's place: hears what every plug says, and answers on the plug's own topic."""

    def __init__(self, port: int, tls: dict[str, str] | None = None, login: tuple[str, str] | None = None, client: str = "relay") -> None:
        self.heard: queue.Queue[dict[str, Any]] = queue.Queue()
        self.acknowledged = threading.Event()
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client, protocol=paho.MQTTv311)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("wattseal/+/+/+/up", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._take
        if tls:
            self._client.tls_set(**tls)
        if login:
            self._client.username_pw_set(*login)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(TIMEOUT_S)

    def _take(self, client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        self.topic = message.topic
        assert message.qos == 1
        self.heard.put(json.loads(message.payload))

    def forget_subscription(self) -> None:
        """Have `wait_subscribed` wait for the next one: the broker is about to die."""
        self._subscribed.clear()

    def wait_subscribed(self) -> None:
        assert self._subscribed.wait(TIMEOUT_S)

    def publish(self, payload: bytes, qos: int = 1, retain: bool = False) -> None:
        """Publish to the plug that spoke last, and wait until the broker has it."""
        self._client.publish(self.topic.removesuffix("up") + "down", payload, qos, retain).wait_for_publish(TIMEOUT_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class MqttBench(Bench):
    """A plug that reaches the test by way of a broker. `relay`: the keys of config.json's `relay` beyond link, host and port."""

    def __init__(
        self,
        folder: Path,
        port: int,
        listener: Listener,
        board: str = "desk_16a",
        word: str = "x64",
        settings: dict[str, Any] | None = None,
        tree: Path | None = None,
        **relay: Any,
    ) -> None:
        self.listener = listener
        config = {"relay": {"link": "mqtt", "host": "127.0.0.1", "port": port} | relay}
        super().__init__(folder, board, word, settings, tree, config)

    def accept(self) -> dict[str, Any]:
        """Let time pass until the plug says hello."""
        for _ in range(400):
            self.plug.run(1)
            try:
                self.hello = self.listener.heard.get(timeout=0.1)
            except queue.Empty:
                continue
            if self.hello["type"] == "hello":
                self.state = self.expect("status")["state"]
                return self.hello
        raise AssertionError(f"no hello; see {self.plug.log.read_text()}")

    def receive(self) -> dict[str, Any]:
        try:
            return self.listener.heard.get(timeout=TIMEOUT_S)
        except queue.Empty:
            raise AssertionError(f"the plug is silent; see {self.plug.log.read_text()}") from None

    def send(self, **message: object) -> None:
        self.listener.publish(json.dumps(message).encode())

    def close(self) -> None:
        self.plug.kill()
        self.server.close()
