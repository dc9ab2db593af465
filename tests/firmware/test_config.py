"""config.json: what a person may write, and one clear error for everything else."""

import json

from plug import config
from plug.errors import ConfigError
from plug.terms import NO_TERMS
from run_in_micropython import raises

GOOD = {"wifi": {"ssid": "a", "password": "b"}, "relay": {"host": "192.0.2.10", "port": 7140}, "chain_id": 1, "contract": "0x" + "11" * 20}


def changed(**keys):
    return dict(GOOD, **keys)


def terms(**keys):
    return changed(terms=dict(NO_TERMS, **keys))


def test_a_good_one_is_read():
    read = config.Config(GOOD)
    assert (read.ssid, read.password, read.relay_host, read.relay_port, read.chain_id) == ("a", "b", "192.0.2.10", 7140, 1)
    assert (read.contract, read.host) == (b"\x11" * 20, None)
    assert config.Config(terms(host="0x" + "22" * 20)).host == b"\x22" * 20


def test_each_wrong_value_is_named():
    window = {"from": "00:00", "to": "06:00", "price_per_kwh": 1, "price_per_hour": 0}
    for settings, name in (
        ([], "config.json"),
        ({}, "wifi"),
        (changed(more=1), "config.json"),
        (changed(wifi={"ssid": "a"}), "password"),
        (changed(wifi={"ssid": 5, "password": ""}), "ssid"),
        (changed(relay={"host": "relay.example", "port": 1}), "relay.example"),
        (changed(relay={"host": "1.2.3.256", "port": 1}), "1.2.3.256"),
        (changed(relay={"host": "1.2.3.4", "port": 0}), "port"),
        (changed(relay={"host": "1.2.3.4", "port": True}), "port"),
        (changed(chain_id="1"), "chain_id"),
        (changed(contract="0x11"), "contract"),
        (changed(terms={}), "host"),
        (terms(host="me"), "terms.host"),
        (terms(utc_offset_min=1440), "utc_offset_min"),
        (terms(tariff={}), "tariff"),
        (terms(tariff=[dict(window, price_per_kwh=-1)]), "price_per_kwh"),
        (terms(tariff=[dict(window, price_per_kwh=1.5)]), "price_per_kwh"),
        (terms(tariff=[{"from": "00:00", "to": "06:00"}]), "price_per_kwh"),
        (terms(schedule=[{"from": "24:01", "to": "06:00"}]), "24:01"),
        (terms(schedule=[{"from": "6:00", "to": "07:00"}]), "6:00"),
        (terms(schedule=[{"from": 6, "to": "07:00"}]), "6"),
        (terms(button=1), "button"),
        (terms(site="no"), "site"),
    ):
        error = raises(ConfigError, config.Config, settings)
        assert name in str(error), (settings, str(error))
        assert error.code == "config"


def test_a_file_that_is_missing_long_or_no_json_is_refused():
    raises(ConfigError, config.load)
    for text in ("", "{", "null", json.dumps(GOOD)[:-1], json.dumps(changed(wifi={"ssid": "a" * 5000, "password": ""})), "[" * 4_000):
        with open(config.PATH, "w") as file:
            file.write(text)
        raises(ConfigError, config.load)
    with open(config.PATH, "wb") as file:
        file.write(b"\xff\xfe\x00")
    raises(ConfigError, config.load)
    with open(config.PATH, "w") as file:
        json.dump(GOOD, file)
    assert config.load().chain_id == 1
