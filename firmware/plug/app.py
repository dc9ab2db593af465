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
from plug.errors import JournalError, Malformed, MeterError, PlugError, UnknownType
from plug.guard import Guard
from plug.metering.energy import EnergyRegister
from plug.net.framing import decode
from plug.net.link import Link
from plug.net.wifi import WiFi
from plug.receipt import Signer
from plug.session import IDLE, NEW_JOURNAL, Session, read_journal
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


def _secret_and_state(nvs, journal):
    """Return the device key and the journal's state; the first boot makes both, the journal first.

    Raises JournalError where only one of them is left: a new key would orphan unpaid receipts, a new register would count from 0 again.
    """
    secret = keystore.load(nvs)
    saved = read_journal(journal)
    if secret is not None and saved is None:
        raise JournalError("the journal is gone, but not the device key: the register's total is unknown; the contactor stays open")
    if secret is None and saved is not None and (saved["total_mwh"] or saved["session"]):
        raise JournalError("the device key is gone, but not the journal: erase both only when every receipt is settled")
    if saved is None:
        journal.store(NEW_JOURNAL)
        saved = read_journal(journal)
    return secret or keystore.create(nvs), saved


class App:
    """Everything between `machine` and the relay. The contactor comes from main.py, open."""

    def __init__(self, contactor):
        settings = config.load()
        machine.freq(FULL_SPEED_HZ)
        record.make_folder("journal")
        journal = Journal("journal/state")
        secret, saved = _secret_and_state(esp32.NVS("wattseal"), journal)
        domain = eip712.domain_separator(settings.chain_id, settings.contract)
        signer = Signer(secret, domain, VERSION)
        self._contactor = contactor
        self._clock = Clock()
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
        self._early_lock = None  # came before the meter was up
        self._guard = Guard(board.RATED_CURRENT_MA)
        self._voltage_mv = self._current_ma = self._power_mw = 0
        self._beat_ms = self._clock.tick()
        wifi = WiFi(network.WLAN(network.STA_IF), settings.ssid, settings.password)
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
        self._link = Link(settings.relay_host, settings.relay_port, wifi, self._clock, self._session, outbox, self._greeting, self._handle)
        self._handlers = {
            "time": self._on_time,
            "voucher": self._on_voucher,
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

    def _greeting(self):
        """Return the first messages of a connection."""
        return [self._hello, self._status()]

    def _handle(self, line):
        """Return the replies to a line; what is wrong with it is one of them."""
        session = None
        try:
            message = decode(line)
            handler = self._handlers.get(message["type"])
            if handler is None:
                raise UnknownType(f"this version knows no message {message['type']!r:.40}")
            if isinstance(message.get("session"), str):
                session = message["session"][:66]
            return handler(message) or ()
        except PlugError as error:
            return ({"type": "refused", "code": error.code, "message": str(error), "session": session},)

    def _on_time(self, message):
        check_keys("time", message, ("type", "utc"))
        utc = message["utc"]
        if not isinstance(utc, int) or isinstance(utc, bool) or not 0 < utc < 1 << 32:
            raise Malformed(f"time: utc is not a number of seconds: {utc!r:.40}")
        self._clock.set_utc(utc)
        return self._offers()

    def _on_voucher(self, message):
        if not self._meter_is_up:
            raise MeterError("the meter does not answer: no session can start")
        self._session.take_voucher(message)

    def _on_lock(self, message):
        if self._meter_is_up:
            self._session.take_lock(message)
        else:
            self._early_lock = message

    def _offers(self):
        offer = self._session.offer() if self._meter_is_up else None
        return () if offer is None else (offer,)

    def _on_ack(self, message):
        check_keys("ack", message, ("type", "session", "sequence", "status"))
        if not isinstance(message["sequence"], int):
            raise Malformed(f"ack: sequence is not an integer: {message['sequence']!r:.40}")
        if message["status"] not in ("stored", "superseded"):
            raise Malformed(f"ack: status is neither stored nor superseded: {message['status']!r:.40}")
        self._link.acknowledge(to_hex(from_hex("session", message["session"], 32)), message["sequence"])

    def _on_settled(self, message):
        check_keys("settled", message, ("type", "session"))
        self._outbox.mark_paid(to_hex(from_hex("session", message["session"], 32)))

    def _on_refused(self, message):
        print("relay refused: {} {}".format(message.get("code"), message.get("message")))

    def _on_ping(self, message):
        check_keys("ping", message, ("type",))
        return ({"type": "pong"},)

    def _announce(self):
        self._link.send(self._status())
        for offer in self._offers():
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
                if not self._meter_is_up:
                    self._meter_is_up = True
                    self._on_meter_up()
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

    def _on_meter_up(self):
        early_lock, self._early_lock = self._early_lock, None
        if early_lock is not None:
            try:
                self._session.take_lock(early_lock)
            except PlugError as error:
                print(f"lock: {error}")
        self._announce()

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
