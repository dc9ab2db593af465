"""Where plugs come in, as options and environment say it."""

import asyncio
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import typer
from wattseal.cli import link_options

from tests.host_tools.cli.test_relay import KEY, PATIENCE_S, command, run
from tests.host_tools.conftest import Actors
from tests.host_tools.relay.links.conftest import MOSQUITTO, Mosquitto, plug_client

PLUG = Actors().plug
TOPICS = f"wattseal/1/{PLUG.hex()[:2]}/{PLUG.hex()}"


def mqtt_user(users: Path) -> dict[str, Any]:
    words = ["plug", "mqtt-user", "0x" + PLUG.hex().upper(), "--users", str(users)]
    done = subprocess.run(
        [sys.executable, "-c", "from wattseal.cli.main import app; app()", *words], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    made: dict[str, Any] = json.loads(done.stdout)
    return made


async def say_rubbish(port: int, **options: Any) -> dict[str, Any]:
    """Return what a relay answers to a plug that says rubbish."""
    async with plug_client(port, PLUG, **options) as client, asyncio.timeout(PATIENCE_S):
        await client.subscribe(f"{TOPICS}/down")
        await client.publish(f"{TOPICS}/up", b"rubbish", qos=1)
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            answer: dict[str, Any] = json.loads(message.payload)
            return answer
    raise AssertionError


def test_a_home_needs_a_password_file_and_one_option(tmp_path: Path) -> None:
    users = tmp_path / "users"
    made = mqtt_user(users)
    assert made["user"] == PLUG.hex()
    assert stat.S_IMODE(users.stat().st_mode) == 0o600
    words = command(tmp_path, mqtt_listen="127.0.0.1:0", mqtt_users=str(users))
    with subprocess.Popen(words, env=os.environ | {"WATTSEAL_RELAY_KEY": KEY}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        ready = json.loads(process.stdout.readline())
        assert ready.keys() == {"ready", "listen", "mqtt_listen", "api"}
        port = int(ready["mqtt_listen"].rpartition(":")[2])
        answer = asyncio.run(say_rubbish(port, username=made["user"], password=made["password"]))
        assert (answer["type"], answer["code"]) == ("refused", "bad_frame")
        with pytest.raises(aiomqtt.MqttError):
            asyncio.run(say_rubbish(port, username=made["user"], password="wrong"))
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        log = process.stderr.read()
    assert "wrong password" in log
    assert made["password"] not in log


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed (Debian: apt install mosquitto)")
def test_a_broker_with_the_password_from_the_environment(tmp_path: Path) -> None:
    users = tmp_path / "users"
    made = mqtt_user(users)
    broker = Mosquitto(tmp_path, "allow_anonymous false", f"password_file {users}")
    broker.start()
    environment = os.environ | {"WATTSEAL_RELAY_KEY": KEY, "WATTSEAL_RELAY_MQTT_USER": made["user"], "WATTSEAL_RELAY_MQTT_PASSWORD": made["password"]}
    words = command(tmp_path, broker=f"mqtt://127.0.0.1:{broker.port}")
    try:
        with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout
            assert json.loads(process.stdout.readline()).keys() == {"ready", "listen", "api"}
            answer = asyncio.run(say_rubbish(broker.port, username=made["user"], password=made["password"]))
            assert answer["code"] == "bad_frame"
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
        environment["WATTSEAL_RELAY_MQTT_PASSWORD"] = "not this one"
        ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    finally:
        broker.stop()
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert "refuses this relay" in last
    assert "[broker_refused]" in last
    assert "not this one" not in ended.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"broker": "mqtts://relay:Secret@broker.example"}, "WATTSEAL_RELAY_MQTT_PASSWORD"),
        ({"broker": "http://broker.example"}, "mqtts://HOST"),
        ({"broker": "mqtts://"}, "mqtts://HOST"),
        ({"broker": "mqtts://broker.example:70000"}, "mqtts://HOST"),
        ({"broker": "mqtts://broker.example/path"}, "mqtts://HOST"),
        ({"broker": "mqtt://x", "mqtt_ca": "ca.pem"}, "mqtts://"),
        ({"broker": "mqtts://x", "mqtt_cert": "x.pem"}, "go together"),
        ({"broker": "mqtt://x", "mqtt_listen": "127.0.0.1:0", "mqtt_users": "users"}, "broker"),
        ({"mqtt_listen": "127.0.0.1:0"}, "who may come in"),
        ({"mqtt_user": "relay"}, "without broker"),
        ({"shards": "7f-00"}, "00-7f"),
        ({"shards": "0-100"}, "00-7f"),
    ],
)
def test_what_does_not_fit_is_wrong_usage(options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = {name: Path(value) for name, value in options.items() if name in ("mqtt_ca", "mqtt_cert", "mqtt_key", "mqtt_users")}
    unset = dict.fromkeys(("broker", "mqtt_user", "mqtt_ca", "mqtt_cert", "mqtt_key", "mqtt_listen", "mqtt_users", "serial"))
    with pytest.raises(typer.BadParameter) as wrong:
        link_options.settings(**{"listen": "127.0.0.1:0", "shards": "00-ff", **unset, **options, **files})  # type: ignore[arg-type]
    assert message in str(wrong.value.param_hint) + wrong.value.message
    assert "Secret" not in wrong.value.message


def test_wrong_usage_ends_with_2_and_shows_no_password(tmp_path: Path) -> None:
    ended = run(command(tmp_path, broker="mqtts://relay:Secret@broker.example"))
    assert ended.returncode == 2
    assert "WATTSEAL_MQTT_PASSWORD" in ended.stderr
    assert "Secret" not in ended.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options",
    [
        {"mqtt_listen": "127.0.0.1:0", "mqtt_users": "missing"},
        {"broker": "mqtts://x", "mqtt_ca": "missing"},
        {"broker": "mqtts://x", "mqtt_cert": "missing", "mqtt_key": "missing"},
        {"serial": "nonsense://"},
    ],
)
def test_a_file_or_port_that_is_none_is_one_clear_line(tmp_path: Path, options: dict[str, str]) -> None:
    ended = run(command(tmp_path, **options))
    assert ended.returncode == 1
    assert "[config]" in ended.stderr.splitlines()[-1]
    assert "missing" in ended.stderr or "nonsense" in ended.stderr
