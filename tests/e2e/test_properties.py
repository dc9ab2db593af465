"""Whatever relay, driver, mains and metering IC do: no contactor closed without a session, no receipt beyond what has flowed, no silence.

WATTSEAL_EXAMPLES=2000 runs that many random histories instead of a few fixed ones.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.e2e.world import World

EXAMPLES = int(os.environ.get("WATTSEAL_EXAMPLES", "0"))

which = st.sampled_from([None, None, 0, 1, -1])  # the plug's session, an older one, an unknown one


def event(name: str, *arguments: st.SearchStrategy[Any], **keywords: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy of (method of World, its arguments, its keywords)."""
    return st.tuples(st.just(name), st.tuples(*arguments), st.fixed_dictionaries(keywords))


def simulator(**command: object) -> st.SearchStrategy[Any]:
    """Return a strategy of one command to the simulator."""
    return st.just(("do", (), command))


BAD_VOUCHERS: list[dict[str, object]] = [
    {"plug": b"\x01" * 20},
    {"host": bytes(20)},
    {"driver": b"\x02" * 20},
    {"token": b"\x03" * 20},
    {"funding": 1},
    {"cap": 0},
    {"maxPowerW": 4599},
    {"nonce": 77},
    {"issuedAt": 1_789_990_000, "validUntil": 1_789_999_999},
    {"validUntil": 1_000},
    {"validUntil": (1 << 64) - 1},
    {"sign_with": b"\x66" * 32},
]
GARBAGE = [
    b"\n",
    b"\x00" * 40 + b"\n",
    b"x" * 9_000 + b"\n",
    b"00000000 {}\n",
    b'497c309c {"type":"pong"}\n',
    b'dbf6aa8a {"type":1}\n',
]


def framed(body: bytes) -> bytes:
    from zlib import crc32

    return b"%08x %s\n" % (crc32(body), body)


DEEP = [framed(b'{"type":' + b"[" * depth + b"]" * depth + b"}") for depth in (3, 60, 63, 64, 400, 2_000)]
MALFORMED = [
    framed(body)
    for body in (
        b'{"type":"lock"}',
        b'{"type":"lock","session":null}',
        b'{"type":"lock","session":"0x"}',
        b'{"type":"voucher","voucher":[],"signature":{}}',
        b'{"type":"time","utc":1e999}',
        b'{"type":"time","utc":0}',
        b'{"type":"time","utc":4294967296}',
        b'{"type":"budget","current_ma":-1}',
        b'{"type":"ack","session":"0x","sequence":1e3,"status":"stored"}',
        b'{"type":"stop","session":"' + b"ab" * 1_500 + b'","signature":""}',
        b'{"type":"clear_trip","now":true}',
        b'{"type":"refused","code":[[[]]],"message":{}}',
    )
]

EVENTS = st.one_of(
    event("charge"),
    event("charge"),
    event("charge"),
    st.sampled_from(BAD_VOUCHERS).map(lambda changes: ("charge", (), {"is_valid": False, **changes})),
    event("charge", st.integers(0, 9)),
    event("finish", st.sampled_from(["stop", "end"])),
    event("finish", st.sampled_from(["stop", "end"])),
    event("advance", st.sampled_from([0.1, 1, 5])),
    event("advance", st.sampled_from([40, 330, 1_000, 2_000])),
    event("time", st.sampled_from([0, 0, 30, -5_000, 400, 3_700, 100_000, 4_294_967_295 - 1_790_100_000])),
    event("voucher"),
    st.sampled_from(BAD_VOUCHERS).map(lambda changes: ("voucher", (), {"is_valid": False, **changes})),
    event("replay", st.integers(0, 9)),
    event("lock", which),
    event("lock", which),
    event("stop", which),
    event("stop", which, sign_with=st.just(b"\x55" * 32)),
    event("end", which),
    event("grant", st.sampled_from([0, 15_999, 16_000, 1_000_000])),
    event("acknowledge", which, st.sampled_from([0, 1, -1])),
    event("settle", which),
    event("enrol", st.sampled_from([-1, 0, 1, 1, 1 << 62])),
    st.just(("say", (), {"type": "clear_trip"})),
    event("reboot"),
    event("send", st.sampled_from(GARBAGE + DEEP + MALFORMED)),
    event("send", st.binary(max_size=200).map(lambda data: data + b"\n")),
    event("connect"),
    event("power_cut", st.booleans()),
    event("plug_in"),
    event("unplug"),
    event("press", st.sampled_from([0.3, 6])),
    st.integers(20, 3_000).map(lambda ms: ("do", (), {"cmd": "dip", "voltage_mv": 0, "ms": ms})),
    simulator(cmd="dip", voltage_mv=170_000, ms=4_000),
    simulator(cmd="mains", voltage_mv=0),
    simulator(cmd="mains", voltage_mv=230_000, frequency_mhz=50_000),
    simulator(cmd="mains", voltage_mv=280_000),
    simulator(cmd="mains", frequency_mhz=46_000),
    simulator(cmd="overload", current_ma=60_000, ms=200),
    simulator(cmd="ntc", contacts="open"),
    simulator(cmd="ntc", contacts="ok"),
    st.integers(1, 400).map(lambda count: ("do", (), {"cmd": "fault", "i2c": count})),
    st.integers(1, 400).map(lambda count: ("do", (), {"cmd": "fault", "i2c_late": count})),
    simulator(cmd="fault", meter_reset=True),
    simulator(cmd="fault", flip_ppm=20_000),
    simulator(cmd="fault", flip_ppm=0),
    simulator(cmd="fault", bus_stuck="low"),
    simulator(cmd="fault", bus_stuck=None),
)


@settings(
    max_examples=EXAMPLES or 25,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    print_blob=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@example([("charge", (), {"is_valid": False, **changes}) for changes in BAD_VOUCHERS])  # what chance seldom brings together
@example([("charge", (), {}), ("finish", ("stop",), {}), ("charge", (0,), {}), ("charge", (), {}), ("finish", ("end",), {}), ("charge", (0,), {})])
@example([("charge", (), {}), ("unplug", (), {}), ("advance", (5,), {}), ("charge", (0,), {}), ("charge", (), {}), ("power_cut", (True,), {})])
@given(st.lists(EVENTS, min_size=8, max_size=30))
def test_no_sequence_of_events_closes_the_contactor_without_a_valid_session(history: list[tuple[str, tuple[Any, ...], dict[str, Any]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        try:
            for name, arguments, keywords in history:
                getattr(world, name)(*arguments, **keywords)
                world.check()
        finally:
            world.close()
