"""What is true in the world now, as the control channel tells it."""


def describe(world):
    """Return the state of a world that is settled."""
    contactor, mains, heat = world.contactor, world.mains, world.heat
    return {
        "at_ms": world.now_ms,
        "at_us": world.now_us,
        "true_mwh": round(world.true_j / 3.6),
        "ideal_mwh": round(world.meter.ideal_j / 3.6),
        "power_mw": round(world.power_w * 1000),
        "voltage_mv": round(mains.voltage_v * 1000),
        "current_ma": round(world.current_a * 1000),
        "frequency_mhz": mains.frequency_mhz,
        "contacts": int(world.contacts_closed),
        "line": int(contactor.line),
        "neutral": int(contactor.neutral),
        "openings": contactor.openings,
        "opening_ma": contactor.opening_ma,
        "contacts_mc": heat.temperature_mc("contacts"),
        "pins_mc": heat.temperature_mc("pins"),
        "coil_low_at_us": world.coil_low_at_us,
        "coil_high_at_us": world.coil_high_at_us,
        "irq_at_us": world.irq_at_us,
        "car_plugged_in": world.car is not None,
        "car_full": world.is_reached("car_full"),
    }
