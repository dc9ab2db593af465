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
    "wiring": {
        "contactor_pin": 25,
        "contactor_active_high": True,
        "i2c_id": 0,
        "i2c_scl": 22,
        "i2c_sda": 21,
        "signer_i2c_id": 1,
        "signer_scl": 18,
        "signer_sda": 19,
        "uart_id": 1,
        "uart_rx": 16,
        "uart_tx": 17,
        "link_tx": 17,
        "link_rx": 16,
        "cf_pin": 18,
        "cf1_pin": 19,
        "sel_pin": 23,
        "meter_irq_pin": 34,
        "sense_line_pin": 35,
        "sense_neutral_pin": 36,
        "ntc_contacts_pin": 32,
        "ntc_pins_pin": 33,
        "button_pin": 27,
        "plug_switch_pin": 39,
    },
    "meter": "ade7953",
    "cpu_scale": 0,
    "late_interrupts": False,
    "bus_time": False,
    "flash_time": False,
    "front_end": {
        "shunt_uohm": 500,
        "divider_upper_ohm": 990000,
        "divider_lower_ohm": 1000,
        "gain_error_ppm": 300,
        "noise_ppm": 100,
        "phase_error_ns": 0,
        "ripple_ppm": 0,
    },
    "contactor": {"close_ms": 20, "open_ms": 10, "bounce_ms": 0},
    "sense": {"threshold_mv": 60000, "threshold_ua": 500, "release_ms": 20},
    "load_capacitance_nf": 0,
    "heat": {"ambient_mc": 25000, "contacts_uohm": 1000, "pins_uohm": 1000, "mk_per_w": 60000, "time_constant_ms": 300000},
    "secure_element": {"serial": "0123a1b2c3d4e5f6ee", "is_set_up": True},
    "wifi": {"connect_ms": 1500},
    "link_line": "",
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
        elif type(value) is not type(default) and not (key in ("speed", "cpu_scale") and isinstance(value, float)):
            raise ValueError(f"simulator settings: {where}{key} is {value!r}, not of the kind of {default!r}")
        merged[key] = value
    return merged
