"""Measures the light client on mainnet's data beside py_ecc and Helios, and the memory of a running gateway. Part of `make bench`.

Helios comes from npm into build/ when the bench runs; without npm its rows are missing.
"""

import copy
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil
from eth_hash.auto import keccak
from py_ecc.bls import G2ProofOfPossession
from pydantic_core import from_json
from wattseal.gateway import rlp_strict
from wattseal.gateway.consensus import beacon_json, bls
from wattseal.gateway.consensus.networks import MAINNET
from wattseal.gateway.consensus.sync_protocol import block_root, initialize_light_client_store, process_light_client_update, signing_root
from wattseal.gateway.header import CANCUN
from wattseal.gateway.http import Reply
from wattseal.gateway.rpc import MAX_BLOCK_BYTES, to_hex
from wattseal.gateway.server import MAX_ANSWER_S

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.host_tools.gateway.http_server import Handler, LocalServer, serve  # noqa: E402

FIXTURE = ROOT / "tests/vectors/light_client/mainnet_deneb"
HELIOS = "0.11.1"
RUNS, HELIOS_RUNS = 30, 5
MEMORY_LIMIT_MB = 120
QUESTIONS = 200


@dataclass(frozen=True)
class Figure:
    """One measurement and what stands beside it, as samples."""

    name: str
    unit: str
    ours: list[float]
    beside: str
    other: list[float]


def raw(name: str) -> bytes:
    answer = json.loads((FIXTURE / f"{name}.json").read_text())
    return json.dumps(answer[0] if isinstance(answer, list) else answer).encode()


class Mainnet:
    """The fixture: a bootstrap, the update that brings the next committee, a finality update; `stores` is what each update meets."""

    def __init__(self) -> None:
        self.raw = {name: raw(f"{name}Deneb") for name in ("Bootstrap", "Update", "FinalityUpdate")}
        bootstrap = beacon_json.read_bootstrap(MAINNET, from_json(self.raw["Bootstrap"]))
        self.checkpoint = block_root(bootstrap.header.beacon)
        first = initialize_light_client_store(MAINNET, self.checkpoint, bootstrap)
        self.update = beacon_json.read_update(MAINNET, from_json(self.raw["Update"]))
        self.finality_update = beacon_json.read_finality_update(MAINNET, from_json(self.raw["FinalityUpdate"]))
        second = copy.copy(first)
        process_light_client_update(MAINNET, second, self.update, self.update.signature_slot)
        self.stores = {"Update": first, "FinalityUpdate": second}

    def ours(self, name: str, *, cold: bool) -> list[float]:
        """Milliseconds from the JSON of an update to a store that took it. Cold: no key of the committee was seen before."""
        read = {"Update": beacon_json.read_update, "FinalityUpdate": beacon_json.read_finality_update}[name]
        times = []
        for _ in range(RUNS):
            store = copy.copy(self.stores[name])
            if cold:
                bls._committee.cache_clear()
            start = time.perf_counter()
            update = read(MAINNET, from_json(self.raw[name]))
            process_light_client_update(MAINNET, store, update, update.signature_slot)
            times.append(1000 * (time.perf_counter() - start))
            if store == self.stores[name]:
                raise ValueError(f"{name} changed nothing")
        return times

    def py_ecc(self, name: str) -> list[float]:
        """Milliseconds for the update's signature alone, once."""
        update = self.update if name == "Update" else self.finality_update
        message = signing_root(MAINNET, update.attested_header.beacon, update.signature_slot)
        aggregate, keys = update.sync_aggregate, self.stores[name].current_sync_committee.pubkeys
        signers = [key for key, bit in zip(keys, aggregate.sync_committee_bits, strict=True) if bit]
        start = time.perf_counter()
        if not G2ProofOfPossession.FastAggregateVerify(signers, message, aggregate.sync_committee_signature):
            raise ValueError("py_ecc does not take the signature")
        return [1000 * (time.perf_counter() - start)]


def helios(folder: Path, checkpoint: bytes) -> dict[str, list[float]] | None:
    """Milliseconds of Helios for the same two updates, HTTP on loopback and JSON included; None where npm cannot get it."""
    folder.mkdir(parents=True, exist_ok=True)
    package = f"@a16z/helios@{HELIOS}"
    install = ["npm", "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", package]
    try:
        if subprocess.run(install, capture_output=True, check=False).returncode:
            return None
    except FileNotFoundError:
        return None
    command = ["node", str(ROOT / "tests/bench_helios.mjs"), str(FIXTURE), to_hex(checkpoint)]
    runs = [json.loads(subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60).stdout) for _ in range(HELIOS_RUNS)]
    return {name: [run[name] for run in runs] for name in runs[0]}


# -- a running gateway ----------------------------------------------------------------------------------------------------------------


def gateway_memory(mainnet: Mainnet) -> float:
    """Megabytes resident of `wattseal gateway` that follows mainnet's committee and has answered with mainnet's proof, at the fixture's time."""
    signature_slot = mainnet.finality_update.signature_slot
    ahead_s = MAINNET.time_of(signature_slot + 1) - time.time()
    script = f"import time; now = time.time; time.time = lambda: now() + {ahead_s}; from wattseal.cli.main import app; app()"
    proof = json.loads((FIXTURE / "EthGetProof.json").read_text())["result"]
    answers = {"eth_chainId": "0x1", "eth_getBlockByNumber": some_block(), "eth_getProof": proof}

    def answer(request: dict[str, Any]) -> bytes:
        return json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": answers[request["method"]]}).encode()

    beacon = beacon_server(mainnet)
    try:
        with serve(answer) as rpc, tempfile.TemporaryDirectory() as folder:
            options = ["--chain-id", "1", "--rpc", rpc, "--beacon", beacon.url, "--light-client-store", f"{folder}/store", "--listen", "127.0.0.1:0"]
            command = [sys.executable, "-c", script, "gateway", *options, "--checkpoint", to_hex(mainnet.checkpoint)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
                try:
                    assert process.stdout
                    url = f"http://{json.loads(process.stdout.readline())['listen']}"
                    ask(url, proof["address"])
                    return psutil.Process(process.pid).memory_info().rss / (1 << 20)
                finally:
                    process.terminate()
    finally:
        beacon.close()


def ask(url: str, address: str) -> None:
    question = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBalance", "params": [address, "finalized"]}
    with httpx.Client(base_url=url) as client:
        for _ in range(QUESTIONS):
            reply = client.post("/", json=question).json()
            if reply.get("restsOn", {}).get("blockNumber") != to_hex(20360596):
                raise ValueError(f"the gateway did not prove mainnet's balance: {reply}")


def beacon_server(mainnet: Mainnet) -> LocalServer:
    finality = json.loads(mainnet.raw["FinalityUpdate"])
    optimistic = {name: finality["data"][name] for name in ("attested_header", "sync_aggregate", "signature_slot")}
    answers = {
        "bootstrap": mainnet.raw["Bootstrap"],
        "updates": b"[" + mainnet.raw["Update"] + b"]",
        "finality_update": mainnet.raw["FinalityUpdate"],
        "optimistic_update": json.dumps({"version": finality["version"], "data": optimistic}).encode(),
    }

    class Beacon(Handler):
        def answer(self) -> None:
            name = next((name for name in answers if f"light_client/{name}" in self.path), None)
            self.send((404, {}, b"{}") if name is None else answers[name])

    return LocalServer(Beacon)


def some_block() -> dict[str, str]:
    """A header that has its own hash, for a server to show at the start; nothing rests on it."""
    fields = {name: "0x0" if width == 0 else to_hex(bytes(width or 0)) for name, width in CANCUN}
    written = [b"" if width == 0 else bytes(width or 0) for _, width in CANCUN]
    return fields | {"hash": to_hex(keccak(rlp_strict.encode(written)))}


# -- the largest inputs ---------------------------------------------------------------------------------------------------------------


def largest_answer() -> tuple[float, float]:
    """Megabytes more and seconds while the JSON that grows most is read: an object of as many members as an answer may hold."""
    body = b"{" + b",".join(b'"%06x":1' % number for number in range(MAX_BLOCK_BYTES // 11)) + b"}"
    process = psutil.Process()
    before, start = process.memory_info().rss, time.perf_counter()
    read = Reply(200, "", body).json()
    seconds = time.perf_counter() - start
    grown = process.memory_info().rss - before
    del read
    return grown / (1 << 20), seconds


def figures(folder: Path) -> Iterator[Figure]:
    mainnet = Mainnet()
    public = helios(folder / "helios", mainnet.checkpoint)
    names = {"FinalityUpdate": ("finality update", False), "Update": ("committee update, cold keys", True)}
    for name, (title, cold) in names.items():
        ours = mainnet.ours(name, cold=cold)
        yield Figure(f"{title}, mainnet", "ms", ours, "py_ecc, signature only", mainnet.py_ecc(name))
        if public:
            yield Figure(f"{title}, mainnet", "ms", ours, f"Helios {HELIOS}", public["committee_update" if cold else "finality_update"])
    yield Figure("resident memory of wattseal gateway on mainnet", "MB", [gateway_memory(mainnet)], "limit", [MEMORY_LIMIT_MB])
    megabytes, seconds = largest_answer()
    yield Figure("memory for the worst answer that a server may send", "MB", [megabytes], "its JSON", [MAX_BLOCK_BYTES / (1 << 20)])
    yield Figure("reading that answer", "s", [seconds], "limit of a question", [MAX_ANSWER_S])


if __name__ == "__main__":
    for found in figures(ROOT / "build/bench"):
        print(f"{found.name}: {median(found.ours):.3f} (least {min(found.ours):.3f}) {found.unit}, {found.beside} {median(found.other):.3f}")  # noqa: T201
