"""The AsyncAPI document says what the host's message classes take, and nothing else."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wattseal.errors import ProtocolError
from wattseal.protocol import messages as m
from wattseal.protocol.messages import Message, PlugMessage, RelayMessage, parse_plug_message

from tests.host_tools.asyncapi import DOCUMENT, why_not
from tests.host_tools.conftest import Actors

ROOT = Path(__file__).parents[3]
ACTORS = Actors()
SESSION = ACTORS.session()

FROM_PLUGS: list[dict[str, Any]] = [
    ACTORS.hello(),
    m.Offer(7, ACTORS.now, 1, 0).frame(),
    SESSION.frame(),
    ACTORS.receipt_message(SESSION.session, 1).frame(),
    ACTORS.receipt_message(SESSION.session, 2, final=True).frame() | {"signature": "0x" + "ab" * 128},
    ACTORS.status("idle"),
    ACTORS.status("charging", SESSION.session, power_mw=-5),
    m.Health(1, 2, 3, 4, 5, None).frame(),
    m.Enrolment(ACTORS.plug, ACTORS.host, 1, "p256", bytes(64), bytes(128)).frame(),
    m.RetiredMessage(ACTORS.plug, ACTORS.other_plug, 1, bytes(65)).frame(),
    m.Refused("busy", "a session is running", None).frame(),
    m.Pong(None).frame(),
    m.Gone().frame(),
]
FROM_RELAYS: list[dict[str, Any]] = [
    m.Time(ACTORS.now).frame(),
    ACTORS.voucher_message().frame(),
    m.Lock(SESSION.session).frame(),
    ACTORS.stop(SESSION.session).frame(),
    m.Ack(SESSION.session, 1, "stored").frame(),
    m.Settled(SESSION.session).frame(),
    m.EnrolMessage(3).frame(),
    m.Ping().frame(),
    m.Greet().frame(),
    m.Refused("malformed", "no", SESSION.session).frame(),
    m.End(SESSION.session).frame(),
    m.Budget(16_000).frame(),
    m.ClearTrip().frame(),
    m.NewContactor().frame(),
    m.Reboot().frame(),
]
ODD = [None, True, -1, 0, 1, 2, 1.5, 1 << 31, 1 << 32, 1 << 63, 1 << 64, 1 << 96, 1 << 256, "", "x", "0x", "0X" + "ab" * 20, [], {}]
ODD += [
    "x" * 2049,
    "a\0b",
    "charging",
    *("0x" + "ab" * length for length in (19, 20, 32, 64, 65, 66, 128)),
    "0x" + "AB" * 20,
    "0x" + "ab" * 20 + "\n",
]


def test_it_is_what_the_generator_writes() -> None:
    done = subprocess.run([sys.executable, ROOT / "docs" / "generate_asyncapi.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_message_is_there_with_an_example_here() -> None:
    assert {kind.type for kind in Message.__subclasses__()} == {kind.type for kind in get_args(PlugMessage) + get_args(RelayMessage)}
    for channel, union, examples in (("up", PlugMessage, FROM_PLUGS), ("down", RelayMessage, FROM_RELAYS)):
        kinds = {kind.type for kind in get_args(union)}
        assert DOCUMENT["channels"][channel]["messages"].keys() == kinds == {example["type"] for example in examples}
        assert [message["$ref"].rpartition("/")[2] for message in DOCUMENT["operations"]["hear" if channel == "up" else "say"]["messages"]] == [
            kind.type for kind in get_args(union)
        ]


@pytest.mark.parametrize("message", FROM_PLUGS, ids=lambda message: message["type"])
def test_what_plugs_say_is_valid(message: dict[str, Any]) -> None:
    assert why_not("up", message) == ""


@pytest.mark.parametrize("message", FROM_RELAYS, ids=lambda message: message["type"])
def test_what_relays_say_is_valid(message: dict[str, Any]) -> None:
    assert why_not("down", message) == ""


@given(st.sampled_from(FROM_PLUGS), st.data())
def test_a_changed_message_is_valid_where_the_relay_takes_it(message: dict[str, Any], data: st.DataObject) -> None:
    changed = copy.deepcopy(message)
    place = changed
    key = data.draw(st.sampled_from(sorted(place)))
    if isinstance(place[key], dict) and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place)))
    match data.draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"])):
        case "replace":
            place[key] = data.draw(st.sampled_from(ODD))
        case "remove":
            del place[key]
        case _:
            place["more"] = 1
    assert (why_not("up", changed) == "") is relay_takes(changed)


def relay_takes(message: dict[str, Any]) -> bool:
    if not isinstance(message.get("type"), str) or (message["type"] == "hello" and message.get("version") != 1):
        return False
    try:
        parse_plug_message(message)
    except ProtocolError:
        return False
    return True
