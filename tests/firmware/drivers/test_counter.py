"""What a counter's readings are worth: against a true counter, with wrong readings in between."""

from drivers.scripted import Random
from plug.drivers.counter import CheckedCounter


def booked(counter):
    """Return (forward, reverse) of all that waits."""
    forward = reverse = 0
    while True:
        counts = counter.take()
        if counts > 0:
            forward += counts
        elif counts < 0:
            reverse -= counts
        else:
            return forward, reverse


def read_all(counter, readings, interval_ms=100):
    for index, value in enumerate(readings):
        counter.read(value, index * interval_ms)
    return booked(counter)


def test_two_readings_make_a_base_and_one_more_confirms():
    counter = CheckedCounter(24, 1_000)
    for now_ms, value, counts in ((0, 50, 0), (100, 60, 0), (200, 70, 0), (300, 80, 10), (400, 95, 10)):
        counter.read(value, now_ms)
        assert counter.take() == counts


def test_wraps_in_both_directions():
    top = 1 << 16
    assert read_all(CheckedCounter(16, 1_000), [top - 30, top - 20, top - 10, 5, 15, 25]) == (35, 0)
    assert read_all(CheckedCounter(16, 1_000), [10, 10, 5, top - 5, top - 15, top - 25]) == (0, 25)


def test_a_doubtful_wrap_books_nothing():
    top = 1 << 16
    counter = CheckedCounter(16, 1_000, wrap_is_doubtful=True)
    assert read_all(counter, [top - 40, top - 30, top - 20, top - 10, 5, 15, 25, 35, 45]) == (10 + 20, 0)
    assert counter.discarded == 1


def test_a_reset_is_never_forward_energy():
    for before in (0, 3, 90, 5_000, (1 << 17) - 3):
        counter = CheckedCounter(17, 1_000, wrap_is_doubtful=True)
        start = max(before - 60, 0)
        readings = [start, start, before, before, 0, 1, 2, 3, 4, 5]
        assert read_all(counter, readings)[0] <= before - start + 5


def test_one_peak_is_dropped_and_what_flowed_is_kept():
    for error in (1, 40, 110, -1, -40, -110, 1 << 20):
        counter = CheckedCounter(24, 1_000)
        readings = [1_000 + 20 * index for index in range(30)]
        readings[15] += error
        forward, reverse = read_all(counter, readings)
        assert forward <= 20 * 27, error
        assert reverse == 0, error
        assert forward >= 20 * 23, error


def test_a_low_reading_is_no_base():
    # 20 a step; the second reading is low by 100, which the greatest rate would allow
    assert read_all(CheckedCounter(24, 1_000), [1_000, 920, 1_040, 1_060, 1_080])[0] <= 40


def test_too_much_for_the_time_starts_again():
    counter = CheckedCounter(24, 1_000)
    assert read_all(counter, [0, 0, 0, 0, 122, 122, 122, 122]) == (0, 0)  # 120 ms at the greatest rate, and one
    assert counter.discarded == 1
    assert read_all(CheckedCounter(24, 1_000), [0, 0, 0, 0, 121, 121, 121]) == (121, 0)


def test_a_clock_that_goes_back_starts_again():
    counter = CheckedCounter(24, 1_000)
    for now_ms, value in ((0, 0), (100, 0), (200, 50), (150, 60), (250, 60), (350, 60)):
        counter.read(value, now_ms)
    assert booked(counter) == (0, 0)
    assert counter.discarded == 1


def test_gain_carries_what_is_left():
    for gain_ppm, expected in ((0, 3_000_000), (12_345, 3_037_035), (-12_345, 2_962_965)):
        counter = CheckedCounter(24, 100_000, gain_ppm)
        assert read_all(counter, [1_000 * index for index in range(3_003)]) == (expected, 0)


def test_idle_moves_are_not_booked():
    counter = CheckedCounter(24, 1_000)
    for index in range(30):
        counter.read(10 * index, 100 * index, is_idle=10 <= index < 20)
    assert booked(counter)[0] == 10 * (29 - 2 - 10)


def test_single_wrong_readings_at_random_never_bill_more():
    for seed in range(300):
        random = Random(seed)
        counter = CheckedCounter(24, 1_000)
        true = random.below(1 << 24)
        flowed = forward = 0
        was_wrong = False
        for index in range(200):
            step = random.below(90)
            true += step
            flowed += step
            reading = true
            if not was_wrong and random.below(4) == 0:
                reading ^= 1 << random.below(24)
            was_wrong = reading != true
            counter.read(reading & 0xFFFFFF, 100 * index)
            forward += booked(counter)[0]
            assert forward <= flowed, seed
