"""Ten sessions of one driver on a real chain: nothing in calldata, storage or logs stands in two of them, but what everybody's sessions share.

What everybody's sessions share is not a list that somebody keeps, but what the sessions of other drivers at the same plugs show.
"""

import dataclasses
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from wattseal.driver import money
from wattseal.driver.folder import DriverFolder
from wattseal.errors import WalletError
from wattseal.gateway.client import Gateway
from wattseal.protocol import signatures
from wattseal.protocol.typed_data import GRACE_S

from tests.host_tools.driver.conftest import CAP, CHAIN_ID, Plug, Street
from tests.host_tools.driver.traces import Trace, Watcher, repeated

CAPS = (CAP, CAP * 5 // 2)


@dataclass
class Town:
    """Two plugs, an exchange and a relay's key, which all drivers share."""

    street: Street
    plugs: list[Plug]
    relay_key: bytes
    watcher: Watcher
    sessions: int = 0

    def session(self, folder: DriverFolder, *, receiver: bytes | None = None, funder: bytes | None = None, payer: bytes | None = None) -> Trace:
        """One session from the voucher to the last coin: paid from the exchange, settled by the relay or the driver, or refunded."""
        number, self.sessions = self.sessions, self.sessions + 1
        street, plug = self.street, self.plugs[number % 2]
        plug.register_wh += 100_000
        session = street.arrive(folder, plug, CAPS[number // 2 % 2], 2)
        key = folder.key(session.index)
        if payer is None:
            street.send(session.voucher.driver, money.to_send(street.chain(), session.voucher.cap), funder)
        money.lock(folder, street.chain(), session, payer or key)
        if number % 5 == 4:
            street.pass_time(session.voucher.validUntil + GRACE_S + 1)
            money.refund(street.chain(), session, payer or key)
        else:
            energy_wh = 300 + 4 * number * number  # no two sums alike
            messages = [plug.receipt(session, energy_wh * part // 2, final=part == 2, sequence=part) for part in (1, 2)]
            folder.add_receipts(session, messages)
            street.pass_time(messages[-1].receipt.asOf + 60)
            gateway = Gateway(street.chain(), street.contract, self.relay_key if number % 3 else payer or key)
            for message in messages[number % 2 :]:
                gateway.settle(session.voucher, message.receipt, message.signature)
        money.withdraw(street.chain(), street.contract, key, receiver or secrets.token_bytes(20), payer, lambda step: None)
        trace = self.watcher.look()
        for message in folder.receipts(session):
            trace.add_receipt(message)
        return trace


@pytest.fixture(scope="module")
def town(street: Street, contract: bytes, funded_key: Callable[[], bytes]) -> Town:
    plugs, relay_key = [Plug(contract), Plug(contract)], funded_key()
    return Town(street, plugs, relay_key, Watcher(street.rpc, CHAIN_ID, contract))


@pytest.fixture(scope="module")
def others(town: Town, new_folder: Callable[[], DriverFolder]) -> list[Trace]:
    """Sessions of drivers who have one each."""
    return [town.session(new_folder()) for _ in range(5)]


def personal(own: list[Trace], others: list[Trace]) -> dict[int, set[str]]:
    """Return what stands in more than one session of a driver, and in none of others."""
    shared = set().union(*(trace.values for trace in others))
    return {value: places for value, places in repeated(own).items() if value not in shared}


def number(address: bytes) -> int:
    return int.from_bytes(address, "big")


def test_ten_sessions_share_nothing_but_what_everybodys_share(town: Town, others: list[Trace], folder: DriverFolder) -> None:
    own = [town.session(folder) for _ in range(10)]
    assert len({session.voucher.driver for session in folder.sessions}) == 10
    assert {hex(value): places for value, places in personal(own, others).items()} == {}
    # docs/privacy.md: of the addresses, these and no others are in more than one session
    keys = (town.street.exchange, town.relay_key, *(plug.key for plug in town.plugs), *(plug.host_key for plug in town.plugs))
    known = {number(signatures.address(key)) for key in keys} | {number(town.street.contract)}
    found = {value for value, places in repeated(own).items() if places & {"sender", "receiver", "voucher's key", "receipt's key"}}
    assert found == known - {number(plug.host) for plug in town.plugs}
    assert not any("voucher's key" in places for trace in own for places in trace.values.values())  # no voucher's signature is published
    for session, trace in zip(folder.sessions, own, strict=True):
        assert {"sender", "topic"} <= trace.values[number(session.voucher.driver)]


def test_a_key_that_is_used_twice_is_found(town: Town, others: list[Trace], folder: DriverFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    first = town.session(folder)
    index = folder.sessions[0].index
    monkeypatch.setattr("wattseal.driver.folder.next_index", lambda last, now: index)
    monkeypatch.setattr(folder, "is_locking", lambda session: False)  # the folder itself would refuse
    second = town.session(folder)
    assert number(folder.sessions[0].voucher.driver) in personal([first, second], others)


def test_money_that_comes_from_or_goes_to_an_own_address_is_found(
    town: Town, others: list[Trace], folder: DriverFolder, funded_key: Callable[[], bytes]
) -> None:
    """What docs/privacy.md says that no contract can hide."""
    funder, receiver, payer = funded_key(), secrets.token_bytes(20), funded_key()
    town.watcher.look()
    paid = [town.session(folder, funder=funder, receiver=receiver) for _ in range(2)]
    assert set(personal(paid, others)) == {number(signatures.address(funder)), number(receiver)}
    paid_for = [town.session(folder, payer=payer) for _ in range(2)]
    assert set(personal(paid_for, others)) == {number(signatures.address(payer))}
    assert "voucher's key" in paid_for[0].values[number(folder.sessions[2].voucher.driver)]


def test_the_same_salt_twice_is_found(folder: DriverFolder, street: Street, plug: Plug) -> None:
    salt, own = secrets.token_bytes(16), []
    for _ in range(2):
        own.append(Trace())
        own[-1].add_receipt(plug.receipt(street.arrive(folder, plug), 5, salt=salt))
    assert set(personal(own, [])) == {number(salt)}


def test_the_folder_refuses_what_would_link(folder: DriverFolder, street: Street, plug: Plug) -> None:
    first, second = street.visit(folder, plug), street.arrive(folder, plug)
    receiver = secrets.token_bytes(20)
    folder.add_receiver(first.voucher.driver, receiver)
    folder.check_receiver(first.voucher.driver, receiver)
    with pytest.raises(WalletError, match="would show that both are yours"):
        folder.check_receiver(second.voucher.driver, receiver)
    with pytest.raises(WalletError, match="links the two"):
        folder.check_receiver(second.voucher.driver, first.voucher.driver)
    again = dataclasses.replace(first, voucher=dataclasses.replace(first.voucher, nonce=1))
    again = dataclasses.replace(again, signature=signatures.sign(folder.key(first.index), again.id))
    with pytest.raises(WalletError, match="signs no other"):
        folder.add_session(again)
