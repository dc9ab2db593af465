"""The plug: builds every part, joins them, and runs its tasks."""

import asyncio
import os
import sys
from binascii import hexlify

import esp32
import machine
import network
from machine import Pin
from micropython import const

from plug import board, device_key
from plug.clock import Clock
from plug.commands import Commands
from plug.crypto import eip712
from plug.enrolment import Enrolment
from plug.errors import ConfigError, JournalError, MeterError, PlugError
from plug.guard import Guard
from plug.guard.codes import CONTACT_TEMPERATURE, PLUG_TEMPERATURE
from plug.ledger import open_ledger
from plug.metering.calibration import Calibration
from plug.metering.energy import EnergyRegister
from plug.metering.meter import open_meter
from plug.net.link import Link
from plug.net.wifi import WiFi
from plug.panel import Panel
from plug.receipt import ReceiptWriter
from plug.session import IDLE, Session
from plug.storage.journal import Journal
from plug.supervisor import Supervisor
from plug.version import VERSION
from plug.wire import to_hex

PROTOCOL_VERSION = const(1)
STEP_MS = const(200)
PANEL_MS = const(50)
STATUS_S = const(60)
WATCHDOG_MS = const(3_000)
FULL_SPEED_HZ = const(240_000_000)  # stock builds boot at 160 MHz: signing takes a third less time
_OPEN_MS = const(1_000)  # after that long with open contacts what the meter counts is noise


def _find_partition():
    found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label="journal")
    if not found:
        raise JournalError("flash has no partition `journal`: write build/firmware/partition-table.bin to 0x8000")
    return found[0]


def _read_calibration(ledger):
    data = ledger.calibration()
    return Calibration() if data is None else Calibration.from_bytes(data)


def _open_load_sense():
    if "sense_line" not in board.PINS:
        return None
    from plug.drivers.load_sense import LoadSense

    return LoadSense(board.PINS["sense_line"], board.PINS["sense_neutral"])


def _open_thermometers():
    if "ntc_contact" not in board.PINS and "ntc_plug" not in board.PINS:
        return None, None
    from plug.drivers.thermometer import Thermometer

    table = tuple(reversed(board.NTC))  # the board file has the coldest first
    return tuple(Thermometer(board.PINS[key], table) if key in board.PINS else None for key in ("ntc_contact", "ntc_plug"))


def _unload(*names):
    """Give the heap of modules back that only start the plug: 5 KB."""
    for name in names:
        package, module = name.rsplit(".", 1)
        delattr(sys.modules[package], module)
        del sys.modules[name]


def _random(limit):
    """Return a random number below `limit` from the hardware generator."""
    return int.from_bytes(os.urandom(4), "big") % limit


def _reset_cause():
    cause = machine.reset_cause()
    if cause == machine.WDT_RESET:
        return "watchdog"
    return "power_on" if cause == machine.PWRON_RESET else "reset"


class App:
    """Everything between `machine` and the relay. The contactor comes from main.py, open."""

    def __init__(self, contactor):
        machine.freq(FULL_SPEED_HZ)
        self._contactor = contactor
        self._clock = clock = Clock()
        from plug.config import load
        from plug.net.channel import open_channel

        settings = load()
        nvs = esp32.NVS("wattseal")
        key = device_key.load(nvs)
        self._ledger = ledger = open_ledger(Journal(_find_partition()), key is not None)
        signer, record = key or device_key.create(nvs, settings)
        calibration = _read_calibration(ledger)
        self._meter, driver = open_meter(calibration)
        self._start_up_ms = driver.START_UP_MS
        scale = board.METER
        sample = ledger.sample()
        self._register = EnergyRegister(sample.total_mwh, scale["energy_mwh_numerator"], scale["energy_mwh_denominator"], sample.reverse_mwh)
        load_sense = _open_load_sense()
        limits = dict(board.GUARD, no_load_ma=scale["no_load_ma"], sample_interval_ms=scale["sample_interval_ms"])
        self._guard = guard = Guard(contactor, load_sense, _open_thermometers(), limits, ledger.guard(), _random)
        domain = eip712.domain_separator(settings.chain_id, settings.contract)
        receipts = ReceiptWriter(signer, domain, VERSION, calibration.digest())
        facts = {
            "rated_power_w": board.RATED_POWER_W,
            "continuous_ma": board.GUARD["continuous_ma"],
            "no_load_ma": scale["no_load_ma"],
            "is_billing": self._meter.BILLING,
            "has_load_sense": load_sense is not None,
            "calibration": to_hex(calibration.digest()),
        }
        self._enrolment = enrolment = Enrolment(nvs, record, signer, domain, settings.host, clock)
        self._session = session = Session(
            receipts, domain, clock, self._register, guard, ledger, settings.host, settings.terms, facts, self._announce
        )
        session.resume()
        guard.note_boot(_reset_cause(), session.was_charging, clock.tick())
        if settings.terms.needs_button and "button" not in board.PINS:
            raise ConfigError(f"terms.button: board {board.NAME} has no button")
        self._panel = Panel(board.PINS, guard, session, clock, settings.terms.needs_button)
        self._open_ms = self._sampled_ms = 0
        self._shown = None
        channel, needs_wifi = open_channel(settings.relay, hexlify(signer.address).decode(), clock)
        wifi = WiFi(network.WLAN(network.STA_IF), settings.ssid, settings.password) if needs_wifi else None
        self._hello = {
            "type": "hello",
            "version": PROTOCOL_VERSION,
            "plug": to_hex(signer.address),
            "chain_id": settings.chain_id,
            "contract": to_hex(settings.contract),
            "firmware": VERSION,
            "board": board.NAME,
            "rated_power_w": board.RATED_POWER_W,
        }
        self._link = link = Link(channel, wifi, clock, session, ledger, self._greeting, self._handle, self._link_beat, lambda: guard.is_open, _random)
        self._commands = Commands(
            clock, session, guard, ledger, self._meter, enrolment, link.acknowledge, link.start_over, self._announce, self._reboot
        )
        self._supervisor = None
        _unload("plug.config", "plug.relay", "plug.net.channel")

    async def run(self):
        """Run until a task dies; the caller opens the contactor and resets."""
        self._supervisor = supervisor = Supervisor(machine.WDT(timeout=WATCHDOG_MS), self._clock, self._guard.emergency_open)
        supervisor.start("meter", self._meter_loop(), 700)  # with what the supervisor takes to look: noticed within a second
        supervisor.start("session", self._session_loop(), 10_000)
        supervisor.start("status", self._status_loop(), 2_000 * STATUS_S)
        supervisor.start("panel", self._panel_loop(), 10_000)
        supervisor.start("link", self._link.run(), 180_000)
        await supervisor.run()

    def note_crash(self, error):
        """Journal an exception that nobody handled; the contacts are open."""
        try:
            self._keep_guard()
            self._ledger.put_crash({"error": type(error).__name__, "message": str(error)[:200], "uptime_ms": self._clock.tick()})
        except PlugError as second:
            print(f"{second.code}: {second}")

    def _keep_guard(self):
        """Journal the guard's state if it is not what was journalled last."""
        guard = self._guard
        if guard.dirty:
            guard.dirty = False
            self._ledger.put_guard(guard.to_state())

    def _reboot(self):
        self._keep_guard()
        machine.reset()

    # -- what the relay hears ----------------------------------------------------------------------------------------------------------

    async def _handle(self, body):
        return await self._commands.handle(body)

    def _link_beat(self):
        self._supervisor.beat("link")

    def _greeting(self):
        """Return the first messages of a connection."""
        retired = self._enrolment.retired()
        return [self._hello] + ([] if retired is None else [retired]) + [self._status(), self._health()]

    def _health(self):
        meter, crash = self._meter, self._ledger.crash()
        return {
            "type": "health",
            "uptime_s": self._clock.tick() // 1000,
            "refused": self._commands.refused + self._link.refused,
            "damaged": self._ledger.damaged,
            "meter_failures": meter.failures,
            "meter_discarded": meter.discarded,
            "crash": None if crash is None else "{error}: {message}".format(**crash),
        }

    def _announce(self):
        self._link.send(self._status())
        offer = self._session.offer() if self._meter.is_live else None
        if offer is not None:
            self._link.send(offer)

    def _status(self):
        session, guard, meter = self._session, self._guard, self._meter
        temperatures = guard.temperatures
        return {
            "type": "status",
            "state": session.state,
            "session": None if session.state == IDLE else to_hex(session.voucher.session),
            "at": self._clock.utc() if self._clock.is_set else 0,
            "voltage_mv": (meter.is_live and meter.voltage_mv) or 0,
            "current_ma": (meter.is_live and meter.current_ma) or 0,
            "power_mw": (meter.is_live and meter.power_mw) or 0,
            "register_mwh": self._register.total_mwh,
            "contactor": int(self._contactor.closed),
            "frequency_mhz": meter.frequency_mhz if meter.is_live else None,
            "contact_mc": temperatures.reading_mc(CONTACT_TEMPERATURE),
            "plug_mc": temperatures.reading_mc(PLUG_TEMPERATURE),
            "guard": guard.state,
            "waits_for": guard.waits_for,
            "trip": guard.trip,
            "trip_detail": guard.trip_detail or None,
            "weld": guard.weld,
        }

    # -- tasks -----------------------------------------------------------------------------------------------------------------------

    async def _meter_loop(self):
        """Sample the meter, book its counts, let the guard look: nothing in here waits for network, flash or signing."""
        clock, meter, guard, session = self._clock, self._meter, self._guard, self._session
        interval_ms = board.METER["sample_interval_ms"]
        interrupt = self._watch_over_current()
        await asyncio.sleep_ms(self._start_up_ms)
        is_started = False
        self._sampled_ms = clock.tick()
        while True:
            now_ms = clock.tick()
            elapsed_ms = now_ms - self._sampled_ms
            self._sampled_ms = now_ms
            try:
                if not is_started:
                    meter.start()
                    is_started = True
                meter.sample(now_ms)
            except MeterError as error:
                self._report_meter(error)
            self._book(meter.take_counts(), elapsed_ms)
            if interrupt is not None and not interrupt.value():  # an edge that was missed
                self._on_over_current(interrupt)
            guard.sample(now_ms, meter)
            session.account(meter.current_ma if meter.is_live else None, elapsed_ms)
            self._supervisor.beat("meter")
            await asyncio.sleep_ms(max(1, interval_ms - (clock.tick() - now_ms)))

    def _watch_over_current(self):
        if "meter_interrupt" not in board.PINS:
            return None
        pin = Pin(board.PINS["meter_interrupt"], Pin.IN)
        pin.irq(self._on_over_current, Pin.IRQ_FALLING)
        return pin

    def _on_over_current(self, pin):
        """Ask the metering IC what it saw and tell the guard; where it does not answer, the pin is believed."""
        try:
            peak_ma = self._meter.take_over_current()
        except MeterError:
            self._guard.on_over_current(self._sampled_ms, None)
            return
        if peak_ma is not None:
            self._guard.on_over_current(self._sampled_ms, peak_ma)

    def _book(self, counts, elapsed_ms):
        """Book counts while contacts are closed and shortly after: an open contactor delivers nothing, whatever the meter says."""
        self._open_ms = self._open_ms + elapsed_ms if self._guard.is_open else 0
        if counts and self._open_ms < _OPEN_MS:
            self._register.add(counts)

    def _report_meter(self, error):
        """Print a meter's complaint once until it changes."""
        if str(error) != self._shown:
            self._shown = str(error)
            print(f"meter: {error}")

    async def _session_loop(self):
        """Move the session, keep the guard's state, tell the relay what changed."""
        session, guard = self._session, self._guard
        told = None
        while True:
            self._supervisor.beat("session")
            self._keep_guard()
            await session.step(self._panel.is_plugged, self._meter.is_live)
            now = (session.state, guard.state, guard.trip, guard.weld, self._meter.is_live)
            if now != told:
                told = now
                self._announce()
            await asyncio.sleep_ms(STEP_MS)

    async def _panel_loop(self):
        while True:
            self._supervisor.beat("panel")
            self._panel.tick(self._link.is_up)
            await asyncio.sleep_ms(PANEL_MS)

    async def _status_loop(self):
        while True:
            self._supervisor.beat("status")
            await asyncio.sleep(STATUS_S)
            self._announce()
            self._link.send(self._health())
