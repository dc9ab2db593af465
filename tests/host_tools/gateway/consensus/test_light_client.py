"""Following a chain over HTTP, from several nodes, over restarts."""

import logging

import pytest
from wattseal.errors import BeaconError, ConfigError, UnsupportedFork
from wattseal.gateway.consensus.light_client import LightClient
from wattseal.gateway.consensus.store_file import StoreFile


@pytest.fixture
def follow(tmp_path):
    """Makes a light client that believes it is `slot`."""

    def make(slot, *nodes, checkpoint=None):
        network = nodes[0].chain.network
        file = StoreFile(tmp_path / "light_client", network)
        return LightClient(network, [node.client() for node in nodes], file, checkpoint, clock=lambda: network.time_of(slot))

    return make


def slots(client):
    return client.finalized_header.beacon.slot, client.optimistic_header.beacon.slot


@pytest.mark.parametrize("head", [42, 63, 70, 90, 1000, 64 * 140 + 30])
def test_from_a_checkpoint_to_the_head(nodes, follow, head):
    node = nodes()
    client = follow(head + 1, node, checkpoint=node.tell(head))
    client.advance()
    assert slots(client) == (head - 16, head)


def test_restart_needs_no_checkpoint(nodes, follow):
    node = nodes()
    follow(101, node, checkpoint=node.tell(100)).advance()
    assert slots(follow(101, node)) == (84, 100)
    node.tell(500)
    node.asked.clear()
    client = follow(501, node)
    client.advance()
    assert slots(client) == (484, 500)
    assert not [what for what in node.asked if what.startswith("bootstrap")]


def test_without_store_and_checkpoint(nodes, follow):
    client = follow(100, nodes())
    with pytest.raises(ConfigError, match="checkpoint"):
        client.advance()
    with pytest.raises(BeaconError, match="no header yet"):
        _ = client.finalized_header


def test_without_nodes(tmp_path, nodes):
    network = nodes().chain.network
    with pytest.raises(ConfigError, match="at least one"):
        LightClient(network, [], StoreFile(tmp_path / "x", network))


def test_another_node_takes_over(nodes, follow):
    busy, dead, good = nodes(), nodes(), nodes()
    root = good.tell(100)
    busy.answers |= dict.fromkeys(set(good.answers) - {"genesis"}, (429, {"retry-after": "60"}, b""))
    client = follow(101, busy, dead, good, checkpoint=root)
    client.advance()
    assert slots(client) == (84, 100)
    client.advance()
    assert len(busy.asked) == 1  # it asked for rest, and has it
    assert [node.lies for node in client.nodes.all] == [0, 0, 0]


LIES = {
    "a bootstrap of another block": ("bootstrap", lambda node: node.json("bootstrap", node.chain.bootstrap(node.chain.block(15)))),
    "a forged head": ("finality_update", lambda node: node.json("finality_update", node.made(100, signers=node.chain.committee(7)))),
    "rubbish": ("finality_update", lambda node: {"version": "fulu", "data": {"attested_header": {"beacon": {"slot": "1"}}}}),
    "another chain's updates": ("updates?start_period=0&count=1", lambda node: [node.json("update", node.made(40, signers=node.chain.committee(3)))]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_liar_is_named_counted_and_dropped(nodes, follow, caplog, lie):
    liar, honest = nodes(), nodes()
    root = liar.tell(100)
    honest.tell(100)
    where, what = LIES[lie]
    for name in list(liar.answers):
        if name.startswith(where):
            liar.answers[name] = what(liar)
    client = follow(101, liar, honest, checkpoint=root)
    with caplog.at_level(logging.ERROR):
        client.advance()
    assert slots(client) == (84, 100)
    caught, other = client.nodes.all
    assert (caught.lies, other.lies) == (1, 0)
    assert [record.server for record in caplog.records] == [caught.client.server]
    asked = len(liar.asked)
    client.advance()
    assert len(liar.asked) == asked


def test_only_liars(nodes, follow):
    liar = nodes()
    root = liar.tell(100)
    client = follow(101, liar, checkpoint=root)
    liar.answers["finality_update"] = LIES["a forged head"][1](liar)
    for _ in range(2):
        with pytest.raises(BeaconError, match=f"{client.nodes.all[0].client.server}: dropped for a lie: slot 100: the signature"):
            client.advance()
    assert slots(follow(101, liar))[0] == 24  # what was proven before is kept


def test_a_stalled_node(nodes, follow):
    """It tells no lie: it is passed over while another is newer, and if there is none, that is said."""
    stalled, fresh = nodes(), nodes()
    root = stalled.tell(100)
    fresh.tell(130)
    client = follow(131, stalled, fresh, checkpoint=root)
    client.advance()
    assert slots(client) == (114, 130)
    stalled.asked.clear()
    client.advance()
    assert not stalled.asked
    alone = follow(170, fresh)
    with pytest.raises(BeaconError, match="40 slots old"):
        alone.advance()
    assert alone.nodes.all[0].lies == 0


def test_a_fork_that_is_not_known(nodes, follow):
    node = nodes()
    root = node.tell(100)
    client = follow(101, node, checkpoint=root)
    node.answers["finality_update"] = {"version": "gloas", "data": {}}
    with pytest.raises(UnsupportedFork, match="update Wattseal"):
        client.advance()


def test_a_clock_that_is_behind(nodes, follow):
    node = nodes()
    client = follow(60, node, checkpoint=node.tell(62))
    with pytest.raises(BeaconError, match="clock"):
        client.advance()


def test_an_old_checkpoint_is_warned_of(nodes, follow, caplog):
    node = nodes()
    fortnight = 14 * 24 * 3600 // node.chain.network.seconds_per_slot
    root = node.tell(20)
    for slot, warnings in ((16 + fortnight, 0), (17 + fortnight, 1)):
        with caplog.at_level(logging.WARNING), pytest.raises(BeaconError):
            follow(slot, node, checkpoint=root).advance()
        assert caplog.text.count("weak-subjectivity") == warnings


def test_a_chain_without_finality_waits_for_a_person(nodes, follow):
    node = nodes()
    follow(111, node, checkpoint=node.tell(110)).advance()
    later = follow(163, node)
    few = [place < 25 for place in range(32)]
    stalled = node.chain.update(node.chain.block(160, finalized=node.chain.block(94).header), bits=few)
    node.answers["finality_update"] = node.json("finality_update", stalled)
    node.answers["optimistic_update"] = node.json("optimistic_update", node.chain.update(node.chain.block(160), parts=""))
    later.advance()
    assert slots(later) == (94, 160)
    assert not follow(158, node).force_update()
    assert later.force_update()
    assert slots(later) == (160, 160)
    assert slots(follow(163, node)) == (160, 160)


def test_what_few_signed_is_not_taken(nodes, follow):
    """Not even right after a checkpoint, where the specs would let one signer move the optimistic header."""
    few, many = nodes(), nodes()
    root = few.tell(100)
    many.tell(100)
    signed = few.chain.update(few.chain.block(101), bits=[place < 21 for place in range(32)], parts="")
    few.answers["optimistic_update"] = few.json("optimistic_update", signed)
    alone = follow(102, few, checkpoint=root)
    with pytest.raises(BeaconError, match="signed by 21 of 32"):
        alone.advance()
    assert slots(alone) == (84, 100)
    both = follow(102, few, many)
    both.advance()
    assert slots(both) == (84, 100)
