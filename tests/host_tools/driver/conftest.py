"""A driver with a folder of their own, a plug and a host with keys, on a chain that is real."""

import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest
from eth_account import Account
from wattseal.driver import money, terms
from wattseal.driver.contents import Session
from wattseal.driver.folder import DriverFolder
from wattseal.driver.seed import SLOT_S, Seed
from wattseal.gateway.chain import Chain
from wattseal.gateway.client import Gateway
from wattseal.gateway.rpc import Rpc
from wattseal.gateway.submit import Submitter
from wattseal.protocol import ocmf, signatures
from wattseal.protocol.messages import Receipt, ReceiptMessage, to_hex
from wattseal.protocol.typed_data import FLAG_FINAL

from tests.host_tools.gateway.conftest import CHAIN_ID, anvil, contract, funded_key, start_anvil, trusting

__all__ = ["anvil", "contract", "funded_key", "start_anvil"]

CAP = 2 * 10**16
PASSWORD = "a password"


class Plug:
    """A plug with its host, as its relay would show it."""

    def __init__(self, contract: bytes) -> None:
        self.key, self.host_key = secrets.token_bytes(32), secrets.token_bytes(32)
        self.id, self.host = signatures.address(self.key), signatures.address(self.host_key)
        self.contract = contract
        self.register_wh = 1000

    def offer(self, now: int) -> dict[str, object]:
        return {
            "plug": to_hex(self.id),
            "nonce": secrets.randbits(64),
            "issued_at": now,
            "price_per_kwh": 10**14,
            "price_per_hour": 10**13,
            "rated_power_w": 2300,
            "chain_id": CHAIN_ID,
            "contract": to_hex(self.contract),
        }

    def receipt(self, session: Session, energy_wh: int, *, final: bool = False, sequence: int = 1, salt: bytes | None = None) -> ReceiptMessage:
        start = session.voucher.issuedAt + 30
        seconds = energy_wh * 3600 // 2000
        receipt = Receipt(
            session=session.id,
            sequence=sequence,
            startedAt=start,
            asOf=start + seconds,
            activeSeconds=seconds,
            registerWh=self.register_wh,
            energyWh=energy_wh,
            flags=FLAG_FINAL if final else 0,
            evidence=bytes(32),
        )
        payload = ocmf.build(receipt, self.id, "0.1.0", salt or secrets.token_bytes(16), sha256(b"calibration").digest())
        receipt = replace(receipt, evidence=sha256(payload.encode()).digest())
        return ReceiptMessage(receipt, signatures.sign(self.key, receipt.digest(session.domain)), payload)


class Street:
    """The chain, and money that comes from somewhere else."""

    def __init__(self, url: str, contract: bytes, funded_key: Callable[[], bytes]) -> None:
        self.rpc, self.contract = Rpc(url), contract
        self.exchange = funded_key()
        self.url = url
        self.sent = 0  # to the address of the last visit

    def chain(self) -> Chain:
        return trusting(self.url)

    @property
    def now(self) -> int:
        return self.chain().headers.latest().timestamp

    def pass_time(self, until: int) -> None:
        self.rpc.call("evm_setNextBlockTimestamp", until)
        self.rpc.call("evm_mine")

    def send(self, receiver: bytes, wei: int, funder: bytes | None = None) -> None:
        """A withdrawal from the exchange that all drivers use, or money from a key that is named."""
        Submitter(self.chain(), funder or self.exchange).submit(receiver, b"", wei)

    def visit(self, folder: DriverFolder, plug: Plug, cap: int = CAP, hours: int = 24) -> Session:
        """Sign a voucher with the next key, have the plug accept it, pay the session's address, and lock."""
        session = self.arrive(folder, plug, cap, hours)
        self.sent = money.to_send(self.chain(), cap)
        self.send(session.voucher.driver, self.sent)
        money.lock(folder, self.chain(), session, folder.key(session.index))
        return session

    def arrive(self, folder: DriverFolder, plug: Plug, cap: int = CAP, hours: int = 24) -> Session:
        index, driver = folder.reserve()
        now = self.now
        voucher = terms.voucher(plug.offer(now), driver, plug.host, cap=cap, hours=hours, chain_id=CHAIN_ID, contract=self.contract, now=now)
        session = Session(index, CHAIN_ID, self.contract, voucher, b"", None)
        session = replace(session, signature=signatures.sign(folder.key(index), session.id))
        folder.add_session(session)
        folder.mark_accepted(session)
        return session

    def host_settles(self, plug: Plug, session: Session, message: ReceiptMessage, payer: bytes) -> None:
        Gateway(self.chain(), self.contract, payer).settle(session.voucher, message.receipt, message.signature)


@pytest.fixture(scope="session")
def street(anvil: str, contract: bytes, funded_key: Callable[[], bytes]) -> Street:
    return Street(anvil, contract, funded_key)


@pytest.fixture
def plug(contract: bytes) -> Plug:
    return Plug(contract)


@pytest.fixture(scope="session")
def new_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], DriverFolder]:
    """Makes a wallet whose clock runs fast, so that its keys are never used up, and whose password costs little."""
    ticks = itertools.count(int(time.time()), SLOT_S)
    encrypt = Account.encrypt

    def make() -> DriverFolder:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("wattseal.keys.Account.encrypt", lambda secret, password: encrypt(secret, password, kdf="pbkdf2", iterations=1))
            return DriverFolder.create(tmp_path_factory.mktemp("driver") / "wallet", Seed.new(), PASSWORD, lambda: float(next(ticks)))

    return make


@pytest.fixture
def folder(new_folder: Callable[[], DriverFolder]) -> DriverFolder:
    return new_folder()
