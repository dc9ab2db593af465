"""A key's life with the real firmware, relay and chain: enrolled, replaced, its receipts paid, and its secret seen by nobody."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from coincurve import PublicKey
from eth_hash.auto import keccak
from wattseal.demo.processes import CHAIN_ID, ROOT
from wattseal.demo.replay import BOARD, CAR_CURRENT_MA, Replay, wait_for
from wattseal.errors import LinkError
from wattseal.protocol import signatures
from wattseal.protocol.eip712 import domain_separator
from wattseal.protocol.messages import Enrol, Retire, Voucher, to_hex
from wattseal.protocol.typed_data import FLAG_FINAL

from tests.e2e.bench import DOMAIN, DRIVER, NOW, Bench

ARRIVAL = 1_551_450_000


@pytest.fixture
def replay(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Replay]:
    with Replay(tmp_path, ARRIVAL, port=getattr(request, "param", "x64")) as running:
        yield running


class Tape:
    """Stands between plug and relay and keeps what the plug sends."""

    def __init__(self, relay_port: int) -> None:
        self.sent = bytearray()
        self._relay_port = relay_port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                plug, _ = self._server.accept()
                relay = socket.create_connection(("127.0.0.1", self._relay_port))
            except OSError:  # closed
                return
            threading.Thread(target=self._copy, args=(plug, relay, self.sent), daemon=True).start()
            threading.Thread(target=self._copy, args=(relay, plug, bytearray()), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
        try:
            while data := source.recv(65536):
                kept += data
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.close()


def flash_of(folder: Path) -> Path:
    return folder / "flash"


def rekey(folder: Path, entropy: str, board: str = BOARD) -> subprocess.CompletedProcess[str]:
    """Do at the plug's own REPL, with the app stopped, what firmware/README.md says."""
    settings = json.loads((folder / "sim.json").read_text()) | {"control": []}
    (folder / "sim.json").write_text(json.dumps(settings))
    path = [ROOT / "firmware/sim", ROOT / "build/firmware" / board / "x64"]
    environment = os.environ | {"MICROPYPATH": ":".join(map(str, path)) + ":.frozen", "WATTSEAL_SIM": str(folder / "sim.json")}
    command = [ROOT / "build/bin/micropython-x64", "-X", "heapsize=512k", "-c", f"from plug import rekey\nrekey.run({entropy!r})"]
    return subprocess.run(command, cwd=flash_of(folder), env=environment, capture_output=True, text=True, timeout=60, check=False)


def secret_of(folder: Path) -> bytes:
    """Return the 32 bytes of the key in the plug's NVS (docs/protocol.md, section 5)."""
    blob = bytes.fromhex(json.loads((flash_of(folder) / "nvs.json").read_text())["wattseal"]["blob:key"])
    assert (blob[0], blob[1], blob[2]) == (1, 1, 32)
    return blob[31:63]


def enrolled(replay: Replay, plug: str, epoch: int | None = None) -> dict[str, Any]:
    """Ask the relay for an enrolment, while time passes for the plug."""
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(replay.relay.post(f"/plugs/{plug}/enrolments", {"epoch": epoch}))
        except LinkError as error:
            answers.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while asking.is_alive():
        replay.plug.run(0.2)
        asking.join(0.01)
    if isinstance(answers[0], LinkError):
        raise answers[0]
    answer: dict[str, Any] = answers[0]
    return answer


def signer_of(digest: bytes, signature: str) -> str:
    key = PublicKey.from_signature_and_message(bytes.fromhex(signature[2:]), digest, hasher=None)
    return to_hex(keccak(key.format(compressed=False)[1:])[-20:])


def as_bytes(address: str) -> bytes:
    return bytes.fromhex(address[2:])


@pytest.mark.parametrize("replay", ["x64", "x86"], indirect=True)
def test_a_plug_enrols_for_the_host_in_its_own_configuration(replay: Replay) -> None:
    plug = replay.connected()["plug"]
    with pytest.raises(LinkError, match="not_enrolled"):
        replay.relay.get(f"/plugs/{plug}/key")
    answer = enrolled(replay, plug)
    assert (answer["plug"], answer["host"], answer["epoch"], answer["curve"]) == (plug, to_hex(replay.host), 1, "secp256k1")
    domain = domain_separator(CHAIN_ID, replay.contract)
    assert signer_of(Enrol(as_bytes(plug), replay.host, 1).digest(domain), answer["signature"]) == plug
    assert to_hex(keccak(as_bytes(answer["public_key"]))[-20:]) == plug
    assert enrolled(replay, plug, 1) == answer
    replay.plug.run(60)
    assert enrolled(replay, plug)["epoch"] == 2
    with pytest.raises(LinkError, match="stale_epoch"):
        enrolled(replay, plug, 1)
    replay.plug.kill()
    replay.plug = replay.start_plug()
    replay.connected()
    with pytest.raises(LinkError, match="stale_epoch"):
        enrolled(replay, plug, 1)
    shown = replay.relay.get(f"/plugs/{plug}/key")
    assert (shown["epoch"], shown["retirements"]) == (2, [])
    command = [str(Path(sys.executable).parent / "wattseal"), "plug", "key", plug, "--api", str(replay.relay.api.base_url)]
    assert json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout) == shown
    assert to_hex(replay.host) in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_new_key_takes_over_and_the_old_ones_receipt_is_paid(replay: Replay, tmp_path: Path) -> None:
    replay.plug.kill()
    shutil.rmtree(flash_of(tmp_path))
    with closing(Tape(replay.relay_port)) as tape:
        replay.relay_port = tape.port
        replay.plug = replay.start_plug()
        secrets = replaced(replay, tmp_path)
    seen_by_nobody(replay, tmp_path, bytes(tape.sent), secrets)


def replaced(replay: Replay, tmp_path: Path) -> list[bytes]:
    """Take a plug from its first key to its second, with a receipt of the first one unpaid in between; return the secrets and entropies."""
    old = replay.connected()["plug"]
    enrolled(replay, old, 5)
    driver = replay.driver(bytes(31) + b"\x05")
    session = driver.start(replay.relay, driver.voucher(replay.relay.get(f"/plugs/{old}/offer"), replay.host))
    replay.plug.ask(cmd="plug_in", energy_wh=5000, current_ma=CAR_CURRENT_MA)
    replay.charging(session)
    replay.plug.run(60)
    assert enrolled(replay, old, 6)["epoch"] == 6
    assert replay.plug.run(1)["contacts"] == 1
    entropy = "5a" * 32
    secrets = [secret_of(tmp_path), bytes.fromhex(json.loads((flash_of(tmp_path) / "config.json").read_text())["entropy"])]

    replay.plug.kill()
    done = rekey(tmp_path, entropy)
    assert "BadState" in done.stderr
    assert secret_of(tmp_path) == secrets[0]

    # The chain's clock stands still from here: nothing is settled.
    replay.plug = replay.start_plug({"energy_wh": 5000, "current_ma": CAR_CURRENT_MA})
    wait_for("the plug", lambda: (replay.plug.run(0.5), replay.page())[1])
    replay.plug.run(400)
    driver.stop(replay.relay, session)

    def final() -> dict[str, Any] | None:
        replay.plug.run(1)
        newest = replay.relay.get(f"/sessions/{session}")["newest"]
        return newest if newest and newest["receipt"]["flags"] & FLAG_FINAL else None

    receipt = wait_for("the final receipt", final)
    replay.plug.run(10)
    replay.plug.kill()
    assert replay.relay.get(f"/sessions/{session}")["settlements"] == []

    done = rekey(tmp_path, entropy)
    assert done.returncode == 0, done.stderr
    secrets += [secret_of(tmp_path), bytes.fromhex(entropy)]
    replay.plug = replay.start_plug()

    def successor() -> str | None:
        replay.plug.run(0.5)
        page = replay.page()
        return page["plug"] if page and page["plug"] != old else None

    new = wait_for("the new key", successor)
    assert new in done.stdout
    assert replay.relay.get("/quarantine")["quarantine"] == []
    with pytest.raises(LinkError, match="stale_epoch"):
        enrolled(replay, new, 7)
    answer = enrolled(replay, new)
    assert answer["epoch"] == 8
    retirement = answer["retirements"][0]
    assert [retirement[key] for key in ("plug", "successor", "epoch")] == [old, new, 7]
    digest = Retire(as_bytes(old), as_bytes(new), 7).digest(domain_separator(CHAIN_ID, replay.contract))
    assert signer_of(digest, retirement["signature"]) == old

    replay.chain.follow(receipt["receipt"]["asOf"] + 60)
    settlement = replay.settled(session)
    assert settlement["proof_verified"]
    assert settlement["total_paid"] == replay.relay.get(f"/sessions/{session}")["due"] > 0
    replay.plug.run(120)
    assert replay.relay.get("/quarantine")["quarantine"] == []

    replay.connected()
    other = replay.driver(bytes(31) + b"\x06")
    other.start(replay.relay, other.voucher(replay.relay.get(f"/plugs/{new}/offer"), replay.host))
    return secrets


def voucher(plug: str, nonce: int) -> dict[str, Any]:
    """Return a voucher message that is good but for what the plug may think of its address and nonce."""
    terms = Voucher(signatures.address(DRIVER), b"\x44" * 20, as_bytes(plug), bytes(20), 0, 10**14, 0, 4600, 10**18, NOW, NOW + 86_400, nonce)
    return {"type": "voucher", "voucher": terms.to_wire(), "signature": to_hex(signatures.sign(DRIVER, terms.digest(DOMAIN)))}


def offered(bench: Bench) -> int:
    """Return the nonce of the offer that the plug makes once it knows the time and has looked at its contacts."""
    bench.send(type="time", utc=bench.now)
    bench.newest_status()
    bench.plug.run(90)
    nonce: int = bench.expect("offer")["nonce"]
    return nonce


def test_only_the_final_receipts_acknowledgement_lets_a_key_go(tmp_path: Path) -> None:
    bench = Bench(tmp_path, BOARD)
    old = bench.hello["plug"]
    session = bench.start()
    bench.plug.run(310)
    interim = bench.expect("receipt")["receipt"]["sequence"]
    bench.send(type="ack", session=session, sequence=interim, status="stored")
    bench.stop(session)
    bench.newest_status()
    bench.plug.run(6)
    final = bench.expect_final()["sequence"]
    for sequence in (interim, final + 1, final):
        bench.newest_status()
        bench.plug.kill()
        done = rekey(tmp_path, "5a" * 32)
        assert "BadState: the relay has not acknowledged" in done.stderr
        bench.boot()
        assert (bench.hello["plug"], bench.expect_final()["sequence"]) == (old, final)
        bench.send(type="ack", session=session, sequence=sequence, status="stored")
    nonce = offered(bench)
    bench.plug.kill()
    assert rekey(tmp_path, "5a" * 32).returncode == 0

    bench.boot()
    bench.plug.kill()
    bench.boot()
    new = bench.hello["plug"]
    assert new != old
    assert [bench.retired[key] for key in ("plug", "successor", "epoch")] == [old, new, 1]
    assert bench.expect("session")["voucher"]["plug"] == old
    assert bench.expect_final()["sequence"] == final
    bench.send(type="settled", session=session)
    assert offered(bench) != nonce
    assert bench.refusal(**voucher(old, nonce)) == "wrong_plug"
    assert bench.refusal(**voucher(new, nonce)) == "stale_nonce"
    bench.start()
    bench.close()


def seen_by_nobody(replay: Replay, folder: Path, sent: bytes, secrets: list[bytes]) -> None:
    """None of the secrets is in what plug and relay print, keep or send, in any spelling; they are in the plug's own flash only."""
    replay.relay.kill()
    written = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("nvs.json", "config.json")]
    assert {"relay.log", "plug.log", "relay.sqlite", "flash.bin"} <= {path.name for path in written}
    assert all(b'"%s"' % kind in sent for kind in (b"hello", b"enrolment", b"retired", b"receipt", b"refused", b"health"))
    for place, data in [("the link", sent), *((str(path), path.read_bytes()) for path in written)]:
        for secret in secrets:
            for spelling in (
                secret,
                secret.hex().encode(),
                secret.hex().upper().encode(),
                repr(secret).encode(),
                str(int.from_bytes(secret)).encode(),
            ):
                assert spelling not in data, place
