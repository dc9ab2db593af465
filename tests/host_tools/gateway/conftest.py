import contextlib
import dataclasses
import json
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wattseal.errors import RpcError
from wattseal.gateway.chain import Chain
from wattseal.gateway.client import Gateway
from wattseal.gateway.connect import ChainSettings, connect
from wattseal.gateway.rpc import Rpc, quantity, to_hex
from wattseal.gateway.submit import deploy
from wattseal.gateway.wallet import Wallet
from wattseal.protocol import signatures
from wattseal.protocol.messages import Receipt, Voucher
from wattseal.protocol.typed_data import FLAG_FINAL

ROOT = Path(__file__).parents[3]
CHAIN_ID = 31337
START_TIMEOUT_S = 20


def trusting(*urls: str) -> Chain:
    """The chain as these servers show it, headers taken on trust."""
    return connect(ChainSettings(chain_id=CHAIN_ID, rpc=urls, trust_rpc=True))


@pytest.fixture(scope="session")
def mainnet() -> dict[str, Any]:
    """Mainnet's block 20360596: `header` as the beacon API serves it, `proof` as eth_getProof answered."""
    folder = ROOT / "tests/vectors/light_client/mainnet_deneb"
    update = json.loads((folder / "FinalityUpdateDeneb.json").read_text())["data"]
    proof = json.loads((folder / "EthGetProof.json").read_text())["result"]
    return {"header": update["finalized_header"], "proof": proof}


@contextlib.contextmanager
def start_chain(fork: str) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(ROOT / "build/bin/anvil"),
        "--hardfork",
        fork,
        "--port",
        str(port),
        "--chain-id",
        str(CHAIN_ID),
        "--balance",
        "1000000",
        "--silent",
    ]
    process = subprocess.Popen(command)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_up(Rpc(url), process)
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def start_anvil() -> Callable[[str], contextlib.AbstractContextManager[str]]:
    """Starts a chain with the rules of a fork, at block 1; a context manager that gives its URL."""
    return start_chain


@pytest.fixture(scope="session")
def anvil() -> Iterator[str]:
    """The URL of the chain that the tests share, with the rules of Osaka, at block 1 or later."""
    with start_chain("osaka") as url:
        yield url


def _wait_until_up(rpc: Rpc, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            rpc.call("evm_mine")  # the state root of anvil's block 0 is not that of its state
        except RpcError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"anvil did not start (exit code {process.poll()})")


@pytest.fixture(scope="session")
def contract(anvil: str, funded_key: Callable[[], bytes]) -> bytes:
    """The address of a deployed Wattseal contract."""
    return deploy(trusting(anvil), funded_key())


@pytest.fixture(scope="session")
def funded_key(anvil: str) -> Callable[[], bytes]:
    """Makes a new key with 100 coins."""
    rpc = Rpc(anvil)
    bank = rpc.call("eth_accounts")[0]

    def make() -> bytes:
        key = secrets.token_bytes(32)
        # not anvil_setBalance, which changes the state behind the newest header
        transfer = {"from": bank, "to": to_hex(signatures.address(key)), "value": to_hex(100 * 10**18)}
        tx_hash = rpc.call("eth_sendTransaction", transfer)
        while rpc.call("eth_getTransactionReceipt", tx_hash) is None:
            time.sleep(0.001)  # while anvil makes a block, its proofs of the one before are already of the new state
        return key

    return make


class Charge:
    """A session with its own driver, host and plug: signs the vouchers and receipts that the three of them would."""

    def __init__(self, url: str, contract: bytes, funded_key: Callable[[], bytes]) -> None:
        self.url, self.contract = url, contract
        self.rpc = Rpc(url)
        self.wallet = Wallet(trusting(url), contract, funded_key())
        self.host_key, self.plug_key = funded_key(), secrets.token_bytes(32)
        self.host = signatures.address(self.host_key)
        now = self.wallet.head_timestamp()
        self.voucher = Voucher(
            driver=self.wallet.address,
            host=self.host,
            plug=signatures.address(self.plug_key),
            token=bytes(20),
            funding=0,
            pricePerKwh=4 * 10**15,
            pricePerHour=10**14,
            maxPowerW=3000,
            cap=10**17,
            issuedAt=now,
            validUntil=now + 86400,
            nonce=secrets.randbits(64),
        )
        self.session = self.voucher.digest(self.wallet.domain)

    def gateway(self) -> Gateway:
        """A gateway of the host, as after a restart."""
        return Gateway(trusting(self.url), self.contract, self.host_key)

    def open(self) -> "Charge":
        self.wallet.open(self.voucher)
        return self

    def pass_time(self, seconds: int) -> None:
        """Let the chain's clock run."""
        self.rpc.call("evm_increaseTime", seconds)
        self.rpc.call("evm_mine")

    def let_mine(self) -> None:
        """Wait for the block of what was sent: while anvil makes it, what it says of the one before is a mixture."""
        self.rpc.call("evm_mine")

    def receipt(self, energy_wh: int, *, final: bool = False, **changes: int) -> tuple[Voucher, Receipt, bytes]:
        """The arguments of `settle` for so much energy in an hour."""
        start = self.voucher.issuedAt
        fields = {"sequence": 1, "activeSeconds": 3600 if energy_wh else 0, "asOf": start + (3600 if energy_wh else 0), **changes}
        receipt = Receipt(
            session=self.session,
            startedAt=start,
            registerWh=1000,
            energyWh=energy_wh,
            flags=FLAG_FINAL if final else 0,
            evidence=secrets.token_bytes(32),
            **fields,
        )
        return self.voucher, receipt, self.sign(receipt)

    def sign(self, receipt: Receipt) -> bytes:
        return signatures.sign(self.plug_key, receipt.digest(self.wallet.domain))

    def with_voucher(self, **changes: int) -> "Charge":
        self.voucher = dataclasses.replace(self.voucher, **changes)
        self.session = self.voucher.digest(self.wallet.domain)
        return self

    def transactions(self) -> int:
        """How many transactions the host has on chain."""
        return quantity(self.rpc.call("eth_getTransactionCount", to_hex(self.host), "latest"), "nonce")


@pytest.fixture
def charge(anvil: str, contract: bytes, funded_key: Callable[[], bytes]) -> Charge:
    """A session that is not open yet."""
    return Charge(anvil, contract, funded_key)


@pytest.fixture
def manual_mining(anvil: str) -> Iterator[Rpc]:
    """Blocks come only by evm_mine; yields an RPC to ask for them."""
    rpc = Rpc(anvil)
    rpc.call("evm_setAutomine", False)
    try:
        yield rpc
    finally:
        rpc.call("evm_mine")
        rpc.call("evm_setAutomine", True)
