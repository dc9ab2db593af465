"""An interrupt between any two lines, also those that drive the pin."""

from guard import rig as world
from guard.rig import Rig


def test_an_over_current_while_the_pin_is_being_driven_leaves_it_released():
    rig = Rig()
    rig.run(3_000)
    pin = rig.guard.coil._contactor._pin
    real = type(pin).value
    struck = []

    class Interrupted:
        def value(self, level=None):
            if level == 1 and not struck:
                struck.append(level)
                rig.guard.on_over_current(rig.now_ms, None)
            return real(pin, level)

    rig.guard.coil._contactor._pin = Interrupted()
    rig.guard.want(True, rig.now_ms)
    rig.run(2_000)
    assert struck
    assert world.mains.coil == 0
    assert rig.guard.trip == "over_current"
    assert not rig.guard.coil.is_driven
