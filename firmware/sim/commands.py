"""What the harness may do to the world: each command is checked first and becomes a function that does it, now or at a later moment."""

from car import Car

_MORE = (
    "at",
    "brown_out",
    "button",
    "contactor",
    "dip",
    "heat",
    "leakage",
    "ntc",
    "overload",
    "pin",
    "secure_element",
)  # in a module that few harnesses need
_FAULTS = ("i2c", "i2c_late", "meter_reset", "meter_register", "flip_ppm", "bus_stuck", "bus_slow_us")
_STUCK = {None: None, "low": 0x00, "high": 0xFF}


def action(world, name, command, line=b""):
    """Return the function of no arguments that carries out a command (the dict without its `cmd`). Raises ValueError, TypeError."""
    if name in _MORE:
        from more_commands import COMMANDS
    elif name in _COMMANDS:
        COMMANDS = _COMMANDS  # noqa: N806  the name of the other module's
    else:
        raise ValueError("cmd must be one of run, {}: {!r:.80}".format(", ".join(sorted(_COMMANDS) + list(_MORE)), line))
    keys, prepare = COMMANDS[name]
    if keys is not None:
        check_keys(name, command, keys)
    return prepare(world, command)


def check_keys(name, command, keys):
    """Raise ValueError for a key that the command does not have."""
    for key in command:
        if key not in keys:
            raise ValueError("{} has no key {}; known: {}".format(name, key, ", ".join(keys)))


def count(command, key, default=None):
    """Return a whole number >= 0 of a command, `default` where it is absent and has one. Raises ValueError."""
    value = command.get(key)
    if value is None and default is not None:
        return default
    if type(value) is not int or value < 0:
        raise ValueError(f"{key} must be a whole number >= 0, not {value!r}")
    return value


def _plug_in(world, command):
    car = Car(**command)
    return lambda: world.plug_in(car)


def _mains(world, command):
    if not command:
        raise ValueError("mains takes voltage_mv, frequency_mhz or both")
    voltage_mv = count(command, "voltage_mv") if "voltage_mv" in command else None
    frequency_mhz = count(command, "frequency_mhz") if "frequency_mhz" in command else None
    world.mains.check(voltage_mv, frequency_mhz)
    return lambda: world.set_mains(voltage_mv, frequency_mhz)


def _fault(world, command):
    if len(command) != 1:
        raise ValueError("fault takes exactly one of {}".format(", ".join(_FAULTS)))
    faults = world.bus_faults
    if "meter_reset" in command:
        return lambda: world.meter.reset(world.now_ms)
    if "meter_register" in command:
        entry = command["meter_register"]
        if not isinstance(entry, list) or len(entry) != 2:
            raise ValueError(f"meter_register must be [address, value], not {entry!r}")
        return lambda: world.meter.corrupt(entry[0], entry[1])
    if "bus_stuck" in command:
        stuck = command["bus_stuck"]
        if stuck not in _STUCK:
            raise ValueError(f"bus_stuck must be low, high or null, not {stuck!r}")
        return lambda: setattr(faults, "stuck", _STUCK[stuck])
    if "i2c" in command:
        transfers = count(command, "i2c")
        return lambda: setattr(world, "failing_transfers", transfers)
    if "i2c_late" in command:
        transfers = count(command, "i2c_late")
        return lambda: setattr(world, "late_failures", transfers)
    name = "flip_ppm" if "flip_ppm" in command else "slow_us"
    value = count(command, "flip_ppm" if "flip_ppm" in command else "bus_slow_us")
    return lambda: setattr(faults, name, value)


def _nothing(world, command):
    return lambda: None


# name: (keys, those of plug_in are checked by Car; what makes its function)
_COMMANDS = {
    "plug_in": (None, _plug_in),
    "unplug": ((), lambda world, command: world.unplug),
    "state": ((), _nothing),
    "mains": (("voltage_mv", "frequency_mhz"), _mains),
    "fault": (_FAULTS, _fault),
}
