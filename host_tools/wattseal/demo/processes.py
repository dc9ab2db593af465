"""The processes of the demo and of the end-to-end tests: chain, relay, simulated plug. Each is a context manager that ends its process."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from wattseal.errors import ConfigError, LinkError, RpcError
from wattseal.gateway.rpc import Rpc, quantity, to_hex

ROOT = Path(__file__).resolve().parents[3]
SIMULATOR = ROOT / "firmware/sim"
CHAIN_ID = 31337
START_TIMEOUT_S = 20.0
HEAPS = {"x64": "512k", "x86": "288k"}  # of the 32-bit one the simulator needs some 90 KB (make bench measures both)


# The simulator's names of what is wired to a pin, and the board file's.
_PINS = {
    "contactor_pin": "contactor",
    "i2c_scl": "i2c_scl",
    "i2c_sda": "i2c_sda",
    "uart_tx": "uart_tx",
    "uart_rx": "uart_rx",
    "link_tx": "link_tx",
    "link_rx": "link_rx",
    "signer_scl": "signer_scl",
    "signer_sda": "signer_sda",
    "cf_pin": "pulse_power",
    "cf1_pin": "pulse_other",
    "sel_pin": "pulse_select",
    "meter_irq_pin": "meter_interrupt",
    "sense_line_pin": "sense_line",
    "sense_neutral_pin": "sense_neutral",
    "ntc_contacts_pin": "ntc_contact",
    "ntc_pins_pin": "ntc_plug",
    "button_pin": "button",
    "plug_switch_pin": "plug_switch",
}


class Process:
    """A child process whose output goes to a file; killed at the end of the `with` block."""

    def __init__(self, command: list[str], log: Path, *, cwd: Path | None = None, environment: dict[str, str] | None = None) -> None:
        program = Path(command[0])
        if not program.exists():
            raise ConfigError(f"{program.name} is not at {program}: run `make setup`")
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command, cwd=cwd, env=os.environ | (environment or {}), stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """The process' number."""
        return self._process.pid

    def kill(self) -> None:
        """End the process as a power cut would: no warning, no clean-up."""
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        """Wait for its end; return the exit status."""
        return self._process.wait(START_TIMEOUT_S)

    def check_alive(self) -> None:
        """Raise LinkError with the end of the log if the process has ended."""
        if self._process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-600:].strip()
            raise LinkError(f"{self.log.stem} ended with status {self._process.returncode}; see {self.log}: {tail}")


def free_port() -> int:
    """Return a TCP port of the loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Chain(Process):
    """anvil with the rules of Osaka, its first block at UTC second `start`. Its clock moves only as `follow` tells it."""

    def __init__(self, folder: Path, start: int) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        anvil = str(ROOT / "build/bin/anvil")
        options = [
            "--hardfork",
            "osaka",
            "--port",
            str(port),
            "--chain-id",
            str(CHAIN_ID),
            "--timestamp",
            str(start),
            "--balance",
            "1000000",
            "--silent",
        ]
        super().__init__([anvil, *options], folder / "anvil.log")
        self.rpc = Rpc(self.url)
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            self.check_alive()
            try:
                self.mine()  # block 0 has no state root that proofs could rest on
                return
            except RpcError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)  # nothing tells when anvil listens

    def mine(self) -> None:
        """Add a block."""
        self.rpc.call("evm_mine")

    def timestamp(self) -> int:
        """Return the newest block's UTC seconds."""
        return quantity(self.rpc.call("eth_getBlockByNumber", "latest", False)["timestamp"], "timestamp")

    def follow(self, utc: int) -> None:
        """Add a block at this second, unless the chain is there already."""
        if utc > self.timestamp():
            self.rpc.call("evm_setNextBlockTimestamp", utc)
            self.mine()

    def fund(self, address: bytes, wei: int) -> None:
        """Give an account money: by a transaction, since anvil_setBalance changes the state behind a header that is signed already."""
        transfer = {"from": self.rpc.call("eth_accounts")[0], "to": to_hex(address), "value": hex(wei)}
        tx_hash = self.rpc.call("eth_sendTransaction", transfer)
        # while anvil makes a block, its proofs of the one before are already of the new state
        while self.rpc.call("eth_getTransactionReceipt", tx_hash) is None:
            time.sleep(0.001)


class Command(Process):
    """A command of `wattseal` that says on stdout when it is ready: `ready` is what it said."""

    def __init__(self, arguments: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
        earlier_bytes = log.stat().st_size if log.exists() else 0
        super().__init__([str(Path(sys.executable).parent / "wattseal"), *arguments], log, environment=environment)
        self.ready = self._wait_until_ready(earlier_bytes)

    def _wait_until_ready(self, earlier_bytes: int) -> dict[str, Any]:
        """Wait for the line that says where it listens; raise LinkError when it does not come."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            self.check_alive()
            for line in self.log.read_bytes()[earlier_bytes:].splitlines(keepends=True):
                if line.startswith(b'{"ready"') and line.endswith(b"\n"):
                    ready: dict[str, Any] = json.loads(line)
                    return ready
            time.sleep(0.05)  # another process writes the line, into a file
        raise LinkError(f"{self.log.stem} is not ready after {START_TIMEOUT_S:g} s; see {self.log}")


class SimulatedBeaconProcess(Command):
    """`wattseal simulated-beacon` in front of a chain: final after few slots, and those are short, so that nobody has to wait."""

    def __init__(self, folder: Path, chain: Chain) -> None:
        options = ["--rpc", chain.url, "--chain-id", str(CHAIN_ID), "--listen", "127.0.0.1:0", "--final-after", "4", "--pace", "4"]
        super().__init__(["simulated-beacon", *options], folder / "simulated_beacon.log")
        self.url = f"http://{self.ready['listen']}"


class RelayProcess(Command):
    """`wattseal relay` on the loopback; `port` is where plugs connect (any free one for `listen_port` 0), `api` a client for its HTTP API."""

    def __init__(
        self,
        folder: Path,
        rpc: Sequence[str],
        beacon: SimulatedBeaconProcess,
        contract: bytes,
        key: bytes,
        listen_port: int,
        *,
        ping_s: float = 0.05,
    ) -> None:
        options = ["--store", str(folder / "relay.sqlite"), "--contract", to_hex(contract), "--chain-id", str(CHAIN_ID)]
        trust = ["--simulated-beacon", beacon.url, "--light-client-store", str(folder / "light_client.store")]
        # Virtual time runs thousands of times faster than the relay's: a plug that hears nothing for ten of its minutes hangs up.
        pace = ["--poll", "0.05", "--ping", str(ping_s), "--time-every", "5"]
        addresses = ["--listen", f"127.0.0.1:{listen_port}", "--api", "127.0.0.1:0"]
        command = ["relay", *options, *trust, *(word for url in rpc for word in ("--rpc", url)), *addresses, *pace]
        super().__init__(command, folder / "relay.log", {"WATTSEAL_RELAY_KEY": to_hex(key)})
        self.port = int(self.ready["listen"].rpartition(":")[2])
        self.api = httpx.Client(base_url=f"http://{self.ready['api']}", timeout=START_TIMEOUT_S)

    def caught(self) -> dict[str, str] | None:
        """Return what the log says of the first upstream that was caught lying, its `upstream` and `lie`."""
        for line in self.log.read_text(errors="replace").splitlines():
            if '"lie"' in line:
                entry: dict[str, str] = json.loads(line)
                return entry
        return None

    def get(self, path: str) -> Any:
        """Return a page's JSON; raise LinkError with the relay's own words when it refuses."""
        return self._json(self.api.get(path))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Send JSON and return the answer's; raise LinkError when it is refused."""
        return self._json(self.api.post(path, json=body))

    def _json(self, response: httpx.Response) -> Any:
        if not response.is_success:
            raise LinkError(f"the relay refused: {response.text[:300]}")
        return response.json()


class SimulatedPlug(Process):
    """The real firmware of a board in MicroPython, over the simulated world. Its time stands still outside `run`.

    `port` is `x64` or `x86`; `folder` holds the flash, and the same folder again is a reboot. `car` (the arguments of `plug_in`) stands at the
    socket from the start; without one the socket is empty. `settings` are the simulator's beyond the board's, `tree` is the compiled firmware
    where it is not the board's own, `heap` MicroPython's option where it is not that of HEAPS, `simulator`
    a folder with the simulator's modules, maybe compiled, `config` the keys of config.json beyond those that every plug needs.
    """

    def __init__(
        self,
        folder: Path,
        board: str,
        port: str,
        contract: bytes,
        relay_port: int,
        *,
        car: dict[str, int] | None = None,
        settings: dict[str, Any] | None = None,
        tree: Path | None = None,
        heap: str | None = None,
        simulator: Path = SIMULATOR,
        config: dict[str, Any] | None = None,
    ) -> None:
        flash = folder / "flash"
        flash.mkdir(parents=True, exist_ok=True)
        every_key = {
            "wifi": {"ssid": "simulated", "password": "simulated"},
            "relay": {"host": "127.0.0.1", "port": relay_port},
            "chain_id": CHAIN_ID,
            "contract": to_hex(contract),
            "entropy": secrets.token_hex(32),
        } | (config or {})
        (flash / "config.json").write_text(json.dumps(every_key))
        tree = tree or ROOT / "build/firmware" / board / port
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(START_TIMEOUT_S)
            every = {"control": list(server.getsockname()), "car": car or {}, **_wiring(board), **(settings or {})}
            (folder / "sim.json").write_text(json.dumps(every))
            environment = {"MICROPYPATH": f"{simulator}:.frozen", "WATTSEAL_SIM": str(folder / "sim.json")}
            micropython = [str(ROOT / "build/bin" / f"micropython-{port}"), "-X", f"heapsize={heap or HEAPS[port]}"]
            super().__init__([*micropython, str(tree / "main.py")], folder / "plug.log", cwd=flash, environment=environment)
            try:
                connection, _ = server.accept()
            except TimeoutError:
                self.check_alive()
                raise LinkError(f"the simulated plug does not start; see {self.log}") from None
        connection.settimeout(START_TIMEOUT_S)
        self._control = connection.makefile("rwb")
        connection.close()

    def ask(self, **command: object) -> dict[str, Any]:
        """Send one command of docs/simulator.md and return the reply."""
        self.tell(**command)
        return self.answer()

    def tell(self, **command: object) -> None:
        """Send one command; `answer` must follow. What happens in between happens during a `run`, not before it."""
        try:
            self._control.write(json.dumps(command).encode() + b"\n")
            self._control.flush()
        except OSError as error:
            raise LinkError(f"the simulated plug is gone; see {self.log}") from error

    def answer(self) -> dict[str, Any]:
        """Return the reply to the command that was sent last."""
        try:
            line = self._control.readline()
        except OSError as error:
            raise LinkError(f"the simulated plug is gone; see {self.log}") from error
        if not line:
            self.check_alive()
            raise LinkError(f"the simulated plug hung up; see {self.log}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise LinkError(f"the simulator refused the command: {reply['error']}")
        return reply

    def run(self, seconds: float, until: str | None = None) -> dict[str, Any]:
        """Let time pass in the plug's world; return the world's state after it."""
        return self.ask(cmd="run", ms=round(seconds * 1000), until=until)


def _wiring(board: str) -> dict[str, Any]:
    """Return the simulator's settings for a board: how the parts on it are wired. A pin that the board lacks is -1."""
    facts = tomllib.loads((ROOT / "firmware/boards" / f"{board}.toml").read_text())
    pins, meter = facts["pins"], facts["meter"]
    wiring = {ours: pins.get(theirs, -1) for ours, theirs in _PINS.items()}
    wiring |= {name: meter[name] for name in ("i2c_id", "uart_id") if name in meter}
    return {
        "meter": meter["part"].lower(),
        "wiring": {**wiring, "contactor_active_high": facts["contactor"]["active_high"]},
        "front_end": {name: meter[name] for name in ("shunt_uohm", "divider_upper_ohm", "divider_lower_ohm")},
    }
