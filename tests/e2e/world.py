"""A hostile relay and driver around the real firmware, with what is true known from the simulator alone (docs/simulator.md).

`World` keeps its own account of which session may have power; coil, receipts and energy register of the plug have to agree with it.
"""

import socket
from pathlib import Path
from typing import Any

from wattseal.demo.processes import SimulatedPlug
from wattseal.errors import LinkError
from wattseal.protocol import framing, signatures
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import Enrol, Receipt, Stop, Voucher
from wattseal.protocol.typed_data import FLAG_FINAL

BOARD = "desk_16a"
CONTRACT = b"\x11" * 20
CHAIN_ID = 31337
DOMAIN = domain_separator(CHAIN_ID, CONTRACT)
DRIVER = b"\x22" * 32
NOW = 1_790_000_000
GRACE_S = 4  # until the contacts are open after a session's end: 2 s for a low current, and what the loops take
PING_EVERY_S = 240
CONTINUOUS_MA = 16_000  # of the board
UNKNOWN = "0x" + "ab" * 32
HOST = b"\x44" * 20
TERMS = {"host": "0x" + HOST.hex(), "utc_offset_min": 0, "tariff": [], "schedule": [], "button": False, "site": False}
RESET = 3  # exit status of machine.reset()


class World:
    """The plug in `folder`, its relay, driver, car and mains. Each public method is an event; `check` looks at what must hold after any."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(0.2)
        self.connection: socket.socket | None = None
        self.true_mwh = self.true_before_mwh = 0.0  # of all processes, of the earlier ones
        self.at_s = self.before_s = 0.0  # the same for time
        self.vouchers: dict[str, Voucher] = {}  # those that the plug may take, by session
        self.sent: list[dict[str, Any]] = []  # every voucher message
        self.began_mwh: dict[str, float] = {}  # what had flowed when the plug took a session
        self.ended_s: dict[str, float] = {}  # when somebody's word ended it
        self.receipts: dict[str, dict[str, Any]] = {}  # the newest of each session
        self.refusals: list[str] = []
        self.epoch = 0  # the last one that the plug has signed
        self.boot()

    def close(self) -> None:
        self.plug.kill()
        self._hang_up()
        self.server.close()

    # -- machine -----------------------------------------------------------------------------------------------------------------------

    def boot(self, car: dict[str, int] | None = None, reset_cause: str = "power_on") -> None:
        """Start the plug, with a car at the socket or an empty one, and let it connect."""
        self.true_before_mwh, self.before_s = self.true_mwh, self.at_s
        settings = {"reset_cause": reset_cause, "bus_time": True}
        self.plug = SimulatedPlug(
            self.folder, BOARD, "x64", CONTRACT, self.server.getsockname()[1], car=car, settings=settings, config={"terms": TERMS}
        )
        self.locked: set[str] = set()
        self.budget: tuple[int, float] | None = None
        self.register_mwh = 0
        self.status: dict[str, Any] = {}
        self.offer: dict[str, Any] | None = None
        self.coil_high_us: int | None = None
        self.unplugged_s: float | None = None if car else self.at_s
        self._look(self.plug.ask(cmd="state"))
        self.connect()

    def connect(self) -> None:
        """Break the connection, if there is one, and let time pass until the plug has made another."""
        self._hang_up()
        for _ in range(100):
            self._run(2)
            try:
                self.connection, _ = self.server.accept()
            except TimeoutError:
                continue
            self.received = b""
            self.sync()
            return
        raise AssertionError(f"the plug does not connect: {self.log()}")

    def power_cut(self, car: bool) -> None:
        self.plug.kill()
        self.boot({"energy_wh": 5000, "current_ma": 16_000} if car else None)

    def reboot(self) -> None:
        """Ask for a restart: it comes where the contacts are open."""
        may_restart = not self.is_driven
        self.send(framing.encode({"type": "reboot"}))
        try:
            self.plug.run(0.1)
            self.sync()
        except (LinkError, ConnectionError, EOFError):
            assert may_restart, "it restarted with closed contacts"
            assert self.plug.wait() == RESET, self.log()
            self.boot(reset_cause="reset")

    def do(self, **command: object) -> None:
        """Give the simulator a command."""
        self._look(self.plug.ask(**command))

    def plug_in(self) -> None:
        self.unplugged_s = None
        self.do(cmd="plug_in", energy_wh=5000, current_ma=16_000)

    def unplug(self) -> None:
        self.unplugged_s = self.at_s if self.unplugged_s is None else self.unplugged_s
        self.do(cmd="unplug")

    def press(self, seconds: float) -> None:
        self.do(cmd="button", pressed=True)
        self.advance(seconds)
        self.do(cmd="button", pressed=False)

    # -- time --------------------------------------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time pass; look at what has come every few minutes."""
        while seconds > 0:
            self._run(min(seconds, PING_EVERY_S))
            seconds -= PING_EVERY_S
            self.sync()

    def _run(self, seconds: float) -> None:
        is_allowed = self._may_close()
        before_us = self.coil_high_us
        self._look(self.plug.run(seconds))
        assert self.coil_high_us == before_us or is_allowed, f"the contactor was closed: {self.status} {self.locked} {self.ended_s} {self.budget}"

    def _look(self, state: dict[str, Any]) -> None:
        self.true_mwh = self.true_before_mwh + state["true_mwh"]
        self.at_s = self.before_s + state["at_ms"] / 1000
        self.coil_high_us = state["coil_high_at_us"]
        self.is_driven = self.coil_high_us is not None and self.coil_high_us > (state["coil_low_at_us"] or -1)

    # -- what must hold ------------------------------------------------------------------------------------------------------------------

    def _may_have_power(self, grace_s: float) -> bool:
        """Tell whether the session that the plug says it has is one that it may have, locked, and not ended longer than that ago."""
        session = self.status.get("session")
        if session not in self.vouchers or session not in self.locked or self.receipts.get(session, {"flags": 0})["flags"] & FLAG_FINAL:
            return False
        if self.unplugged_s is not None and self.at_s - self.unplugged_s > grace_s:
            return False
        return session not in self.ended_s or self.at_s - self.ended_s[session] <= grace_s

    def _may_close(self) -> bool:
        if self.budget is not None and self.at_s - self.budget[1] > 1 and (self.budget[0] < CONTINUOUS_MA or self.at_s - self.budget[1] > 901):
            return False
        return self._may_have_power(1)

    def check(self) -> None:
        self.sync()
        self._look(self.plug.ask(cmd="state"))
        if self.is_driven:
            assert self._may_have_power(GRACE_S), f"the coil is driven: {self.status} {self.locked} {self.ended_s}"
            assert self.status["trip"] is None, f"the coil is driven: {self.status}"
        assert "Traceback" not in self.log()

    def log(self) -> str:
        return self.plug.log.read_text(errors="replace")[-4000:]

    # -- link --------------------------------------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        assert self.connection
        self.connection.sendall(data)

    def say(self, **message: object) -> None:
        self.send(framing.encode(message))
        self.sync()

    def sync(self) -> None:
        """Take all that comes up to the answer to a ping; where the plug has hung up, wait for it to come back."""
        for _ in range(2):
            try:
                self.send(framing.encode({"type": "ping"}))
                while True:
                    message = self._receive()
                    self._take(message)
                    if message["type"] == "pong":
                        return
            except (ConnectionError, EOFError):
                self.plug.check_alive()
                self.connect()
        raise AssertionError(f"no pong: {self.log()}")

    def _receive(self) -> dict[str, Any]:
        assert self.connection
        self.connection.settimeout(20)
        while b"\n" not in self.received:
            data = self.connection.recv(65536)
            if not data:
                raise EOFError
            self.received += data
        line, self.received = self.received.split(b"\n", 1)
        message: dict[str, Any] = framing.decode(line)
        return message

    def _hang_up(self) -> None:
        if self.connection:
            self.connection.close()
            self.connection = None

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "hello":
            self.address = bytes.fromhex(message["plug"][2:])
        elif kind == "status":
            self._take_status(message)
        elif kind == "offer":
            self.offer = message
        elif kind == "session":
            assert message["session"] in self.vouchers, "the plug took a voucher that it had to refuse"
            self.began_mwh.setdefault(message["session"], self.true_mwh)
        elif kind == "receipt":
            self._take_receipt(message["receipt"])
        elif kind == "enrolment":
            self._take_enrolment(message)
        elif kind == "refused":
            self.refusals.append(message["code"])

    def _take_status(self, message: dict[str, Any]) -> None:
        self.status = message
        assert message["register_mwh"] >= self.register_mwh, "the energy register fell"
        self.register_mwh = message["register_mwh"]
        assert self.register_mwh <= self.true_mwh * 1.001 + 20, "the energy register shows more than has flowed"
        if message["state"] in ("charging", "suspended"):
            assert not self.receipts.get(message["session"], {"flags": 0})["flags"] & FLAG_FINAL, "an ended session goes on"

    def _take_enrolment(self, message: dict[str, Any]) -> None:
        assert message["epoch"] >= self.epoch, "an old epoch was signed"
        self.epoch = message["epoch"]
        digest = Enrol(self.address, HOST, self.epoch).digest(DOMAIN)
        assert signatures.recover(digest, bytes.fromhex(message["signature"][2:])) == self.address, message

    def _take_receipt(self, fields: dict[str, Any]) -> None:
        session = fields["session"]
        receipt = Receipt.from_wire(fields)
        before = self.receipts.get(session, fields)
        assert fields["sequence"] > before["sequence"] or fields == before, (before, fields)
        assert not before["flags"] & FLAG_FINAL or fields == before, (before, fields)
        for name in ("asOf", "activeSeconds", "energyWh"):
            assert fields[name] >= before[name], (name, before, fields)
        assert (fields["startedAt"], fields["registerWh"]) == (before["startedAt"], before["registerWh"]), (before, fields)
        assert receipt.energyWh <= (self.true_mwh - self.began_mwh[session]) / 1000 * 1.001 + 1.02, (fields, self.true_mwh, self.began_mwh)
        self.receipts[session] = fields

    # -- relay and driver ----------------------------------------------------------------------------------------------------------------

    def time(self, shift_s: int) -> None:
        """Tell the time, shifted; what is beyond the range of a chain's timestamps too."""
        self.say(type="time", utc=NOW + int(self.at_s) + shift_s)

    def voucher(self, sign_with: bytes = DRIVER, is_valid: bool = True, **changes: object) -> None:
        """Hand in a voucher for the newest offer, changed in places; `is_valid` says whether the plug may take it."""
        offer = self.offer or {"nonce": 1, "issued_at": NOW}
        fields: dict[str, Any] = {
            "driver": signatures.address(DRIVER),
            "host": HOST,
            "plug": self.address,
            "token": bytes(20),
            "funding": 0,
            "pricePerKwh": 10**14,
            "pricePerHour": 0,
            "maxPowerW": 4600,
            "cap": 10**18,
            "issuedAt": offer["issued_at"],
            "validUntil": offer["issued_at"] + 86_400,
            "nonce": offer["nonce"],
        }
        voucher = Voucher(**(fields | changes))
        digest = voucher.digest(DOMAIN)
        if is_valid and self.offer:
            self.vouchers["0x" + digest.hex()] = voucher
        message = {"type": "voucher", "voucher": voucher.to_wire(), "signature": "0x" + signatures.sign(sign_with, digest).hex()}
        self.sent.append(message)
        self.say(**message)

    def replay(self, index: int) -> None:
        """Hand in a voucher again."""
        if self.sent:
            self.say(**self.sent[index % len(self.sent)])

    def pick(self, index: int | None) -> str:
        """Return the plug's session (None), one that it had (0, 1, ...) or one that it never had (negative)."""
        if index is None:
            return self.status.get("session") or UNKNOWN
        known = sorted(self.began_mwh)
        return known[index % len(known)] if known and index >= 0 else UNKNOWN

    def lock(self, index: int | None) -> None:
        session = self.pick(index)
        if session == self.status.get("session"):
            self.locked.add(session)
        self.say(type="lock", session=session)

    def stop(self, index: int | None, sign_with: bytes = DRIVER) -> None:
        session = self.pick(index)
        signature = signatures.sign(sign_with, Stop(bytes.fromhex(session[2:])).digest(DOMAIN))
        if session == self.status.get("session") and sign_with == DRIVER:
            self.ended_s.setdefault(session, self.at_s)
        self.say(type="stop", session=session, signature="0x" + signature.hex())

    def end(self, index: int | None) -> None:
        session = self.pick(index)
        if session == self.status.get("session"):
            self.ended_s.setdefault(session, self.at_s)
        self.say(type="end", session=session)

    def grant(self, current_ma: int) -> None:
        self.budget = (current_ma, self.at_s)
        self.say(type="budget", current_ma=current_ma)

    def acknowledge(self, index: int | None, ahead: int) -> None:
        session = self.pick(index)
        self.say(type="ack", session=session, sequence=self.receipts.get(session, {"sequence": 0})["sequence"] + ahead, status="stored")

    def enrol(self, ahead: int) -> None:
        self.say(type="enrol", epoch=self.epoch + ahead)

    def settle(self, index: int | None) -> None:
        self.say(type="settled", session=self.pick(index))

    def charge(self, again: int | None = None, **changes: Any) -> None:
        """All that a charge needs, in order; with an earlier voucher `again`, or with what `voucher` takes."""
        self.time(0)
        self.advance(3)
        if again is None:
            self.voucher(**changes)
        else:
            self.replay(again)
        self.plug_in()
        self.advance(1)
        self.lock(None)
        self.advance(8)

    def finish(self, how: str) -> None:
        """End the plug's session in one of the ways that are somebody's word, and wait until it is over."""
        getattr(self, how)(None)
        self.advance(GRACE_S + 1)
