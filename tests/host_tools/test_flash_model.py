"""The journal, on both word sizes, does what a dict would, over reboots and many rounds of its ring, until it is full."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

spec = importlib.util.spec_from_file_location("flash_journal", Path(__file__).with_name("flash_journal.py"))
flash_journal = importlib.util.module_from_spec(spec)
spec.loader.exec_module(flash_journal)

KEYS = [b"%c%d" % (kind, number) for kind in b"vr" for number in range(12)] + [b"x", b"twelve bytes"]
keys = st.sampled_from([key.hex() for key in KEYS])
lengths = st.one_of(st.integers(0, 3072), st.sampled_from([0, 1, 11, 12, 13, 3072]), st.integers(800, 1400))
fills = st.integers(0, 2**32 - 1)
commands = st.one_of(
    st.tuples(st.just("put"), keys, lengths, fills),
    st.tuples(st.just("put"), keys, lengths, fills),
    st.tuples(st.just("put"), keys, lengths, fills),
    st.tuples(st.just("remove"), keys),
    st.tuples(st.just("put_sample"), st.integers(0, 48), fills),
    st.just(("boot",)),
)
workloads = st.lists(commands, min_size=1, max_size=25)


@pytest.fixture(scope="module", params=["x64", "x86"])
def device(request):
    running = flash_journal.Device(request.param)
    yield running
    running.close()


@settings(max_examples=60, deadline=None)
@given(sectors=st.integers(16, 24), workload=workloads, rounds=st.integers(1, 12))
def test_like_a_dict(device, sectors, workload, rounds):
    model = flash_journal.Model()
    device.run(("new", sectors), ("boot",))
    for number in range(rounds):
        for command in workload:
            if command[0] == "put":
                command = (*command[:3], command[3] ^ number)
                has_room, result = device.run(("has_room", command[2]), command)
                old = model.documents.get(command[1])
                if result is not None:
                    assert result["error"] == "journal_full"
                    assert (not has_room) if old is None else (not has_room and command[2] > old[0])
                    continue
                assert has_room or old is not None
            else:
                assert device.run(command) == [None]
            model.take(command)
        assert device.run(("state",), ("boot",), ("state",)) == [model.state(), None, model.state()]
