"""What the link's queue keeps under a flood."""

import in_order  # noqa: F401  before what it imports
from plug.net.link import QUEUE_LENGTH, Link


def up():
    link = Link(*[None] * 10)
    link.is_up = True
    return link


def test_a_flood_of_replies_costs_replies_only():
    link = up()
    link.send({"type": "status", "trip": "weld"})
    for number in range(3 * QUEUE_LENGTH):
        link.send({"type": ("pong", "refused")[number % 2], "number": number})
    assert len(link._queue) == QUEUE_LENGTH
    assert link._queue[0] == {"type": "status", "trip": "weld"}
    assert link._queue[-1]["number"] == 3 * QUEUE_LENGTH - 1


def test_of_nothing_but_news_the_oldest_goes():
    link = up()
    for number in range(QUEUE_LENGTH + 2):
        link.send({"type": "status", "number": number})
    assert [message["number"] for message in link._queue] == list(range(2, QUEUE_LENGTH + 2))


def test_without_a_connection_nothing_is_kept():
    link = up()
    link.is_up = False
    link.send({"type": "status"})
    assert not link._queue
