"""Whether the cause of a latched trip is gone."""

from plug.guard import codes

_NEED_MAINS = (codes.OVER_VOLTAGE, codes.UNDER_VOLTAGE, codes.FREQUENCY, codes.BROWN_OUT, codes.WELD, codes.CLOSED_AT_BOOT)
_NEED_COLD = (codes.OVER_CURRENT, codes.OVERLOAD)
_NEED_COOL = (codes.CONTACT_TEMPERATURE, codes.PLUG_TEMPERATURE, codes.TEMPERATURE_SENSOR)


def find_cause(guard, code, now_ms):
    """Return in words why a trip of that code must stay latched, or None."""
    if guard.coil.is_driven:
        return "the coil is still driven"
    if not guard.contacts.are_open or guard.contacts.are_leaking:
        return "the load side is live: the contacts may be welded"
    if code in _NEED_MAINS and not guard.mains.is_healthy:
        return "voltage or frequency is not within its limits"
    if code in _NEED_COLD and not guard.i2t.is_cold:
        return "it has not cooled down yet"
    if code in _NEED_COOL and not guard.temperatures.have_cooled(code):
        return "it is still too hot, or the sensor is broken"
    if code == codes.METER_SILENT and guard.silent_ms:
        return "the meter does not answer"
    history = guard.history
    if code == codes.WEAR and history.wear >= guard.wear_budget:
        return "the contactor is worn: replace it and reset its wear"
    recent = {codes.BROWN_OUT: history.brown_outs, codes.CHATTER: history.closings, codes.WATCHDOG_LOOP: history.watchdogs}.get(code)
    if recent is not None and recent.is_full(now_ms):
        return "too many within its time: wait until they are old"
    return None
