"""A header source made of one vouched header, as a light client has it."""

import pytest
from wattseal.errors import ProofError, RpcError
from wattseal.gateway import linked_headers
from wattseal.gateway.header import TrustedRpcHeaders, verify_header
from wattseal.gateway.linked_headers import KnownHeaders, LinkedHeaders
from wattseal.gateway.rpc import Rpc
from wattseal.gateway.upstreams import Upstreams

from tests.host_tools.gateway.lying_upstream import lying_upstream, truth

CHAIN_ID = 31337


class Vouched:
    """Vouches for one header."""

    basis = "vouched for by the test"

    def __init__(self, header):
        self.header = header

    def latest(self):
        return self.header


@pytest.fixture(scope="module")
def upstream(start_anvil):
    with start_anvil("osaka") as url, lying_upstream(url) as upstream:
        for _ in range(9):
            Rpc(url).call("evm_mine")
        yield upstream


@pytest.fixture
def headers(upstream):
    upstream.lie = truth
    vouched = Vouched(TrustedRpcHeaders(Rpc(upstream.url), CHAIN_ID).by_number(8))
    return LinkedHeaders(vouched, KnownHeaders(Upstreams([upstream.url], CHAIN_ID)))


def test_every_ancestor_is_found_and_nothing_later(headers, upstream):
    assert headers.basis == Vouched.basis
    assert headers.latest().number == 8
    for number in range(9):
        assert headers.by_number(number) == TrustedRpcHeaders(Rpc(upstream.url), CHAIN_ID).by_number(number)
    with pytest.raises(RpcError, match="after the newest one that is vouched for, 8"):
        headers.by_number(9)


def test_a_made_up_ancestor_is_a_lie_even_if_its_fields_agree_with_its_hash(headers, upstream):
    other = Rpc(upstream.url).call("eth_getBlockByNumber", "0x9", False)
    verify_header(other)
    upstream.lie = lambda method, _params, result: other if method == "eth_getBlockByHash" and result["number"] == "0x5" else result
    assert headers.by_number(6).number == 6
    with pytest.raises(ProofError, match=r"asked for block .* sent block"):
        headers.by_number(5)


def test_how_far_back(headers, monkeypatch):
    monkeypatch.setattr(linked_headers, "MAX_KNOWN", 4)
    assert headers.by_number(5).number == 5
    with pytest.raises(RpcError, match="the last 4 can be proven"):
        headers.by_number(4)


def test_known_ancestors_are_not_asked_for_again(headers, upstream):
    headers.by_number(3)
    upstream.asked.clear()
    assert headers.by_number(4).number == 4
    assert upstream.asked == []
