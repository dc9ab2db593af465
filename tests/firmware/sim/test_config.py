# needs: sim
"""Settings: defaults, and errors that name the key."""

from config import DEFAULTS, merge
from run_in_micropython import raises


def test_given_values_replace_defaults_key_by_key():
    settings = merge(DEFAULTS, {"speed": 2.5, "mains": {"voltage_mv": 120000}})
    assert settings["speed"] == 2.5
    assert settings["mains"] == {"voltage_mv": 120000, "frequency_mhz": 50000}
    assert settings["wiring"]["contactor_pin"] == 25
    assert DEFAULTS["mains"]["voltage_mv"] == 230000


def test_unknown_keys_and_wrong_kinds_are_named():
    for given, name in (
        ({"sped": 1}, "sped"),
        ({"mains": {"volts": 1}}, "mains.volts"),
        ({"mains": {"voltage_mv": "230"}}, "mains.voltage_mv"),
        ({"contactor": 5}, "contactor."),
        ({"seed": 1.5}, "seed"),
    ):
        assert name in str(raises(ValueError, merge, DEFAULTS, given)), given
