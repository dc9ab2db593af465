# needs: sim
"""Joining a network takes its time."""

import time

import network
from run_in_micropython import raises


def test_joins_after_the_set_time():
    wlan = network.WLAN(network.STA_IF)
    assert wlan.status() == network.STAT_IDLE
    raises(OSError, wlan.connect, "ssid", "password")
    assert wlan.active(True)
    wlan.connect("ssid", "password")
    time.sleep_ms(1499)
    assert not wlan.isconnected()
    assert wlan.status() == network.STAT_CONNECTING
    assert wlan.ifconfig()[0] == "0.0.0.0"
    raises(OSError, wlan.connect, "ssid", "password")
    time.sleep_ms(1)
    assert wlan.isconnected()
    assert wlan.status() == network.STAT_GOT_IP
    assert wlan.ifconfig()[0] == "127.0.0.1"


def test_switching_the_radio_off_leaves_the_network():
    wlan = network.WLAN(network.WLAN.IF_STA)
    wlan.active(True)
    wlan.connect("ssid", "password")
    time.sleep_ms(1500)
    assert wlan.isconnected()
    wlan.active(False)
    assert not wlan.isconnected()
    wlan.active(True)
    wlan.connect("ssid", "password")
    wlan.disconnect()
    time.sleep_ms(5000)
    assert not wlan.isconnected()
