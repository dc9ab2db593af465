from eth_bloom import BloomFilter
from hypothesis import given
from hypothesis import strategies as st
from wattseal.gateway.logs import LogFilter, bloom_mask
from wattseal.gateway.proofs import Log

VALUES = st.sampled_from([bytes([n]) * size for n in range(6) for size in (20, 32)])
ADDRESSES = st.sampled_from([bytes([n]) * 20 for n in range(4)])
TOPICS = st.sampled_from([bytes([n]) * 32 for n in range(4)])
LOGS = st.builds(Log, ADDRESSES, st.lists(TOPICS, max_size=4).map(tuple), st.just(b""))
FILTERS = st.builds(LogFilter, st.frozensets(ADDRESSES, max_size=2), st.lists(st.frozensets(TOPICS, max_size=2), max_size=4).map(tuple))


@given(st.lists(VALUES, max_size=4))
def test_bits_are_those_of_eth_bloom(values):
    bloom = BloomFilter()
    mask = 0
    for value in values:
        bloom.add(value)
        mask |= bloom_mask(value)
    assert mask == int(bloom)


@given(st.lists(LOGS, max_size=5), FILTERS)
def test_a_bloom_never_hides_a_log(logs, wanted):
    bloom = BloomFilter()
    for log in logs:
        bloom.extend((log.address, *log.topics))
    if any(wanted.takes(log) for log in logs):
        assert wanted.may_be_in(int(bloom).to_bytes(256))


def test_what_a_filter_takes():
    log = Log(b"\1" * 20, (b"\1" * 32, b"\2" * 32), b"")
    anything = frozenset()
    assert LogFilter(anything, ()).takes(log)
    assert LogFilter(frozenset([log.address]), (anything, frozenset([b"\2" * 32, b"\3" * 32]))).takes(log)
    assert not LogFilter(frozenset([b"\2" * 20]), ()).takes(log)
    assert not LogFilter(anything, (frozenset([b"\2" * 32]),)).takes(log)
    assert not LogFilter(anything, (anything, anything, anything)).takes(log)  # as many topics as the filter has places
    assert not LogFilter(frozenset([b"\2" * 20]), ()).may_be_in(bytes(256))
    assert LogFilter(anything, ()).may_be_in(bytes(256))
