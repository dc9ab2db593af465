import threading
import time

import pytest
from wattseal.errors import TimeUp
from wattseal.gateway.time_limit import held, left_s, time_limit


def test_without_a_limit_there_is_none():
    assert left_s() == float("inf")


def test_the_sooner_of_two_limits_counts():
    with time_limit(100):
        with time_limit(1000):
            assert left_s() <= 100
        with time_limit(0), pytest.raises(TimeUp):
            left_s()
        assert 90 < left_s() <= 100
    assert left_s() == float("inf")


def test_a_lock_is_not_waited_for_longer():
    lock = threading.Lock()
    with held(lock):
        start = time.monotonic()
        with time_limit(0.05), pytest.raises(TimeUp), held(lock):
            pass
        assert 0.05 <= time.monotonic() - start < 1
        assert lock.locked()
    assert not lock.locked()
