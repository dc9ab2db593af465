"""One plug's life from its first boot on, recorded: each erase and program of its flash, and what it had said, counted and delivered before it."""

import json
import os
import shutil
import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wattseal.demo.processes import ROOT, SimulatedPlug
from wattseal.protocol import framing, signatures
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import Stop, Voucher
from wattseal.protocol.typed_data import FLAG_FINAL

BOARD = "desk_16a"
CONTRACT = b"\x11" * 20
DRIVER = b"\x22" * 32
NOW = 1_790_000_000
DOMAIN = domain_separator(31337, CONTRACT)
DAY_S = 86_400
GRACE_S = 14 * DAY_S


@dataclass
class Moment:
    """What was so when an operation of the flash began; `ms` and `true_mwh` count on over reboots."""

    ms: int = 0
    true_mwh: int = 0
    register_mwh: int = 0
    has_key: bool = False
    sessions: dict[str, dict[str, Any] | None] = field(default_factory=dict)  # reported; session -> newest reported receipt
    finals: dict[str, dict[str, Any]] = field(default_factory=dict)  # reported
    over: set[str] = field(default_factory=set)  # settled, or their claims were over
    may_drop: bool = False  # a voucher had come when claims were over


class Plug:
    """The real firmware in the simulator, and a relay that a test speaks for."""

    def __init__(self, folder: Path, tree: Path | None = None, car: dict[str, int] | None = None) -> None:
        self.folder = folder
        self.tree = tree
        self.received: list[dict[str, Any]] = []
        self.utc = NOW
        self.server = socket.create_server(("127.0.0.1", 0))
        self.boot(**car or {})

    def boot(self, **car: int) -> None:
        """Switch on, with a car at the socket or none."""
        self.plug = SimulatedPlug(self.folder, BOARD, "x64", CONTRACT, self.server.getsockname()[1], car=car, tree=self.tree)
        self.connect()

    def connect(self) -> None:
        self.server.settimeout(0.2)
        for _ in range(100):
            self.plug.run(2)
            self.utc += 2
            try:
                self.connection, _ = self.server.accept()
                break
            except TimeoutError:
                continue
        else:
            raise AssertionError(f"the plug does not connect; see {self.plug.log}")
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # virtual hours pass while TCP would wait for more to send
        self.connection.settimeout(20)
        self.lines = self.connection.makefile("rb")
        self.pings = 0  # without an answer yet
        self.hello = self.expect("hello")
        self.status = self.expect("status")

    def close(self) -> None:
        self.plug.kill()
        self.server.close()

    def power_cut(self, **car: int) -> None:
        """Power is lost and comes back at once."""
        self.plug.kill()
        self.connection.close()
        self.boot(**car)

    def run(self, seconds: int, until: str | None = None) -> dict[str, Any]:
        """Let time pass, the link alive."""
        while True:
            self.send(type="ping")
            state = self.plug.run(min(seconds, 240), until)
            self.utc += min(seconds, 240)
            seconds -= 240
            if seconds <= 0 or (until and state["reason"] == until):
                return state

    def send(self, **message: object) -> None:
        self.pings += message["type"] == "ping"
        self.connection.sendall(framing.encode(message))

    def read(self) -> dict[str, Any]:
        line = self.lines.readline()
        assert line, f"the plug hung up; see {self.plug.log.read_text()}"
        message: dict[str, Any] = json.loads(line[9:])
        self.received.append(message)
        self.pings -= message["type"] == "pong"
        return message

    def expect(self, kind: str) -> dict[str, Any]:
        """Return the next message of a type."""
        while True:
            message = self.read()
            if message["type"] == kind:
                return message

    def answers(self) -> list[dict[str, Any]]:
        """Return all that the plug has said up to now."""
        self.send(type="ping")
        found = []
        while self.pings:
            found.append(self.read())
        return found

    def voucher(self, offer: dict[str, Any], cap: int = 10**18) -> tuple[str, dict[str, Any]]:
        """Return session and message of a voucher for an offer."""
        voucher = Voucher(
            driver=signatures.address(DRIVER),
            host=b"\x44" * 20,
            plug=bytes.fromhex(self.hello["plug"][2:]),
            token=bytes(20),
            funding=0,
            pricePerKwh=10**14,
            pricePerHour=0,
            maxPowerW=4600,
            cap=cap,
            issuedAt=offer["issued_at"],
            validUntil=offer["issued_at"] + DAY_S,
            nonce=offer["nonce"],
        )
        digest = voucher.digest(DOMAIN)
        signature = signatures.sign(DRIVER, digest)
        return "0x" + digest.hex(), {"type": "voucher", "voucher": voucher.to_wire(), "signature": "0x" + signature.hex()}

    def ask(self) -> tuple[str, dict[str, Any]]:
        """Send a voucher for the newest offer; return its session and the plug's `session` or `refused`."""
        self.send(type="time", utc=self.utc)
        self.run(4)  # the self-check after a boot
        self.send(type="time", utc=self.utc)
        offer = self.expect("offer")
        for message in self.answers():
            offer = message if message["type"] == "offer" else offer
        session, message = self.voucher(offer)
        self.send(**message)
        while True:
            answer = self.read()
            if answer["type"] in ("session", "refused"):
                return session, answer

    def authorise(self) -> str:
        """Have a voucher accepted; return its session."""
        session, answer = self.ask()
        assert answer["type"] == "session", answer
        assert answer["session"] == session
        return session

    def start(self, session: str, energy_wh: int = 20_000, current_ma: int = 16_000) -> None:
        self.plug.ask(cmd="plug_in", energy_wh=energy_wh, current_ma=current_ma)
        self.send(type="lock", session=session)
        assert self.run(1000, "contactor_closed")["contacts"] == 1

    def stop(self, session: str) -> None:
        signature = signatures.sign(DRIVER, Stop(bytes.fromhex(session[2:])).digest(DOMAIN))
        self.send(type="stop", session=session, signature="0x" + signature.hex())

    def final(self) -> dict[str, Any]:
        """Return the fields of the next final receipt."""
        while True:
            receipt: dict[str, Any] = self.expect("receipt")["receipt"]
            if receipt["flags"] & FLAG_FINAL:
                return receipt


def recorder_tree(folder: Path) -> Path:
    """Make a firmware tree that runs main.py with marks in the flash log."""
    built = ROOT / "build/firmware" / BOARD / "x64"
    tree = folder / "tree"
    tree.mkdir()
    (tree / "plug").symlink_to(built / "plug")
    (tree / "plug_main.py").symlink_to(built / "main.py")
    shutil.copy(Path(__file__).with_name("flash_recorder.py"), tree / "main.py")
    return tree


def record(folder: Path) -> tuple[bytes, list[dict[str, Any]], dict[str, Any]]:
    """Record three sessions on a new flash: one of at least 12 receipts with an outage and a power cut, one that trips, one that never starts.

    Return the log, the messages that the relay received and facts: the key, the number of the log's bytes when claims were over.
    """
    log = folder / "flash.log"
    os.environ["WATTSEAL_FLASH_LOG"] = str(log)
    try:
        plug = Plug(folder, recorder_tree(folder))
        idle = log.stat().st_size
        plug.run(3600)
        idle_bytes = len(operations_only(log.read_bytes()[idle:]))
        first = plug.authorise()
        plug.start(first)
        plug.run(2300)  # receipts every 250 Wh
        plug.plug.ask(cmd="mains", voltage_mv=0)
        plug.run(20)
        plug.plug.ask(cmd="mains", voltage_mv=230_000)
        plug.run(1000, "contactor_closed")
        plug.run(280)
        plug.answers()
        plug.power_cut(energy_wh=20_000, current_ma=2_000)
        plug.send(type="time", utc=plug.utc)
        plug.send(type="lock", session=first)
        plug.run(1000, "contactor_closed")
        plug.run(910)  # receipts every 5 minutes
        plug.stop(first)
        plug.run(10)
        final = plug.final()
        plug.send(type="ack", session=first, sequence=final["sequence"], status="stored")
        settled = log.stat().st_size
        plug.send(type="settled", session=first)
        plug.run(2)
        second = plug.authorise()
        plug.start(second)
        plug.run(90)
        plug.plug.ask(cmd="overload", current_ma=12_000, ms=100_000)
        plug.run(60, "contactor_open")
        plug.run(5)
        assert plug.final()["session"] == second
        plug.send(type="clear_trip")
        plug.run(5)
        plug.utc += DAY_S + GRACE_S + 10_000
        claims_over = log.stat().st_size
        third = plug.authorise()
        plug.stop(third)
        plug.run(5)
        assert plug.final()["session"] == third
        plug.answers()
        plug.close()
    finally:
        del os.environ["WATTSEAL_FLASH_LOG"]
    key = json.loads((folder / "flash/nvs.json").read_text())["wattseal"]["blob:key"]
    facts = {"key": key, "claims_over": claims_over, "settled": settled, "sessions": (first, second, third), "idle_bytes": idle_bytes}
    return log.read_bytes(), plug.received, facts


def operations_only(log: bytes) -> bytes:
    """Return a log without its marks."""
    return b"".join(entry for letter, entry, _ in entries(log) if letter != b"M")


def entries(log: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Split a log into (letter, whole entry, data)."""
    found, start = [], 0
    while start < len(log):
        letter, _, length = struct.unpack_from("<cII", log, start)
        end = start + 9 + (0 if letter == b"E" else length)
        found.append((letter, log[start:end], log[start + 9 : end]))
        start = end
    return found


def moments(log: bytes, facts: dict[str, Any]) -> list[Moment]:
    """Return for each operation what was so when it began, and one more for the end."""
    found = []
    now = Moment()
    base_ms = base_mwh = last_ms = last_mwh = place = 0
    for letter, entry, data in entries(log):
        now.may_drop = place >= facts["claims_over"]
        now.over = set(facts["sessions"][:2] if now.may_drop else facts["sessions"][:1] if place >= facts["settled"] else ())
        place += len(entry)
        if letter != b"M":
            found.append(Moment(**vars(now) | {"sessions": dict(now.sessions), "finals": dict(now.finals)}))
            continue
        content = json.loads(data)
        if "ms" in content:
            if content["ms"] < last_ms:  # a reboot
                base_ms, base_mwh = base_ms + last_ms, base_mwh + last_mwh
            last_ms, last_mwh = content["ms"], content["true_mwh"]
            now.ms, now.true_mwh, now.register_mwh = base_ms + last_ms, base_mwh + last_mwh, content["register_mwh"] or now.register_mwh
        elif "key" in content:
            now.has_key = True
        elif content["sent"]["type"] == "session":
            now.sessions.setdefault(content["sent"]["session"], None)
        elif content["sent"]["type"] == "receipt":
            receipt = content["sent"]["receipt"]
            now.sessions[receipt["session"]] = receipt
            if receipt["flags"] & FLAG_FINAL:
                now.finals[receipt["session"]] = receipt
    return [*found, now]
