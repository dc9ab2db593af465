"""The contract seen through headers that a (simulated) sync committee signed, and what a misbehaving beacon or RPC gets from it."""

import threading
import time

import httpx
import pytest
import uvicorn
from wattseal.errors import BeaconError, ConfigError, ProofError, RpcError, TimeUp
from wattseal.gateway.chain import Chain
from wattseal.gateway.client import Gateway
from wattseal.gateway.consensus.beacon_client import BeaconClient
from wattseal.gateway.consensus.light_client import LightClient
from wattseal.gateway.consensus.store_file import StoreFile
from wattseal.gateway.header import verify_header
from wattseal.gateway.rpc import Rpc, to_hex
from wattseal.gateway.signed_headers import SyncCommitteeHeaders
from wattseal.gateway.simulated_beacon import FINAL_AFTER_SLOTS, MAX_HEADS, SimulatedBeacon
from wattseal.gateway.simulated_network import SimulatedClock, simulated_network
from wattseal.gateway.time_limit import time_limit
from wattseal.gateway.upstreams import Upstreams

from tests.host_tools.gateway.test_server import Client

CHAIN_ID = 31337


class Beacon:
    def __init__(self, rpc_url):
        # well inside a period, so that a test does not run over its end
        self.network = simulated_network(CHAIN_ID, int(time.time()) - 10 * 64 - 40)
        self.clock = SimulatedClock(self.network.genesis_time_s)
        self.simulated = SimulatedBeacon(Rpc(rpc_url), self.network, self.clock)
        self.server = uvicorn.Server(uvicorn.Config(self.simulated.app(), host="127.0.0.1", port=0, log_level="error"))
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"

    def close(self):
        self.server.should_exit = True
        self.thread.join()

    def headers(self, path, upstreams, **options):
        client = LightClient(
            self.network, [BeaconClient(self.url, self.network)], StoreFile(path, self.network), self.simulated.checkpoint, self.clock
        )
        return SyncCommitteeHeaders(client, upstreams, **options)

    def misbehave(self, kind):
        return httpx.post(f"{self.url}/simulated/misbehave/{kind}").status_code


@pytest.fixture
def beacon(anvil):
    beacon = Beacon(anvil)
    yield beacon
    beacon.close()


@pytest.fixture
def rpc(anvil):
    return Rpc(anvil)


@pytest.fixture
def upstreams(anvil):
    return Upstreams([anvil], CHAIN_ID)


@pytest.fixture
def headers(beacon, upstreams, tmp_path):
    return beacon.headers(tmp_path / "light_client", upstreams)


def test_a_session_is_settled_on_signed_headers(upstreams, contract, funded_key, headers, charge):
    gateway = Gateway(Chain(upstreams, headers, headers.finalized), contract, funded_key())
    assert gateway.basis == "header signed by the sync committee of simulated beacon chain"
    charge.open()
    charge.pass_time(3600)
    settlement = gateway.settle(*charge.receipt(2500))
    assert settlement.proof_verified
    assert settlement.paid == settlement.total_paid > 0
    assert charge.gateway().settle(*charge.receipt(2500)) == settlement


def test_headers_are_those_of_the_chain(rpc, headers):
    rpc.call("anvil_mine", to_hex(30))
    newest = int(rpc.call("eth_blockNumber"), 16)
    for number in (newest, newest - 1, newest - 2, newest - 29, 1):
        assert headers.by_number(number) == verify_header(rpc.call("eth_getBlockByNumber", to_hex(number), False))
    assert headers.latest().number >= newest
    assert headers.finalized().number <= newest


def test_a_reorganised_chain_is_signed_as_it_is_now(start_anvil, tmp_path):
    with start_anvil("osaka") as url:
        rpc, beacon = Rpc(url), Beacon(url)
        headers = beacon.headers(tmp_path / "light_client", Upstreams([url], CHAIN_ID))
        accounts = rpc.call("eth_accounts")
        for _ in range(31):
            rpc.call("eth_sendTransaction", {"from": accounts[0], "to": accounts[1], "value": "0x1"})
            rpc.call("evm_mine")
        beacon.clock.ahead_s += 1
        undone = headers.latest()
        rpc.call("anvil_reorg", 30, [])
        beacon.clock.ahead_s += FINAL_AFTER_SLOTS  # what was signed before would be final now
        newest = verify_header(rpc.call("eth_getBlockByNumber", "latest", False))
        assert newest.hash != undone.hash
        assert headers.latest() == newest
        final = headers.finalized()
        assert final == verify_header(rpc.call("eth_getBlockByNumber", to_hex(final.number), False))
        beacon.clock.ahead_s += FINAL_AFTER_SLOTS
        assert headers.finalized() == newest
        beacon.close()


def test_a_block_that_is_never_signed(beacon, upstreams, tmp_path):
    headers = beacon.headers(tmp_path / "light_client", upstreams, timeout_s=0.2)
    with pytest.raises(RpcError, match="not signed"):
        headers.by_number(10**9)


class LyingRpc(Rpc):
    """Answers one method with what `lie` makes of the true answer."""

    method, lie = "", staticmethod(lambda answer: answer)

    def call(self, method, *params):
        answer = super().call(method, *params)
        return self.lie(answer) if method == self.method else answer


def test_an_rpc_that_lies_about_an_older_block(anvil, beacon, rpc, tmp_path):
    rpc.call("anvil_mine", to_hex(10))
    liar = LyingRpc(anvil)

    def headers(*urls):
        """Headers that the liar serves, and honest servers after it."""
        upstreams = Upstreams([anvil, *urls], CHAIN_ID)
        upstreams.all[0].rpc = liar
        return beacon.headers(tmp_path / "light_client", upstreams)

    number = headers().latest().number
    other = rpc.call("eth_getBlockByNumber", to_hex(number - 7), False)
    lies = {
        "another block": ("eth_getBlockByHash", lambda _: other),
        "a changed field": ("eth_getBlockByHash", lambda block: block | {"stateRoot": to_hex(bytes(32))}),
        "no proof": ("eth_getProof", lambda proof: proof | {"storageProof": [proof["storageProof"][0] | {"proof": []}]}),
        "another hash in the history": ("eth_getProof", lambda proof: proof | {"storageProof": [proof["storageProof"][0] | {"value": "0x1"}]}),
    }
    for liar.method, liar.lie in lies.values():
        with pytest.raises(ProofError, match="caught lying"):
            headers().by_number(number - 5)
        assert headers(anvil).by_number(number - 5).number == number - 5
    liar.method = ""
    assert headers().by_number(number - 5).number == number - 5


def test_servers_of_another_chain(anvil, beacon, tmp_path):
    with pytest.raises(ConfigError, match="asked for chain 1, the light client follows 31337"):
        beacon.headers(tmp_path / "light_client", Upstreams([anvil], 1))


def test_the_json_rpc_rests_on_what_the_committee_signed(beacon, upstreams, headers, rpc):
    rpc.call("anvil_mine", to_hex(40))
    client = Client(Chain(upstreams, headers, headers.finalized))
    latest, final = (client.reply("eth_getBlockByNumber", tag, False) for tag in ("latest", "finalized"))
    assert latest["restsOn"]["basis"] == "header signed by the sync committee of simulated beacon chain"
    assert int(latest["result"]["number"], 16) > int(final["result"]["number"], 16)
    assert latest["result"]["hash"] == rpc.call("eth_getBlockByNumber", latest["result"]["number"], False)["hash"]
    beacon.misbehave("wrong_committee")
    beacon.clock.ahead_s += 2
    assert "signature" in client.error("eth_blockNumber")["message"]


@pytest.mark.parametrize("kind", ["wrong_committee", "old_signature"])
def test_a_beacon_that_forges_is_dropped(beacon, headers, kind):
    headers.latest()
    assert beacon.misbehave(kind) == 204
    beacon.clock.ahead_s += 2
    with pytest.raises(BeaconError, match=r"lie: .*signature"):
        headers.latest()


def test_a_beacon_that_stalls(beacon, headers):
    headers.latest()
    assert beacon.misbehave("stall") == 204
    beacon.clock.ahead_s += 40
    with pytest.raises(BeaconError, match="slots old"):
        headers.latest()


def test_no_old_head_in_between_two_tries(beacon, headers):
    """While the beacon is away, nobody gets the head of before, whoever asked last."""
    before = headers.latest()
    assert beacon.misbehave("stall") == 204
    beacon.clock.ahead_s += 40
    for ask in (headers.latest, headers.finalized, headers.latest, lambda: headers.by_number(before.number)):
        with pytest.raises(BeaconError, match="slots old"):
            ask()
    assert beacon.misbehave("none") == 204
    beacon.clock.ahead_s += 2
    assert headers.latest().number >= before.number


def test_who_has_no_time_left_makes_no_trouble_for_others(headers):
    with pytest.raises(TimeUp), time_limit(0.0):
        headers.latest()
    assert headers.latest().number >= 0


def test_few_signatures_are_not_enough(beacon, headers):
    before = headers.latest()
    assert beacon.misbehave("short_participation") == 204
    beacon.clock.ahead_s += 2
    with pytest.raises(BeaconError, match="signed by 10 of 32; two thirds are needed"):
        headers.latest()
    assert beacon.misbehave("none") == 204
    beacon.clock.ahead_s += 2
    assert headers.latest().number >= before.number


@pytest.mark.parametrize("kind", ["fork", "equivocate"])
def test_a_head_that_the_chain_never_had(beacon, rpc, headers, kind):
    """A whole committee that signs lies is believed by every light client; the RPC's state then proves nothing under it."""
    headers.latest()
    assert beacon.misbehave(kind) == 204
    beacon.clock.ahead_s += 2
    seen = set()
    for _ in range(4):
        seen.add(headers.latest().number)
        beacon.clock.ahead_s += 1
    assert rpc.call("eth_getBlockByNumber", to_hex(max(seen)), False) is None


def test_unknown_misbehaviour(beacon):
    assert beacon.misbehave("sleep") == 404
    assert httpx.get(f"{beacon.url}/eth/v1/beacon/light_client/finality_update").json()["simulated"] is True


def test_periods_go_by_unasked(beacon, headers, rpc):
    headers.latest()
    for _ in range(3):
        beacon.clock.ahead_s += 3 * 64
        rpc.call("evm_mine")
        headers.latest()
    assert headers.by_number(int(rpc.call("eth_blockNumber"), 16)).number


def test_few_heads_are_kept(beacon, headers):
    for _ in range(MAX_HEADS // 8 + 8):
        beacon.clock.ahead_s += 1
        headers.latest()
    beacon.clock.ahead_s += 8 * 64
    for _ in range(MAX_HEADS):
        beacon.clock.ahead_s += 1
        beacon.simulated.checkpoint  # noqa: B018  # each makes a head
    assert len(beacon.simulated._heads) <= MAX_HEADS
    assert headers.latest().number
