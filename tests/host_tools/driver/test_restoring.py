"""A wallet that is made again from its words, with nothing but the chain."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from wattseal.driver import restoring
from wattseal.driver.folder import DriverFolder
from wattseal.driver.seed import AHEAD, FIRST_SLOT_AT, Seed
from wattseal.gateway.chain import Chain
from wattseal.gateway.contract import call_data
from wattseal.gateway.rpc import to_hex
from wattseal.protocol import signatures

from tests.host_tools.driver.conftest import Plug, Street


def seed_of(folder: DriverFolder) -> Seed:
    assert folder._seed
    return folder._seed


def near(folder: DriverFolder) -> dict[bytes, int]:
    """The addresses around those in use: all of them would take as long as since 2026."""
    last = max((session.index for session in folder.sessions), default=0)
    return {seed_of(folder).address(index): index for index in range(max(0, last - 30), last + 30)}


def test_sessions_come_back_with_their_vouchers_and_no_address_is_named(
    street: Street,
    folder: DriverFolder,
    new_folder: Callable[[], DriverFolder],
    plug: Plug,
    funded_key: Callable[[], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from wattseal.driver import money

    first = street.visit(folder, plug)
    street.visit(new_folder(), plug)
    second = street.arrive(folder, plug)
    money.lock(folder, street.chain(), second, funded_key())
    never_opened = street.arrive(folder, plug)
    monkeypatch.setattr(restoring, "WINDOW_BLOCKS", 3)
    chain = street.chain()
    asked = listen(chain, monkeypatch)
    found = list(restoring.sessions(chain, street.contract, seed_of(folder), near(folder), first.voucher.issuedAt - 1))
    assert [(index, session and session.message) for index, session in found] == [(one.index, one.message) for one in (second, first)]
    assert never_opened.index not in [index for index, _ in found]
    for method, params in asked:
        told = str(params)
        assert not any(to_hex(address)[2:] in told for address in near(folder)), (method, told)


def listen(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[object, ...]]]:
    asked: list[tuple[str, tuple[object, ...]]] = []
    rpc = chain.upstreams.all[0].rpc
    call = rpc.call
    monkeypatch.setattr(rpc, "call", lambda method, *params: asked.append((method, params)) or call(method, *params))
    return asked


def test_a_server_that_makes_a_session_up_gets_no_signature(
    street: Street, folder: DriverFolder, plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = street.visit(folder, plug)
    chain = street.chain()
    rpc = chain.upstreams.all[0].rpc
    call = rpc.call

    def lie(method: str, *params: object) -> object:
        answer = call(method, *params)
        if method == "eth_getLogs":
            return [log | {"topics": [log["topics"][0], "0x" + "11" * 32, *log["topics"][2:]]} for log in answer]
        return answer

    monkeypatch.setattr(rpc, "call", lie)
    signed = []
    monkeypatch.setattr(restoring.signatures, "sign", lambda key, digest: signed.append(digest))
    found = list(restoring.sessions(chain, street.contract, seed_of(folder), near(folder), session.voucher.issuedAt - 1))
    assert (session.index, None) in found
    assert signed == []


def test_a_server_that_makes_up_session_and_transaction_gets_no_signature(
    street: Street, folder: DriverFolder, plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept as the newest session, it would be the one that `wattseal driver open` locks money for."""
    session = street.visit(folder, plug)
    made_up = replace(session.voucher, host=b"\x66" * 20, plug=b"\x67" * 20)
    chain = street.chain()
    rpc = chain.upstreams.all[0].rpc
    call = rpc.call

    def lie(method: str, *params: object) -> object:
        answer = call(method, *params)
        if method == "eth_getLogs":
            return [log | {"topics": [log["topics"][0], to_hex(made_up.digest(session.domain)), *log["topics"][2:]]} for log in answer]
        return {"input": to_hex(call_data("open", made_up, b""))} if method == "eth_getTransactionByHash" else answer

    monkeypatch.setattr(rpc, "call", lie)
    found = list(restoring.sessions(chain, street.contract, seed_of(folder), near(folder), session.voucher.issuedAt - 1))
    assert (session.index, None) in found
    assert [one for _, one in found if one is not None] == []


def test_two_opened_sessions_of_one_key_come_back(street: Street, folder: DriverFolder, new_folder: Callable[[], DriverFolder], plug: Plug) -> None:
    first = street.arrive(folder, plug)
    voucher = replace(first.voucher, nonce=first.voucher.nonce + 1)
    second = replace(first, voucher=voucher, signature=signatures.sign(folder.key(first.index), voucher.digest(first.domain)))
    restored = new_folder()
    restored.add_opened([first, second])
    assert all(restored.is_locking(one) for one in (first, second))
    assert restored.sessions == [first, second]


def test_all_addresses_up_to_now_are_looked_at() -> None:
    seed, ticks = Seed.new(), []
    own = restoring.own_addresses(seed, FIRST_SLOT_AT + 600 * 3, FIRST_SLOT_AT + 600 * 30, lambda done, total: ticks.append((done, total)))
    assert len(own) == 27 + AHEAD + 1
    assert own[signatures.address(seed.key(50))] == 50
    assert ticks == []
