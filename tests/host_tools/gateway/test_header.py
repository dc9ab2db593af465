import pytest
from wattseal.errors import ProofError, RpcError
from wattseal.gateway.header import CANCUN, LONDON, PRAGUE, SHANGHAI, TrustedRpcHeaders, verify_header
from wattseal.gateway.rpc import Rpc, to_hex

FORKS = {"london": LONDON, "shanghai": SHANGHAI, "cancun": CANCUN, "prague": PRAGUE, "osaka": PRAGUE}


@pytest.mark.parametrize("fork", FORKS)
def test_header_of_each_fork(start_anvil, fork):
    with start_anvil(fork) as url:
        block = Rpc(url).call("eth_getBlockByNumber", "latest", False)
    present = {name for name, _ in PRAGUE if name in block}
    assert present == {name for name, _ in FORKS[fork]}
    header = verify_header(block)
    assert to_hex(header.hash) == block["hash"]
    assert to_hex(header.state_root) == block["stateRoot"]
    assert to_hex(header.receipts_root) == block["receiptsRoot"]
    assert [header.number, header.timestamp, header.base_fee_per_gas] == [int(block[n], 16) for n in ("number", "timestamp", "baseFeePerGas")]


def changed(value):
    """Another quantity or byte string of the same length."""
    if len(value) < 6:
        return hex(int(value, 16) ^ 1)
    return value[:-1] + ("1" if value[-1] == "0" else "0")


@pytest.mark.parametrize("name", ["hash", *(name for name, _ in PRAGUE)])
def test_any_field_changed(anvil, name):
    block = Rpc(anvil).call("eth_getBlockByNumber", "latest", False)
    with pytest.raises(ProofError):
        verify_header(block | {name: changed(block[name]) if block[name] != "0x" else "0x00"})
    with pytest.raises(ProofError):
        verify_header({key: value for key, value in block.items() if key != name})
    for nonsense in [None, 5, [], "", "0x", "text", "0x0g", block[name] + "00", block[name] + "\n", "0x" + "f" * 600]:
        if nonsense != block[name]:
            with pytest.raises(ProofError):
                verify_header(block | {name: nonsense})


@pytest.mark.parametrize("block", [None, [], "0x", {}, 7])
def test_no_block(block):
    with pytest.raises(ProofError):
        verify_header(block)


def test_source_says_what_it_rests_on(anvil):
    headers = TrustedRpcHeaders(Rpc(anvil), 31337)
    assert headers.basis == "header taken on trust from the RPC"
    latest = headers.latest()
    assert headers.by_number(latest.number) == latest


def test_source_refuses_another_block_than_asked(anvil, monkeypatch):
    rpc = Rpc(anvil)
    headers = TrustedRpcHeaders(rpc, 31337)
    head = headers.latest()
    block = rpc.call("eth_getBlockByNumber", "latest", False)
    monkeypatch.setattr(rpc, "call", lambda *_: block)
    with pytest.raises(ProofError, match=f"asked for block {head.number - 1}"):
        headers.by_number(head.number - 1)


def test_source_refuses_another_chain(anvil):
    with pytest.raises(RpcError, match="serves chain 31337, not 1"):
        TrustedRpcHeaders(Rpc(anvil), 1).latest()


def test_source_has_no_such_block(anvil):
    with pytest.raises(RpcError, match="no block"):
        TrustedRpcHeaders(Rpc(anvil), 31337).by_number(10**9)
