"""The plug: builds every part, joins them, and runs its tasks."""

import asyncio
import json

import esp32
import machine
import network
from micropython import const

from plug import board, config
from plug.clock import Clock
from plug.commands import Commands
from plug.crypto import eip712
from plug.drivers.button import Button
from plug.drivers.indicator import Indicator
from plug.drivers.plug_switch import PlugSwitch
from plug.errors import MeterError
from plug.guard import Guard
from plug.ledger import open_ledger
from plug.metering.calibration import Calibration
from plug.metering.energy import EnergyRegister
from plug.net.link import Link
from plug.net.wifi import WiFi
from plug.parts import open_load_sense, open_meter, open_thermometers
from plug.receipt import Signer
from plug.session import IDLE, Session
from plug.storage import keystore
from plug.storage.journal import Journal
from plug.supervisor import Supervisor
from plug.version import VERSION
from plug.wire import to_hex

PROTOCOL_VERSION = const(1)
STEP_MS = const(200)
STATUS_S = const(60)
WATCHDOG_MS = const(3_000)
FULL_SPEED_HZ = const(240_000_000)  # stock builds boot at 160 MHz: signing takes a third less time
LOST_CAUSES = (machine.PWRON_RESET,)


def _random(limit):
    """Return a random number below `limit` (at most 2^32) from the hardware generator."""
    return int.from_bytes(os.urandom(4), "big") % limit
