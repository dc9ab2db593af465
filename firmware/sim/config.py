"""The simulator's settings: JSON in the file that the environment variable WATTSEAL_SIM names, over the defaults below."""

import json
import os

DEFAULTS = {
    "seed": 1,
    "speed": 0,
    "control": [],
    "start_ms": 0,
    "reset_cause": "power_on",
    "mains": {"voltage_mv": 230000, "frequency_mhz": 50000},
    "wiring": {"contactor_pin": 25, "contactor_active_high": True, "i2c_id": 0, "i2c_scl": 22, "i2c_sda": 21},
    "front_end": {"shunt_uohm": 500, "divider_upper_ohm": 990000, "divider_lower_ohm": 1000, "gain_error_ppm": 300, "noise_ppm": 100},
    "contactor": {"close_ms": 20, "open_ms": 10},
    "wifi": {"connect_ms": 1500},
    "car": {},
}


def load():
    """Return the settings as a dict of DEFAULTS' shape; raise ValueError naming the bad key, OSError for a missing file."""
    path = os.getenv("WATTSEAL_SIM")
    if not path:
        return merge(DEFAULTS, {})
    with open(path) as file:
        return merge(DEFAULTS, json.load(file))


def merge(defaults, given, where=""):
    """Return `defaults` with the values of `given` in their place. A key that `defaults` lacks, or another type, raises ValueError."""
    if not isinstance(given, dict):
        raise ValueError("simulator settings: {} must be an object".format(where or "the file"))
    for key in given:
        if key not in defaults:
            raise ValueError("simulator settings: unknown key {}{}; known: {}".format(where, key, ", ".join(sorted(defaults))))
    merged = {}
    for key, default in defaults.items():
        value = given.get(key, default)
        if isinstance(default, dict) and default:
            value = merge(default, given.get(key, {}), where + key + ".")
        elif type(value) is not type(default) and not (key == "speed" and isinstance(value, float)):
            raise ValueError(f"simulator settings: {where}{key} is {value!r}, not of the kind of {default!r}")
        merged[key] = value
    return merged
