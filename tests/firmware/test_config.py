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
    assert (read.ssid, read.password, read.relay.link, read.relay.host, read.relay.port, read.chain_id) == ("a", "b", "tcp", "192.0.2.10", 7140, 1)
    assert (read.contract, read.host) == (b"\x11" * 20, None)
    assert config.Config(terms(host="0x" + "22" * 20)).host == b"\x22" * 20


def mqtt(**keys):
    return changed(relay=dict({"link": "mqtt", "host": "192.0.2.10", "port": 8883}, **keys))


def test_a_link_of_each_kind_is_read():
    assert config.Config(changed(relay=dict(GOOD["relay"], link="tcp"))).relay.link == "tcp"
    assert config.Config(changed(relay={"link": "serial"})).relay.link == "serial"
    relay = config.Config(mqtt()).relay
    assert (relay.link, relay.host, relay.port, relay.user, relay.password, relay.tls) == ("mqtt", "192.0.2.10", 8883, None, None, None)
    relay = config.Config(mqtt(user="u", password="p", tls={"ca": "ca.der", "name": "broker"})).relay
    assert (relay.user, relay.password, relay.tls) == ("u", "p", {"ca": "ca.der", "cert": None, "key": None, "name": "broker"})
    tls = {"ca": "ca.der", "cert": "plug.der", "key": "plug.key", "name": "broker"}
    assert config.Config(mqtt(tls=tls)).relay.tls == tls


def test_each_wrong_value_of_a_link_is_named():
    for settings, name in (
        (changed(relay=[]), "relay"),
        (changed(relay={"link": "usb", "host": "1.2.3.4", "port": 1}), "usb"),
        (changed(relay={"link": ["mqtt"], "host": "1.2.3.4", "port": 1}), "link"),
        (changed(relay={"link": "mqtt", "host": "1.2.3.4"}), "port"),
        (changed(relay={"link": "tcp", "host": "1.2.3.4", "port": 1, "user": "u", "password": "p"}), "relay"),
        (changed(relay={"link": "serial", "host": "1.2.3.4", "port": 1}), "relay"),
        (mqtt(host="broker.example"), "broker.example"),
        (mqtt(topic="x"), "relay"),
        (mqtt(user="u"), "password"),
        (mqtt(password="p"), "user"),
        (mqtt(user="", password="p"), "user"),
        (mqtt(user="u", password="p" * 257), "password"),
        (mqtt(user="u", password=5), "password"),
        (mqtt(tls=True), "tls"),
        (mqtt(tls={"name": "broker"}), "ca"),
        (mqtt(tls={"ca": "ca.der"}), "name"),
        (mqtt(tls={"ca": "ca.der", "name": "broker", "more": 1}), "tls"),
        (mqtt(tls={"ca": "ca.der", "name": "broker", "cert": "plug.der"}), "key"),
        (mqtt(tls={"ca": "../ca.der", "name": "broker"}), "../ca.der"),
        (mqtt(tls={"ca": "", "name": "broker"}), "ca"),
        (mqtt(tls={"ca": "ca.der", "name": 5}), "name"),
    ):
        error = raises(ConfigError, config.Config, settings)
        assert name in str(error), (settings, str(error))


def test_no_secret_of_a_link_is_shown():
    for settings in (mqtt(user="u", password="hunter2" * 40), mqtt(password="hunter2")):
        assert "hunter2" not in str(raises(ConfigError, config.Config, settings))


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
