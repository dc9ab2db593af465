"""The procedure on a bench: a meter with known errors, a person who types what the reference says, and a contactor that must end open."""

import sys


class Clock:
    now_ms = 0

    @staticmethod
    def sleep_ms(duration_ms):
        Clock.now_ms += duration_ms

    @staticmethod
    def ticks_ms():
        return Clock.now_ms


class Pin:
    OUT = 3
    level = None

    def __init__(self, number, mode=None, value=None):
        if mode == Pin.OUT:
            Pin.level = value

    def value(self, level):
        Pin.level = level


class Machine:
    pass


sys.modules["time"] = Clock
sys.modules["machine"] = Machine()
sys.modules["machine"].Pin = Pin
from plug import board, calibrate  # noqa: E402
from plug.errors import MeterError  # noqa: E402
from plug.metering.calibration import Calibration, CalibrationError  # noqa: E402
from run_in_micropython import raises  # noqa: E402


class Driver:
    START_UP_MS = 100
    PHASE_AND_OFFSET = True


class Meter:
    """Reads 2 % high in voltage, 1 % low in current, 3 % low in power but for what its calibration corrects."""

    load = (230_000, 9_000, 2_070_000)
    fails = False

    def __init__(self, calibration):
        self.calibration = calibration
        self.voltage_mv = self.current_ma = self.power_mw = None
        self.frequency_mhz = 50_000

    def start(self):
        self.ready_ms = Clock.now_ms + 500

    def sample(self, now_ms):
        if Meter.fails and now_ms > self.ready_ms + 2_000:
            raise MeterError("no answer")
        gains = (self.calibration.voltage_gain_ppm, self.calibration.current_gain_ppm, self.calibration.power_gain_ppm)
        if now_ms >= self.ready_ms:
            values = [Meter.load[i] * (102, 99, 97)[i] * (1_000_000 + gains[i]) // 10**8 for i in range(3)]
            if now_ms < self.ready_ms + 2_000:
                values = [value // 2 for value in values]  # not settled
            if Pin.level == 0:
                values[1:] = 0, 0
            self.voltage_mv, self.current_ma, self.power_mw = values


calibrate.open_meter = lambda calibration: (Meter(calibration), Driver)


class Person:
    """Answers each question in turn; remembers what was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.shown = []
        self.stored = []

    def run(self, old=None):
        Meter.load, Meter.fails, Driver.PHASE_AND_OFFSET = (230_000, 9_000, 2_070_000), False, True
        return calibrate.run(self.stored.append, old, self.ask, self.shown.append)

    def ask(self, text):
        self.asked.append(text)
        answer = self.answers.pop(0)
        return answer() if callable(answer) else answer


def lagging():
    Meter.load = (230_000, 9_000, 1_035_000)
    return "1035000"


def small():
    Meter.load = (230_000, 100, 23_000)
    return "22950"


def test_the_whole_procedure_stores_what_it_has_solved():
    person = Person("", "230000", "9000", "2070000", lagging, small, "")
    calibration = person.run()
    assert abs(calibration.voltage_gain_ppm + 19_608) < 20
    assert abs(calibration.current_gain_ppm - 10_101) < 120
    assert abs(calibration.power_gain_ppm - 30_928) < 20
    assert abs(calibration.phase_ns) <= 20
    assert -52 <= calibration.power_offset_mw <= -48
    assert person.stored == [calibration.to_bytes()]
    assert person.shown[0] == "before: 234600 mV, 8910 mA, 2007900 mW"
    assert person.shown[1].startswith("after: ")
    assert Pin.level == 0


def test_steps_may_be_skipped():
    person = Person("", "230000", "9000", "2070000", "", "", "")
    calibration = person.run(Calibration(phase_ns=700, power_offset_mw=-3))
    assert (calibration.phase_ns, calibration.power_offset_mw) == (700, -3)


def test_an_ic_without_the_registers_is_not_asked_for_phase_and_offset():
    person = Person("", "230000", "9000", "2070000", "")
    Pin.level = None

    def run():
        Meter.load, Meter.fails, Driver.PHASE_AND_OFFSET = (230_000, 9_000, 2_070_000), False, False
        return calibrate.run(person.stored.append, None, person.ask, person.shown.append)

    run()
    assert len(person.stored) == 1


def test_whatever_ends_it_the_contactor_is_open_and_nothing_is_stored():
    def over_current():
        Meter.load = (230_000, board.RATED_CURRENT_MA * 2, 4_000_000)
        return ""

    def silence():
        Meter.fails = True
        return ""

    def interrupt():
        raise KeyboardInterrupt

    for answers, error in (
        ((over_current,), CalibrationError),
        ((silence,), MeterError),
        (("", "230000", "nine", "2070000"), ValueError),
        (("", "230000", "9000", "4000000"), CalibrationError),
        (("", interrupt), KeyboardInterrupt),
        (("", "230000", "9000", "2070000", interrupt), KeyboardInterrupt),
    ):
        person = Person(*answers)
        Pin.level = None
        raises(error, person.run)
        assert Pin.level == 0
        assert person.stored == []
