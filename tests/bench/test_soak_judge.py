"""A loss within the guarantee of autosave is explained; any other loss fails the soak test."""

import pytest

from bench.soak.judge import GRAIN, Evidence, Message, Span, judge

MESSAGE = Message(7, 42)
INTERVAL = 5.0
KILL = Span(began=100.0, ended=101.2)


def lost(at, *, saves=(96.0,), kills=(KILL,), full=()):
    """Return the loss of a run in which MESSAGE was acknowledged at *at* and not delivered."""
    evidence = Evidence(interval=INTERVAL, kills=kills, saves=saves, full=full)
    (loss,) = judge({MESSAGE: at}, set(), evidence)
    assert (loss.message, loss.acknowledged) == (MESSAGE, at)
    return loss


@pytest.mark.parametrize("at", [96.01, 98.0, 100.0])
def test_a_message_in_memory_only_at_a_kill_is_explained(at):
    loss = lost(at)

    assert loss.explained
    assert "in memory only" in loss.why


def test_an_acknowledgement_read_before_the_next_login_is_from_the_killed_broker():
    assert lost(100.4).explained


@pytest.mark.parametrize("at", [20.0, 95.9, 96.0])
def test_a_saved_message_is_not_explained(at):
    loss = lost(at)

    assert not loss.explained
    assert "a save that came after its acknowledgement" in loss.why


def test_a_message_that_should_have_been_saved_is_not_explained():
    oldest = KILL.began - INTERVAL - GRAIN

    assert lost(oldest, saves=(80.0,)).explained
    loss = lost(oldest - 0.1, saves=(80.0,))
    assert not loss.explained
    assert "no save in the last 7 s" in loss.why


def test_the_guarantee_applies_without_any_save():
    assert lost(99.0, saves=()).explained
    assert not lost(92.0, saves=()).explained


@pytest.mark.parametrize("kills", [(), (Span(began=50.0, ended=51.0),)])
def test_a_loss_without_a_later_kill_is_not_explained(kills):
    loss = lost(99.0, kills=kills)

    assert not loss.explained
    assert loss.why == "no kill -9 came after its acknowledgement"


def test_only_the_first_kill_after_the_acknowledgement_counts():
    first, second = Span(began=50.0, ended=51.0), KILL

    # Saved at 48, so it was on disk at the first kill.
    assert not lost(47.0, kills=(first, second), saves=(48.0, 97.0)).explained
    # Lost at the first kill; the save at 97 is from the next broker.
    assert lost(49.0, kills=(first, second), saves=(48.0, 97.0)).explained


def test_a_save_on_a_full_disk_explains_every_loss():
    full = Span(began=95.0, ended=97.0)

    assert not lost(60.0).explained
    loss = lost(60.0, full=(full,))
    assert loss.explained
    assert "found the disk full" in loss.why


def test_a_full_disk_before_the_last_save_explains_nothing():
    full = Span(began=85.0, ended=90.0)

    assert not lost(60.0, saves=(88.0, 96.0), full=(full,)).explained


def test_losses_are_the_undelivered_messages_in_order():
    acknowledged = {Message(1, 1): 99.0, Message(1, 2): 97.0, Message(2, 1): 98.0}
    evidence = Evidence(interval=INTERVAL, kills=(KILL,))

    losses = judge(acknowledged, {Message(2, 1)}, evidence)

    assert [loss.message for loss in losses] == [Message(1, 2), Message(1, 1)]
    assert judge(acknowledged, set(acknowledged), evidence) == []
