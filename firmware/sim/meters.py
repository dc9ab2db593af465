"""The metering ICs: which model the settings ask for, and what all of them share."""

MODELS = ("ade7953", "bl0942", "cse7766", "hlw8012")


class Meter:
    """What the world asks of every model; each has `BUS` ("i2c", "uart" or "pulse") and `measure`.

    `ideal_j` is the energy that its counts stand for: the true one with the front end's errors and the no-load rule, without quantization.
    """

    ideal_j = 0.0

    def is_ready(self, now_ms):
        """Tell whether it answers."""
        return True

    def is_interrupting(self, now_us):
        """Tell whether it holds its interrupt pin low."""
        return False

    def set_frequency(self, frequency_mhz):
        """Take the mains frequency in mHz."""

    def note_inputs(self, voltage_v, current_a):
        """Take the rms values that flow from now on."""

    def next_us(self, now_us):
        """Return when it next does something by itself, None for never."""
        return

    def event(self, now_us):
        """Do what was due now."""

    def pin_driven(self, pin, level):
        """Learn that the processor drives a pin."""

    def pin_level(self, pin):
        """Return the level that it puts on a pin, None where it is not connected."""
        return


def make_meter(settings, world):
    """Return the model that the setting `meter` names; the others are not even loaded. Raises ValueError."""
    name = settings["meter"]
    front_end = settings["front_end"]
    if name == "ade7953":
        from ade7953_model import ADE7953Model

        return ADE7953Model(front_end, settings["mains"]["frequency_mhz"], world.noise, world)
    if name not in MODELS:
        raise ValueError("simulator settings: meter is {!r}, not one of {}".format(name, ", ".join(MODELS)))
    if name == "bl0942":
        from bl0942_model import BL0942Model as Model
    elif name == "cse7766":
        from cse7766_model import CSE7766Model as Model
    else:
        from hlw8012_model import HLW8012Model as Model
    return Model(front_end, settings["wiring"], world)
