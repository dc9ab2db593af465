"""What must survive: register, sessions and receipts in a real journal."""

from plug.errors import JournalError, OutboxFull
from plug.ledger import CAPACITY, Ledger, Sample, open_ledger
from plug.storage.journal import Journal
from run_in_micropython import raises
from storage.file_partition import FilePartition

DEADLINE = 1_800_000_000
DOCUMENT = {"voucher": {"cap": 1 << 100}, "signature": "0x", "started_at": 5, "register_wh": 6, "calibration": ""}
RECEIPT = {"type": "receipt", "receipt": {"sequence": 3}}


def tag(number):
    return b"%011d" % number


def opened(partition):
    return Ledger(Journal(partition))


def ended(ledger, number, deadline=DEADLINE):
    ledger.put_session(tag(number), DOCUMENT)
    ledger.put_receipt(tag(number), RECEIPT)
    ledger.end(tag(number), deadline)


def test_a_sample_survives_with_all_that_is_in_it():
    partition = FilePartition(64)
    ledger = opened(partition)
    assert ledger.is_new
    values = ((1 << 60) + 1, 77, tag(4), 3, (1 << 32) - 1, 864_000_000, 9, 0x0003_00FF)
    ledger.put_sample(Sample(*values))
    again = opened(partition)
    assert not again.is_new
    found = again.sample()
    assert (found.total_mwh, found.reverse_mwh, found.tag, found.state, found.as_of, found.active_ms, found.sequence, found.flags) == values


def test_the_session_without_an_end_is_the_running_one():
    partition = FilePartition(64)
    ledger = opened(partition)
    ended(ledger, 1)
    assert ledger.running() is None
    ledger.put_session(tag(2), DOCUMENT)
    assert opened(partition).running() == (tag(2), DOCUMENT, None)
    ledger.put_receipt(tag(2), RECEIPT)
    assert opened(partition).running() == (tag(2), DOCUMENT, RECEIPT)


def test_ended_sessions_wait_for_their_payment():
    partition = FilePartition(64)
    ledger = opened(partition)
    ended(ledger, 1)
    ended(ledger, 2)
    assert ledger.unpaid() == [tag(1), tag(2)]
    assert ledger.entry(tag(1)) == (DOCUMENT, RECEIPT)
    ledger.mark_paid(tag(1))
    ledger.mark_paid(tag(9))
    assert ledger.unpaid() == opened(partition).unpaid() == [tag(2)]


def test_an_acknowledged_session_is_still_unpaid():
    partition = FilePartition(64)
    ledger = opened(partition)
    ended(ledger, 1)
    ended(ledger, 2)
    assert ledger.unacknowledged() == 2
    ledger.mark_acknowledged(tag(1))
    ledger.mark_acknowledged(tag(9))
    assert ledger.unacknowledged() == opened(partition).unacknowledged() == 1
    assert opened(partition).unpaid() == [tag(1), tag(2)]
    ledger.mark_paid(tag(2))
    ledger.mark_acknowledged(tag(2))
    assert opened(partition).unpaid() == [tag(1)]
    assert opened(partition).unacknowledged() == 0


def test_what_is_acknowledged_does_not_give_way_before_it_is_paid():
    ledger = opened(FilePartition(64))
    for number in range(CAPACITY):
        ended(ledger, number)
        ledger.mark_acknowledged(tag(number))
    raises(OutboxFull, ledger.make_room, DEADLINE)
    assert len(ledger.unpaid()) == CAPACITY


def test_room_is_made_of_what_is_late_then_of_what_is_paid_and_of_nothing_else():
    partition = FilePartition(64)
    ledger = opened(partition)
    for number in range(CAPACITY):
        ended(ledger, number, DEADLINE - (number == 7))
    ledger.make_room(DEADLINE)
    assert tag(7) not in ledger.unpaid()
    assert ledger.entry(tag(7)) is None
    ended(ledger, 100)
    error = raises(OutboxFull, ledger.make_room, DEADLINE)
    assert str(CAPACITY) in str(error)
    assert len(opened(partition).unpaid()) == CAPACITY
    ledger.mark_paid(tag(3))
    ledger.make_room(DEADLINE)
    assert len(ledger.unpaid()) == CAPACITY - 1
    assert opened(partition).running() is None


def test_a_document_that_does_not_parse_is_counted_and_stays():
    partition = FilePartition(64)
    journal = Journal(partition)
    ledger = Ledger(journal)
    ended(ledger, 1)
    ended(ledger, 2)
    journal.put(b"v" + tag(1), b'{"voucher": ')
    journal.put(b"r" + tag(2), b"[]")
    ledger = Ledger(journal)
    assert ledger.entry(tag(1)) is None
    assert ledger.entry(tag(2)) is None
    assert ledger.damaged == 2
    assert journal.get(b"v" + tag(1)) == b'{"voucher": '


def test_key_and_journal_belong_together():
    fresh = FilePartition(64)
    raises(JournalError, open_ledger, Journal(fresh), True)
    ledger = open_ledger(Journal(fresh), False)
    assert not ledger.is_new
    open_ledger(Journal(fresh), False)  # the power went before the key was made
    open_ledger(Journal(fresh), True)
    ledger.put_sample(Sample(1))
    raises(JournalError, open_ledger, Journal(fresh), False)


def test_guard_calibration_and_crash_have_their_places():
    partition = FilePartition(64)
    ledger = opened(partition)
    assert (ledger.guard(), ledger.calibration(), ledger.crash()) == (None, None, None)
    ledger.put_guard({"trip": "weld"})
    ledger.put_calibration(b"\x01\x02")
    ledger.put_crash({"error": "ValueError"})
    again = opened(partition)
    assert (again.guard(), again.calibration(), again.crash()) == ({"trip": "weld"}, b"\x01\x02", {"error": "ValueError"})


def test_a_power_cut_while_a_session_is_dropped_revives_none():
    for allowed in range(20):
        partition = FilePartition(64)
        ledger = opened(partition)
        ended(ledger, 1, DEADLINE - 1)
        write, left = partition.writeblocks, [allowed]

        def until_the_cut(block, buf, offset, write=write, left=left):
            if left[0] == 0:
                raise OSError(-0x107)
            left[0] -= 1
            write(block, buf, offset)

        partition.writeblocks = until_the_cut
        try:
            ledger.make_room(DEADLINE)
            assert allowed > 2
        except JournalError:
            pass
        partition.writeblocks = write
        assert opened(partition).running() is None
