"""A loss that autosave allows is explained; any other fails the soak."""

import pytest

from bench.soak.judge import GRAIN, Evidence, Message, Span, judge

MESSAGE = Message(7, 42)
INTERVAL = 5.0
KILL = Span(began=100.0, ended=101.2)


def lost(at, *, saves=(96.0,), kills=(KILL,), full=()):
    """The one loss of a run in which MESSAGE was acknowledged at *at*, and never arrived."""
    evidence = Evidence(interval=INTERVAL, kills=kills, saves=saves, full=full)
    (found,) = judge({MESSAGE: at}, set(), evidence)
    assert (found.message, found.acknowledged) == (MESSAGE, at)
    return found


@pytest.mark.parametrize("at", [96.01, 98.0, 100.0])
def test_what_was_in_memory_alone_at_a_kill_is_explained(at):
    found = lost(at)

    assert found.explained
    assert "in memory only" in found.why


def test_an_acknowledgement_that_was_read_after_the_kill_is_of_the_broker_before():
    assert lost(100.4).explained


@pytest.mark.parametrize("at", [20.0, 95.9, 96.0])
def test_what_a_save_had_is_not(at):
    found = lost(at)

    assert not found.explained
    assert "a save that came after its acknowledgement" in found.why


def test_neither_is_what_a_save_was_owed_to():
    oldest = KILL.began - INTERVAL - GRAIN

    assert lost(oldest, saves=(80.0,)).explained
    found = lost(oldest - 0.1, saves=(80.0,))
    assert not found.explained
    assert "no save in the last 7 s" in found.why


def test_a_broker_that_never_saved_owes_the_same():
    assert lost(99.0, saves=()).explained
    assert not lost(92.0, saves=()).explained


@pytest.mark.parametrize("kills", [(), (Span(began=50.0, ended=51.0),)])
def test_without_a_kill_after_it_nothing_explains_a_loss(kills):
    found = lost(99.0, kills=kills)

    assert not found.explained
    assert found.why == "no kill -9 came after its acknowledgement"


def test_a_later_kill_does_not_excuse_what_outlived_the_first():
    first, second = Span(began=50.0, ended=51.0), KILL

    # Saved at 48, so on disk at the first; whatever took it later, it was not memory.
    assert not lost(47.0, kills=(first, second), saves=(48.0, 97.0)).explained
    # And the first took this one: the save at 97 was another broker's.
    assert lost(49.0, kills=(first, second), saves=(48.0, 97.0)).explained


def test_a_save_that_found_the_disk_full_keeps_nothing():
    full = Span(began=95.0, ended=97.0)

    assert not lost(60.0).explained
    found = lost(60.0, full=(full,))
    assert found.explained
    assert "found the disk full" in found.why


def test_a_disk_that_was_full_earlier_is_no_excuse():
    full = Span(began=85.0, ended=90.0)

    assert not lost(60.0, saves=(88.0, 96.0), full=(full,)).explained


def test_what_arrived_is_not_lost_and_the_rest_is_in_order():
    acknowledged = {Message(1, 1): 99.0, Message(1, 2): 97.0, Message(2, 1): 98.0}
    evidence = Evidence(interval=INTERVAL, kills=(KILL,))

    found = judge(acknowledged, {Message(2, 1)}, evidence)

    assert [each.message for each in found] == [Message(1, 2), Message(1, 1)]
    assert judge(acknowledged, set(acknowledged), evidence) == []
