"""The plug: builds every part, joins them, and runs its tasks."""

import asyncio

import esp32
import machine
import network
from micropython import const

from plug import board, config
from plug.clock import Clock
from plug.crypto import eip712
from plug.drivers.ade7953 import ADE7953
from plug.errors import Malformed, MeterError, UnknownType
from plug.guard import Guard
from plug.metering.energy import EnergyRegister
from plug.net.framing import decode
from plug.net.link import Link
from plug.net.wifi import WiFi
from plug.receipt import Signer
from plug.session import IDLE, Session, read_journal
from plug.storage import keystore, record
from plug.storage.journal import Journal
from plug.storage.outbox import Outbox
from plug.version import VERSION
from plug.wire import check_keys, from_hex, to_hex

PROTOCOL_VERSION = const(1)
MEASURE_MS = const(1_000)
STATUS_S = const(60)
IDLE_SAVE_MS = const(900_000)
WATCHDOG_MS = const(10_000)
LATE_MS = const(3_000)
FULL_SPEED_HZ = const(240_000_000)  # stock builds boot at 160 MHz: signing takes a third less time


class App:
    """Everything between `machine` and the relay. The contactor comes from main.py, open."""

    def __init__(self, contactor):
        settings = config.load()
        machine.freq(FULL_SPEED_HZ)
        first_boot = not record.exists("journal")
        secret = keystore.load_or_create(esp32.NVS("wattseal"), first_boot)
        record.make_folder("journal")
        domain = eip712.domain_separator(settings.chain_id, settings.contract)
        signer = Signer(secret, domain, VERSION)
        self._contactor = contactor
        self._clock = Clock()
        journal = Journal("journal/state")
        saved = read_journal(journal)
        self._register = EnergyRegister(saved["total_mwh"], board.METER["energy_mwh_numerator"], board.METER["energy_mwh_denominator"])
        outbox = Outbox("journal/outbox")
        self._session = Session(
            signer,
            domain,
            self._clock,
            self._register,
            contactor,
            journal,
            outbox,
            board.RATED_POWER_W,
            board.METER["no_load_ma"],
            self._announce,
        )
        self._outbox = outbox
        bus = machine.I2C(
            board.I2C_ID,
            scl=machine.Pin(board.PINS["i2c_scl"]),
            sda=machine.Pin(board.PINS["i2c_sda"]),
            freq=board.I2C_FREQ_HZ,
        )
        self._meter = ADE7953(bus, board.METER)
        self._meter_is_up = False
        self._guard = Guard(board.RATED_CURRENT_MA)
        self._voltage_mv = self._current_ma = self._power_mw = 0
        self._beat_ms = self._clock.tick()
        wifi = WiFi(network.WLAN(network.STA_IF), settings.ssid, settings.password)
        hello = {
            "type": "hello",
            "version": PROTOCOL_VERSION,
            "plug": to_hex(signer.address),
            "chain_id": settings.chain_id,
            "contract": to_hex(settings.contract),
            "firmware": VERSION,
            "board": board.NAME,
            "rated_power_w": board.RATED_POWER_W,
        }
        self._link = Link(settings.relay_host, settings.relay_port, wifi, self._clock, self._session, outbox, hello, self._handle)
        self._handlers = {
            "time": self._on_time,
            "voucher": self._session.take_voucher,
            "lock": self._on_lock,
            "stop": self._session.take_stop,
            "ack": self._on_ack,
            "settled": self._on_settled,
            "refused": self._on_refused,
            "ping": self._on_ping,
        }
        self._session.resume(saved["session"])

    async def run(self):
        """Run until a task dies; the caller opens the contactor and resets."""
        await asyncio.gather(self._meter_loop(), self._status_loop(), self._link.run(), self._watchdog_loop())

    # -- messages --------------------------------------------------------------------------------------------------------------------

    def _handle(self, line):
        message = decode(line)
        handler = self._handlers.get(message["type"])
        if handler is None:
            raise UnknownType("this version knows no message {!r:.40}".format(message["type"]))
        return handler(message) or ()

    def _on_time(self, message):
        check_keys("time", message, ("type", "utc"))
        utc = message["utc"]
        if not isinstance(utc, int) or isinstance(utc, bool) or not 0 < utc < 1 << 32:
            raise Malformed(f"time: utc is not a number of seconds: {utc!r:.40}")
        self._clock.set_utc(utc)
        offer = self._session.offer()
        return () if offer is None else (offer,)

    def _on_lock(self, message):
        if not self._meter_is_up:
            raise MeterError("the meter does not answer: charging cannot start")
        self._session.take_lock(message)

    def _on_ack(self, message):
        check_keys("ack", message, ("type", "session", "sequence", "status"))
        if not isinstance(message["sequence"], int):
            raise Malformed(f"ack: sequence is not an integer: {message['sequence']!r:.40}")
        self._link.acknowledge(to_hex(from_hex("session", message["session"], 32)), message["sequence"])

    def _on_settled(self, message):
        check_keys("settled", message, ("type", "session"))
        self._outbox.mark_paid(to_hex(from_hex("session", message["session"], 32)))

    def _on_refused(self, message):
        print("relay refused: {} {}".format(message.get("code"), message.get("message")))

    def _on_ping(self, message):
        return ({"type": "pong"},)

    def _announce(self):
        self._link.send(self._status())
        offer = self._session.offer()
        if offer is not None:
            self._link.send(offer)

    def _status(self):
        session = self._session
        return {
            "type": "status",
            "state": session.state,
            "session": None if session.state == IDLE else to_hex(session.voucher.session),
            "at": self._clock.utc() if self._clock.is_set else 0,
            "voltage_mv": self._voltage_mv,
            "current_ma": self._current_ma,
            "power_mw": self._power_mw,
            "register_mwh": self._register.total_mwh,
            "contactor": int(self._contactor.closed),
        }

    # -- tasks -----------------------------------------------------------------------------------------------------------------------

    async def _meter_loop(self):
        previous_ms = self._clock.tick()
        measured_ms = previous_ms - MEASURE_MS
        started = False
        while True:
            await asyncio.sleep_ms(board.METER["sample_interval_ms"])
            now_ms = self._clock.tick()
            elapsed_ms = now_ms - previous_ms
            previous_ms = now_ms
            try:
                if not started:
                    self._meter.start()
                    started = True
                self._register.add(self._meter.read_counts(now_ms))  # a meter that was away is set up again in here
                if now_ms - measured_ms >= MEASURE_MS:
                    measured_ms = now_ms
                    self._voltage_mv, self._current_ma = self._meter.read_rms()
                    self._power_mw = self._meter.read_power()
                self._meter_is_up = True
                flag = self._guard.sample(self._current_ma, elapsed_ms)
            except MeterError as error:
                print(f"meter: {error}")
                self._voltage_mv = self._current_ma = self._power_mw = 0
                self._meter_is_up = False
                flag = self._guard.silence(elapsed_ms)
            if flag:
                self._session.end_by_fault(flag)
            self._session.sample(self._current_ma, elapsed_ms)
            self._beat_ms = now_ms

    async def _status_loop(self):
        saved_ms = self._clock.tick()
        saved_mwh = self._register.total_mwh
        while True:
            await asyncio.sleep(STATUS_S)
            self._announce()
            now_ms = self._clock.tick()
            if now_ms - saved_ms >= IDLE_SAVE_MS and self._register.total_mwh != saved_mwh:
                self._session.save()
                saved_ms = now_ms
                saved_mwh = self._register.total_mwh

    async def _watchdog_loop(self):
        watchdog = machine.WDT(timeout=WATCHDOG_MS)
        while True:
            if self._clock.tick() - self._beat_ms < LATE_MS:
                watchdog.feed()
            await asyncio.sleep_ms(1_000)
