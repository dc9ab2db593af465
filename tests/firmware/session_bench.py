"""A session over the real journal, ledger and signatures, for tests; only time, guard and meter are the test's."""

import asyncio

from plug.crypto import eip712, secp256k1
from plug.errors import NoClock, WeldUnknown
from plug.ledger import Ledger
from plug.metering.energy import EnergyRegister
from plug.receipt import ReceiptWriter
from plug.session import Session
from plug.signing.software import SoftwareSigner
from plug.storage.journal import Journal
from plug.terms import NO_TERMS, Terms
from plug.wire import from_hex, struct_from_wire, struct_to_wire, to_hex
from storage.file_partition import FilePartition

DOMAIN = eip712.domain_separator(31337, b"\x11" * 20)
DRIVER = b"\x22" * 32
DRIVER_ADDRESS = secp256k1.address(secp256k1.public_key(DRIVER))
HOST = b"\x44" * 20
SIGNER = SoftwareSigner(b"\x33" * 32)
RECEIPTS = ReceiptWriter(SIGNER, DOMAIN, "0.0.0", bytes(32))
NOW = 1_790_000_000
NO_LOAD_MA = 50
LOAD_MA = 10_000
FACTS = {"rated_power_w": 2300, "continuous_ma": 10_000, "no_load_ma": NO_LOAD_MA, "is_billing": True, "has_load_sense": True, "calibration": "00"}


class Clock:
    """UTC as the test sets it; milliseconds go on by themselves only with `charge`."""

    def __init__(self, now):
        self.now = now
        self.uptime_ms = 0

    @property
    def is_set(self):
        return self.now is not None

    def tick(self):
        return self.uptime_ms

    def utc(self):
        if self.now is None:
            raise NoClock("not set")
        return self.now


class Guard:
    """Does at once what it is told."""

    trip = None
    weld = "ok"
    outage = False
    waits_for = None
    is_closed = False

    @property
    def is_open(self):
        return not self.is_closed

    def check_session(self):
        if self.weld != "ok":
            raise WeldUnknown("unknown")

    def want(self, closed, now_ms, final=False):
        self.is_closed = closed and not self.trip


class Plug:
    """A session with its surroundings; `boot` builds it again from what is in flash."""

    def __init__(self, now=NOW, total_mwh=0, terms=None, host=None, **facts):
        self.partition = FilePartition(64)
        self.terms = Terms(dict(NO_TERMS, **(terms or {})))
        self.host = host
        self.facts = dict(FACTS, **facts)
        self.is_plugged = True
        self.is_metering = True
        self.boot(now, total_mwh)

    def boot(self, now, total_mwh=0):
        self.clock = Clock(now)
        self.guard = Guard()
        self.ledger = Ledger(Journal(self.partition))
        self.register = EnergyRegister(self.ledger.sample().total_mwh or total_mwh, 1, 1)
        self.changes = 0
        self.session = Session(RECEIPTS, DOMAIN, self.clock, self.register, self.guard, self.ledger, self.host, self.terms, self.facts, self.changed)
        self.session.resume()
        return self

    def changed(self):
        self.changes += 1

    def voucher(self, sign_with=DRIVER, **changes):
        offer = self.session.offer()
        values = {
            "driver": DRIVER_ADDRESS,
            "host": HOST,
            "plug": SIGNER.address,
            "token": bytes(20),
            "funding": 0,
            "pricePerKwh": 300_000,
            "pricePerHour": 0,
            "maxPowerW": 2875,
            "cap": 1 << 100,
            "issuedAt": NOW,
            "validUntil": NOW + 86_400,
            "nonce": offer["nonce"] if offer else 1,
        }
        values.update(changes)
        digest = eip712.digest(DOMAIN, eip712.hash_struct("Voucher", values))
        return {"type": "voucher", "voucher": struct_to_wire("Voucher", values), "signature": to_hex(secp256k1.sign(sign_with, digest))}

    def take(self, message):
        asyncio.run(self.session.take_voucher(message))

    def authorise(self, **changes):
        self.take(self.voucher(**changes))
        self.id = to_hex(self.session.voucher.session)
        return self

    def lock(self):
        self.session.take_lock({"type": "lock", "session": self.id})
        return self.step()

    def stop(self, sign_with=DRIVER):
        digest = eip712.digest(DOMAIN, eip712.hash_struct("Stop", {"session": from_hex("session", self.id, 32)}))
        message = {"type": "stop", "session": self.id, "signature": to_hex(secp256k1.sign(sign_with, digest))}
        asyncio.run(self.session.take_stop(message))
        self.step()

    def step(self):
        asyncio.run(self.session.step(self.is_plugged, self.is_metering))
        return self

    def charge(self, seconds, mwh_per_second=639, current_ma=LOAD_MA):
        for _ in range(seconds):
            if self.clock.now is not None:
                self.clock.now += 1
            self.clock.uptime_ms += 1000
            if self.guard.is_closed:
                self.register.add(mwh_per_second if current_ma > NO_LOAD_MA else 0)
            self.session.account(current_ma if self.guard.is_closed else 0, 1000)
            self.step()

    def newest(self):
        """The newest receipt's fields: of the running session, else of the only ended one."""
        running = self.session.newest_messages()
        message = running[2] if running else self.ledger.entry(self.ledger.unpaid()[0])[1]
        values = struct_from_wire("Receipt", message["receipt"])
        digest = eip712.digest(DOMAIN, eip712.hash_struct("Receipt", values))
        public = secp256k1.recover(digest, from_hex("signature", message["signature"], 65))
        assert secp256k1.address(public) == SIGNER.address
        return values
