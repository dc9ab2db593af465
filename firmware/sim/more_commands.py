"""The commands of the harness that few need: faults of the board, and what happens at a later moment."""

import process
from commands import action, count
from heat import NTC_FAULTS, SPOTS


def _dip(world, command):
    voltage_mv, ms = count(command, "voltage_mv"), count(command, "ms")
    world.mains.check(voltage_mv)

    def act():
        world.set_dip(voltage_mv / 1000)
        world.agenda.set("dip", world.now_us + ms * 1000, lambda: world.set_dip(None))

    return act


def _overload(world, command):
    current_ma, ms = count(command, "current_ma"), count(command, "ms")

    def act():
        world.set_overload(current_ma / 1000)
        world.agenda.set("overload", world.now_us + ms * 1000, lambda: world.set_overload(0.0))

    return act


def _contactor(world, command):
    contactor = world.contactor
    line, neutral = command.get("line"), command.get("neutral")
    contactor.check_conditions(line, neutral)
    delays = {key: count(command, key, getattr(contactor, key)) for key in ("close_ms", "open_ms", "bounce_ms") if key in command}

    def act():
        for key, value in delays.items():
            setattr(contactor, key, value)
        contactor.set_condition(line, neutral)

    return act


def _leakage(world, command):
    leakage_ua = {pole: count(command, pole + "_ua", world.leakage_ua[pole]) for pole in ("line", "neutral")}

    def act():
        world.leakage_ua = leakage_ua
        world.pins.changed()

    return act


def _heat(world, command):
    heat = world.heat
    changed = {key: count(command, key) for key in command if key != "ambient_mc"}
    ambient_mc = command.get("ambient_mc")
    if ambient_mc is not None and type(ambient_mc) is not int:
        raise ValueError(f"ambient_mc must be a whole number, not {ambient_mc!r}")

    def act():
        world.settle_heat()
        for spot in SPOTS:
            heat.resistance_uohm[spot] = changed.get(spot + "_uohm", heat.resistance_uohm[spot])
        if ambient_mc is not None:
            heat.ambient_mc = ambient_mc

    return act


def _ntc(world, command):
    for spot, condition in command.items():
        if condition not in NTC_FAULTS:
            raise ValueError("{} must be one of {}, not {!r}".format(spot, ", ".join(NTC_FAULTS), condition))
    return lambda: world.heat.ntc.update(command)


def _pin(world, command):
    pin, level = count(command, "pin"), command.get("level")
    if level not in (0, 1, None) or isinstance(level, bool):
        raise ValueError(f"level must be 0, 1 or null, not {level!r}")

    def act():
        world.pins.forced[pin] = level
        world.pins.changed()

    return act


def _button(world, command):
    pressed = command.get("pressed")
    if not isinstance(pressed, bool):
        raise ValueError(f"pressed must be true or false, not {pressed!r}")

    def act():
        world.button_pressed = pressed
        world.pins.changed()

    return act


def _secure_element(world, command):
    bus = world.signer_bus
    absent = command.get("absent", bus.chip.absent)
    if not isinstance(absent, bool):
        raise ValueError(f"absent must be true or false, not {absent!r}")
    slower = count(command, "slower", bus.chip.slower)
    failing, flip_ppm = count(command, "i2c", bus.failing_transfers), count(command, "flip_ppm", bus.faults.flip_ppm)

    def act():
        bus.chip.absent, bus.chip.slower = absent, slower
        bus.failing_transfers, bus.faults.flip_ppm = failing, flip_ppm

    return act


def _at(world, command):
    inner = command.get("do")
    due_us = count(command, "ms") * 1000
    if not isinstance(inner, dict):
        raise ValueError(f"do must be a command, not {inner!r}")
    inner = dict(inner)
    name = inner.pop("cmd", None)
    act = action(world, name, inner, repr(inner))
    if due_us < world.now_us:
        raise ValueError(f"ms must not be over already: it is {world.now_ms}")
    return lambda: world.agenda.set(None, due_us, act)


def _brown_out(world, command):
    return lambda: process.end(process.BROWN_OUT, f"brown-out at {world.now_us} us")


# name: (keys, what makes its function)
COMMANDS = {
    "dip": (("voltage_mv", "ms"), _dip),
    "overload": (("current_ma", "ms"), _overload),
    "contactor": (("line", "neutral", "close_ms", "open_ms", "bounce_ms"), _contactor),
    "leakage": (("line_ua", "neutral_ua"), _leakage),
    "heat": (("ambient_mc", "contacts_uohm", "pins_uohm"), _heat),
    "ntc": (SPOTS, _ntc),
    "pin": (("pin", "level"), _pin),
    "button": (("pressed",), _button),
    "secure_element": (("absent", "slower", "i2c", "flip_ppm"), _secure_element),
    "at": (("ms", "do"), _at),
    "brown_out": ((), _brown_out),
}
