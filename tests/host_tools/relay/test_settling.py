"""Receipts on a real chain: each is settled once and only once, whatever fails."""

import contextlib
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from wattseal.errors import GatewayError, RpcError
from wattseal.gateway.chain import Chain
from wattseal.gateway.client import Gateway
from wattseal.gateway.contract import call_data, claim, event_topic
from wattseal.gateway.mempool import Limits
from wattseal.gateway.rpc import Rpc, to_hex
from wattseal.gateway.settlements import Finality
from wattseal.gateway.submit import deploy
from wattseal.gateway.types import Header
from wattseal.protocol import signatures
from wattseal.protocol.messages import ReceiptMessage, SessionMessage, Voucher, due
from wattseal.protocol.typed_data import GRACE_S
from wattseal.relay.chain import ChainThreads
from wattseal.relay.links import Timings
from wattseal.relay.settle_policy import SettlePolicy
from wattseal.relay.settling import Settler
from wattseal.store import Store

from tests.host_tools.gateway.conftest import Charge, start_chain, trusting

pytestmark = pytest.mark.anyio

COIN = bytes(20)
FINAL_DEPTH = 40  # blocks


class Site:
    """A chain with sessions whose receipts are stored, and who settles them. Finality is so many blocks behind the head."""

    def __init__(self, url: str, where: Path | str) -> None:
        self.url = url
        self.rpc = Rpc(url)
        self.contract = deploy(trusting(url), self.funded_key())
        self.store = Store(where)
        self.relay_key = self.funded_key()
        self.told: list[bytes] = []
        self.charges: list[tuple[Charge, ReceiptMessage]] = []
        self.threads = ChainThreads()

    def close(self) -> None:
        self.threads.close()
        self.store.close()

    def funded_key(self) -> bytes:
        key = secrets.token_bytes(32)
        # by a transaction: anvil_setBalance would change the state behind a header that is proven already
        sender = self.rpc.call("eth_accounts")[0]
        sent = self.rpc.call("eth_sendTransaction", {"from": sender, "to": to_hex(signatures.address(key)), "value": to_hex(10**19)})
        while self.rpc.call("eth_getTransactionReceipt", sent) is None:
            time.sleep(0.001)
        return key

    def mine(self, blocks: int = 1) -> None:
        self.rpc.call("anvil_mine", to_hex(blocks))

    def charge(self, energy_wh: int = 900, *, final: bool = True, charge: Charge | None = None, sequence: int = 1) -> Charge:
        """Store a session's receipt; its lock is open."""
        if charge is None:
            charge = Charge(self.url, self.contract, self.funded_key)
            charge.open()
            self.store.add_voucher(SessionMessage(charge.session, charge.voucher, charge.wallet.sign(charge.voucher)))
            charge.pass_time(3700)
        _, receipt, signature = charge.receipt(energy_wh, final=final, sequence=sequence)
        message = ReceiptMessage(receipt, signature, "payload")
        self.store.add_receipt(charge.voucher.plug, message)
        self.charges.append((charge, message))
        return charge

    def charge_in_a_block(self) -> Charge:
        """Do what `charge` does where blocks come by `mine` only."""
        self.rpc.call("evm_setAutomine", True)
        charge = self.charge()
        self.rpc.call("evm_setAutomine", False)
        return charge

    def gateway(self, key: bytes | None = None, chain: Chain | None = None, finality: Finality = Finality.FINAL) -> Gateway:
        chain = chain or trusting(self.url)
        chain.finalized = lambda: chain.headers.by_number(max(0, chain.headers.latest().number - FINAL_DEPTH))
        return Gateway(chain, self.contract, key or self.relay_key, log=self.store, limits=Limits(resend_s=0), finality=finality)

    def settler(self, gateway: Gateway | None = None, policy: SettlePolicy | None = None) -> Settler:
        """A new one, as after a restart."""
        return Settler(self.store, gateway or self.gateway(), self.threads, Timings(poll_s=0), policy or SettlePolicy(), self._tell)

    async def _tell(self, _: Voucher, session: bytes) -> None:
        self.told.append(session)

    def states(self, charge: Charge) -> list[str]:
        return [record.state for record in self.store.settlements(charge.session)]

    async def settle_all(self, settler: Settler) -> None:
        """Let blocks come until nothing is left to settle, and all of it is final."""
        self.rpc.call("evm_setAutomine", False)  # anvil's proofs of the newest block are wrong while it makes the next
        for _ in range(200):
            await settler.settle_due()
            if not self.store.unsettled() and not self.store.unfinished_transactions(signatures.address(self.relay_key)):
                self.rpc.call("evm_setAutomine", True)
                return
            self.mine(10)
        raise AssertionError([(entry.in_flight, entry.message.receipt.sequence) for entry in self.store.unsettled()])

    def settled_events(self) -> Counter[tuple[bytes, int]]:
        """Sessions and what they were paid in total, as the chain has it now."""
        query = {"address": to_hex(self.contract), "topics": [to_hex(event_topic("Settled"))], "fromBlock": "0x0", "toBlock": "latest"}
        logs = self.rpc.call("eth_getLogs", query)
        return Counter((bytes.fromhex(log["topics"][1][2:]), int(log["data"][66:130], 16)) for log in logs)

    def check_once_and_only_once(self) -> None:
        owed = Counter({(charge.session, due(charge.voucher, message.receipt)): 1 for charge, message in self.charges})
        assert self.settled_events() == owed
        reader = Gateway(trusting(self.url), self.contract)
        for charge, message in self.charges:
            record = self.store.settlements(charge.session)[-1]
            assert record.state == "settled"
            assert self.rpc.call("eth_getBlockByNumber", to_hex(record.block_number or 0), False)["hash"] == to_hex(record.block_hash or b"")
            if message.receipt.final:
                assert reader.balance_of(charge.host, COIN) == due(charge.voucher, message.receipt)
                assert charge.session in self.told


@pytest.fixture(scope="module")
def chain_url() -> Iterator[str]:
    with start_chain("osaka") as url:
        yield url


@pytest.fixture
async def site(chain_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(chain_url, tmp_path / "relay.sqlite")
    yield site
    site.close()


@contextlib.contextmanager
def manual_mining(site: Site) -> Iterator[None]:
    site.rpc.call("evm_setAutomine", False)
    try:
        yield
    finally:
        site.rpc.call("evm_setAutomine", True)


async def test_a_settlement_is_sent_then_included_then_settled(site: Site) -> None:
    charge = site.charge()
    settler = site.settler()
    with manual_mining(site):
        await settler.settle_due()
        assert site.states(charge) == ["sent"]
        site.mine()
        await settler.settle_due()
        assert site.states(charge) == ["included"]
        assert site.told == []
        (included,) = site.store.settlements(charge.session)
        site.mine(FINAL_DEPTH - 1)
        await settler.settle_due()
        assert site.states(charge) == ["included"]
        site.mine()
        await settler.settle_due()
    (settled,) = site.store.settlements(charge.session)
    assert (settled.state, settled.block_hash, settled.tx_hash) == ("settled", included.block_hash, included.tx_hash)
    assert settled.proof_verified
    assert site.told == [charge.session]
    site.check_once_and_only_once()


async def test_many_receipts_in_one_transaction(site: Site) -> None:
    charges = [site.charge(energy) for energy in (100, 0, 300, 400, 500)]
    settler = site.settler(policy=SettlePolicy(batch=5, wait_s=3600))
    await site.settle_all(settler)
    site.check_once_and_only_once()
    assert len({site.store.settlements(charge.session)[0].tx_hash for charge in charges}) == 1


async def test_a_batch_waits_until_it_is_worth_it(site: Site) -> None:
    charge = site.charge()
    settler = site.settler(policy=SettlePolicy(batch=2, wait_s=3600))
    await settler.settle_due()  # nothing is sent
    assert site.states(charge) == []
    assert settler.money_at_risk == {COIN: due(charge.voucher, site.charges[0][1].receipt)}
    site.charge()
    await site.settle_all(settler)
    await settler.settle_due()
    assert settler.money_at_risk == {}
    site.check_once_and_only_once()


async def test_one_bad_claim_does_not_hold_up_the_batch(site: Site) -> None:
    good, bad = site.charge(), site.charge()
    site.charges.pop()
    site.store._execute("UPDATE receipts SET signature = ? WHERE session = ?", site.charges[0][1].signature, bad.session)
    settler = site.settler(policy=SettlePolicy(batch=2))
    with manual_mining(site):
        for _ in range(10):
            await settler.settle_due()
            site.mine(10)
    site.check_once_and_only_once()
    assert site.states(good) == ["settled"]
    assert site.states(bad) == []  # that it is refused is the server's word
    bad.pass_time(bad.voucher.validUntil + GRACE_S - (await site.threads.ask(site.gateway().head_timestamp)))
    await site.settle_all(settler)
    (record,) = site.store.settlements(bad.session)
    assert (record.state, record.code) == ("failed", "settlement_refused")
    assert "too late" in (record.message or "")
    assert bad.session not in site.told


async def test_no_servers_word_ends_a_claim(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only server says for hours, beyond finality, that the contract refuses a good receipt. It is paid as soon as it does not."""
    charge = site.charge()
    gateway = site.gateway()
    settler = site.settler(gateway)
    rpc = gateway.chain.upstreams.all[0].rpc
    call = rpc.call
    refusal = "0x" + (32).to_bytes(32).hex() + (1).to_bytes(32).hex() + b"too_late".ljust(32, b"\0").hex()
    with monkeypatch.context() as patch:
        patch.setattr(rpc, "call", lambda method, *params: refusal if method == "eth_call" else call(method, *params))
        for _ in range(5):
            await settler.settle_due()
            site.mine(FINAL_DEPTH)
    assert site.states(charge) == []
    assert settler.money_at_risk == {COIN: due(charge.voucher, site.charges[0][1].receipt)}
    await site.settle_all(settler)
    site.check_once_and_only_once()


async def test_interim_then_final(site: Site) -> None:
    charge = site.charge(500, final=False)
    policy = SettlePolicy(interim_s=-10)
    settler = site.settler(policy=policy)
    with manual_mining(site):
        await settler.settle_due()
        site.charge(900, charge=charge, sequence=2)  # while the first is on its way
        await settler.settle_due()
        assert site.states(charge) == ["sent"]
    await site.settle_all(settler)
    assert site.states(charge) == ["settled", "settled"]
    site.check_once_and_only_once()


async def test_somebody_else_settles(site: Site) -> None:
    charge = site.charge()
    charge.gateway().settle(charge.voucher, site.charges[0][1].receipt, site.charges[0][1].signature)
    await site.settle_all(site.settler())
    site.check_once_and_only_once()


class Crash(BaseException):
    """The process ends here."""


def crash_at(gateway: Gateway, store: Store, monkeypatch: pytest.MonkeyPatch, call: int) -> Counter[str]:
    """Have everything end at the n-th time that the chain is asked or the store is written, before or after it was done."""
    rpc = gateway.chain.upstreams.all[0].rpc
    counted: Counter[str] = Counter()

    def counting(wrapped: Any) -> Any:
        def count(*args: Any) -> Any:
            counted["calls"] += 1
            if counted["calls"] == call:
                raise Crash
            answer = wrapped(*args)
            counted["calls"] += 1
            if counted["calls"] == call:
                raise Crash
            return answer

        return count

    monkeypatch.setattr(rpc, "call", counting(rpc.call))
    for name in ("add_transaction", "add_settlement", "lease", "finish_transactions"):
        monkeypatch.setattr(store, name, counting(getattr(store, name)))
    return counted


async def test_a_crash_at_every_call(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A life ends at its n-th call, for every n, each time with a receipt that was just stored; the next life goes on from what is there."""
    n = lives = 0
    while True:
        n += 5  # a receipt, and so a transaction to look at, costs a life some twelve calls
        if n % 20 == 5:
            site.charge()
        with monkeypatch.context() as patch:
            gateway = site.gateway()
            counted = crash_at(gateway, site.store, patch, n)
            settler = site.settler(gateway)
            try:
                with manual_mining(site):
                    for _ in range(3):
                        await settler.settle_due()
                        site.mine(15)
            except Crash:
                lives += 1
                continue
            assert counted["calls"] < n
            break
    assert lives > 15
    await site.settle_all(site.settler())
    for charge, _ in site.charges:  # a plug that was not told before the crash is told at its next hello
        site.told += site.store.settled_sessions(charge.voucher.plug, 1)
    site.check_once_and_only_once()
    assert site.rpc.call("eth_getTransactionCount", to_hex(signatures.address(site.relay_key)), "latest") != "0x0"


async def test_a_reorganisation_of_thirty_blocks(site: Site) -> None:
    """Receipts are settled all along thirty blocks; then the chain forgets them all, and some come back in another order."""
    for _ in range(3):
        site.charge()
    settler = site.settler()
    with manual_mining(site):
        snapshot = site.rpc.call("evm_snapshot")
        for round_ in range(6):
            await settler.settle_due()
            site.mine(5)
            if round_ == 2:
                settler = site.settler()  # a restart in between
        await settler.settle_due()
        assert {site.states(charge)[0] for charge, _ in site.charges} == {"included"}
        assert site.told == []
        site.rpc.call("evm_revert", snapshot)
        assert site.settled_events() == Counter({})
        await settler.settle_due()
        assert {site.states(charge)[0] for charge, _ in site.charges} == {"sent"}
        await site.settle_all(settler)
    site.check_once_and_only_once()


async def test_days_without_power(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay ends before a settlement is final. When it is back, its block is too old to be asked for by number: nobody waits for it."""
    charge = site.charge()
    with manual_mining(site):
        await site.settler().settle_due()
        site.mine(300)
        other = site.charge_in_a_block()
        chain = trusting(site.url)
        by_number = chain.headers.by_number

        def recent(number: int) -> Header:
            if number < chain.headers.latest().number - 200:
                raise RpcError("too old")
            return by_number(number)

        monkeypatch.setattr(chain.headers, "by_number", recent)
        gateway = site.gateway(chain=chain)
        assert gateway._submitter
        monkeypatch.setattr(gateway._submitter, "_clock", lambda: time.time() + 3 * 86_400)
        await site.settle_all(site.settler(gateway))
    assert site.states(charge) == site.states(other) == ["settled"]
    site.check_once_and_only_once()


async def test_a_reorganisation_under_a_restarted_relay(site: Site) -> None:
    site.charge()
    with manual_mining(site):
        snapshot = site.rpc.call("evm_snapshot")
        settler = site.settler()
        await settler.settle_due()
        site.mine(30)
        await settler.settle_due()
        site.rpc.call("evm_revert", snapshot)
        site.mine(31)
        await site.settle_all(site.settler())
    site.check_once_and_only_once()


async def test_a_reorganisation_between_two_looks(site: Site) -> None:
    """The transaction is in a block at both looks, but not in the same."""
    charge = site.charge()
    settler = site.settler()
    with manual_mining(site):
        snapshot = site.rpc.call("evm_snapshot")
        await settler.settle_due()
        site.mine()
        await settler.settle_due()
        ((_, raw, _),) = site.store.unfinished_transactions(signatures.address(site.relay_key))
        site.rpc.call("evm_revert", snapshot)
        site.mine(2)
        site.rpc.call("eth_sendRawTransaction", to_hex(raw))
        site.mine(2)
        await settler.settle_due()
        assert site.states(charge) == ["included"]
        (record,) = site.store.settlements(charge.session)
        assert site.rpc.call("eth_getTransactionReceipt", to_hex(record.tx_hash or b""))["blockHash"] == to_hex(record.block_hash or b"")
        await site.settle_all(settler)
    site.check_once_and_only_once()


async def test_somebody_elses_settlement_moves_to_another_block(site: Site) -> None:
    charge = site.charge()
    settler = site.settler()
    _, message = site.charges[0]
    host = Gateway(trusting(site.url), site.contract, charge.host_key)
    assert host._submitter
    with manual_mining(site):
        snapshot = site.rpc.call("evm_snapshot")
        call = call_data("settle", claim(charge.voucher, message.receipt, message.signature))
        sent = host._submitter.send(host.chain.headers.latest(), site.contract, call)
        site.mine()
        await settler.settle_due()
        assert site.states(charge) == ["included"]
        site.rpc.call("evm_revert", snapshot)
        site.mine(2)
        site.rpc.call("eth_sendRawTransaction", to_hex(sent.raw))
        site.mine(2)
        await site.settle_all(settler)
    site.check_once_and_only_once()


async def test_an_optimistic_settlement_is_sent_again_after_a_reorganisation(site: Site) -> None:
    charge = site.charge()
    settler = site.settler(site.gateway(finality=Finality.OPTIMISTIC))
    with manual_mining(site):
        snapshot = site.rpc.call("evm_snapshot")
        await settler.settle_due()
        site.mine()
        await settler.settle_due()
        assert site.states(charge) == ["settled"]
        assert site.told == [charge.session]
        site.rpc.call("evm_revert", snapshot)
        await site.settle_all(settler)
    site.check_once_and_only_once()


async def test_a_refusal_that_is_not_final_may_be_undone(site: Site) -> None:
    """The host releases the session, so nothing is paid any more; but then the chain forgets that."""
    charge = site.charge()
    settler = site.settler()
    with manual_mining(site):
        snapshot = site.rpc.call("evm_snapshot")
        host = Gateway(trusting(site.url), site.contract, charge.host_key)
        assert host._submitter
        host._submitter.send(host.chain.headers.latest(), site.contract, call_data("release", charge.voucher))
        site.mine()
        await settler.settle_due()
        assert site.states(charge) == []
        site.rpc.call("evm_revert", snapshot)
        await site.settle_all(settler)
    site.check_once_and_only_once()


async def test_a_refusal_that_is_final_stands(site: Site) -> None:
    charge = site.charge()
    Gateway(trusting(site.url), site.contract, charge.host_key).submit(call_data("release", charge.voucher))
    await site.settle_all(site.settler())
    assert site.states(charge) == ["failed"]


async def test_the_key_is_used_elsewhere(site: Site) -> None:
    """Another transaction takes the nonce of the settlement: it is settled with the next one."""
    charge = site.charge()
    with manual_mining(site):
        settler = site.settler()
        await settler.settle_due()
        assert site.states(charge) == ["sent"]
        other = Gateway(trusting(site.url), site.contract, site.relay_key)
        assert other._submitter
        other._submitter._sign_and_send(0, 21_000, b"\x11" * 20, b"", 1, 150 * 10**9, 100 * 10**9)
        site.mine()
        await site.settle_all(settler)
    site.check_once_and_only_once()


async def test_two_workers_share_a_store(chain_url: str, where: str) -> None:
    site = Site(chain_url, where)
    for _ in range(6):
        site.charge()
    second_key = site.funded_key()
    settlers = [site.settler(policy=SettlePolicy(batch=2)), site.settler(site.gateway(second_key), SettlePolicy(batch=2))]
    with manual_mining(site):
        for _ in range(20):
            for settler in settlers:
                await settler.settle_due()
            site.mine(5)
    assert not site.store.unsettled()
    site.check_once_and_only_once()
    site.close()


async def test_a_worker_takes_over_from_one_that_is_gone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    charge, second_key = site.charge(), site.funded_key()
    with manual_mining(site):
        await site.settler().settle_due()
        assert site.states(charge) == ["sent"]
        site.rpc.call("anvil_dropAllTransactions")
        second = site.settler(site.gateway(second_key))
        await second.settle_due()
        assert site.rpc.call("txpool_status")["pending"] == "0x0"
        clock = site.store._clock
        monkeypatch.setattr(site.store, "_clock", lambda: clock() + 601)
        await second.settle_due()
        assert site.rpc.call("txpool_status")["pending"] == "0x1"
        for _ in range(5):
            site.mine(15)
            await second.settle_due()
    site.check_once_and_only_once()


async def test_a_dead_chain_stops_nothing(site: Site) -> None:
    site.charge()
    settler = site.settler(site.gateway(chain=trusting("http://127.0.0.1:9")))
    with pytest.raises(GatewayError):
        await settler.settle_due()
    await site.settle_all(site.settler())
    site.check_once_and_only_once()
