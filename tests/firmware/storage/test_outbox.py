"""The outbox drops nothing that can still be claimed."""

import os

from plug.errors import JournalError, OutboxFull
from plug.storage.outbox import CAPACITY, Outbox
from run_in_micropython import raises


def fill(outbox, count, deadline=1000):
    names = [f"{number:064x}" for number in range(count)]
    for name in names:
        outbox.add(name, deadline, b"receipt " + name.encode())
    return names


def test_entries_outlive_a_reboot():
    names = fill(Outbox("kept"), 3)
    outbox = Outbox("kept")
    assert outbox.unpaid() == names
    assert outbox.payload(names[1]) == b"receipt " + names[1].encode()


def test_half_written_entry_is_cleared_away():
    outbox = Outbox("half")
    with open("half/aa.new", "wb") as file:
        file.write(b"half")
    assert Outbox("half").unpaid() == outbox.unpaid() == []
    assert os.listdir("half") == []


def test_full_of_unpaid_entries_refuses_and_keeps_them_all():
    outbox = Outbox("full")
    names = fill(outbox, CAPACITY)
    raises(OutboxFull, outbox.make_room, 1000)
    assert outbox.unpaid() == names


def test_paid_entries_give_way_only_when_room_is_needed():
    outbox = Outbox("paid")
    names = fill(outbox, CAPACITY)
    assert outbox.mark_paid(names[5])
    assert not outbox.mark_paid(names[5])
    assert names[5] not in outbox.unpaid()
    assert len(os.listdir("paid")) == CAPACITY
    outbox.make_room(1000)
    assert len(os.listdir("paid")) == CAPACITY - 1
    assert len(outbox.unpaid()) == CAPACITY - 1


def test_entries_past_their_deadline_are_dropped():
    outbox = Outbox("late")
    fill(outbox, 2, deadline=1000)
    outbox.make_room(1000)
    assert len(outbox.unpaid()) == 2
    outbox.make_room(1001)
    assert outbox.unpaid() == []


def test_damaged_entry_is_an_error_not_an_empty_receipt():
    outbox = Outbox("bad")
    (name,) = fill(outbox, 1)
    with open("bad/" + name + ".open", "wb") as file:
        file.write(b"x")
    raises(JournalError, outbox.payload, name)
