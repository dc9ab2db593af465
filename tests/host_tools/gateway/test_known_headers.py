"""Headers before a vouched one, by their parents' hashes."""

import pytest
from wattseal.demo.lying_upstream import lying_upstream, truth
from wattseal.errors import ProofError
from wattseal.gateway.header import TrustedRpcHeaders, verify_header
from wattseal.gateway.known_headers import KnownHeaders
from wattseal.gateway.rpc import Rpc
from wattseal.gateway.upstreams import Upstreams

CHAIN_ID = 31337


@pytest.fixture(scope="module")
def upstream(start_anvil):
    with start_anvil("osaka") as url, lying_upstream(url) as upstream:
        for _ in range(9):
            Rpc(url).call("evm_mine")
        yield upstream


@pytest.fixture
def known(upstream):
    upstream.lie = truth
    return KnownHeaders(Upstreams([upstream.url], CHAIN_ID))


def test_all_ancestors_newest_first(known, upstream):
    trusted = TrustedRpcHeaders(Rpc(upstream.url), CHAIN_ID)
    found = [full.header for full in known.back_from(trusted.by_number(8).hash)]
    assert found == [trusted.by_number(number) for number in range(8, -1, -1)]
    upstream.asked.clear()
    assert len(list(known.back_from(found[2].hash))) == 7
    assert upstream.asked == []


def test_a_made_up_ancestor_is_a_lie_even_if_its_fields_agree_with_its_hash(known, upstream):
    newest = TrustedRpcHeaders(Rpc(upstream.url), CHAIN_ID).by_number(8)
    other = Rpc(upstream.url).call("eth_getBlockByNumber", "0x9", False)
    verify_header(other)
    upstream.lie = lambda method, _params, result: other if method == "eth_getBlockByHash" and result["number"] == "0x5" else result
    ancestors = known.back_from(newest.hash)
    assert [next(ancestors).header.number for _ in range(3)] == [8, 7, 6]
    with pytest.raises(ProofError, match=r"asked for block .* sent block"):
        next(ancestors)
