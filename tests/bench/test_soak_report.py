"""The report adds up, names what was lost, and says when a run has failed."""

from dataclasses import replace

import pytest

from bench.soak.judge import Evidence, Message, Span
from bench.soak.plan import Slot
from bench.soak.report import (
    UNEXPLAINED,
    Happened,
    Record,
    longest_gap,
    names_of,
    render,
)


def happened(kind, since, began, over, *, away=False, **more):
    slot = Slot(at=began, kind=kind, away=away)
    return Happened(slot=slot, since=since, began=began, over=over, what="it", cut_off=0, **more)


ACKNOWLEDGED = {Message(each % 2, each): float(each) for each in range(60)}
RECORD = Record(
    start=0.0,
    happened=[
        happened("reload", 0.0, 10.0, 20.0),
        happened("kill -9", 20.0, 30.0, 40.0, away=True),
        happened("the end", 40.0, 50.0, 60.0),
    ],
    acknowledged=ACKNOWLEDGED,
    arrived=dict(ACKNOWLEDGED),
    evidence=Evidence(
        interval=5.0,
        kills=[Span(began=30.0, ended=31.0)],
        saves=[5.0, 11.0, 17.0, 22.0, 27.5, 33.0],
    ),
)


def without(*numbers):
    arrived = {each: at for each, at in ACKNOWLEDGED.items() if each.number not in numbers}
    return replace(RECORD, arrived=arrived)


def cells(text):
    """The table's rows, without its head."""
    lines = [each for each in text.splitlines() if each.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_a_run_that_lost_nothing_is_well():
    text = render(RECORD)

    assert RECORD.wrong == []
    assert text.endswith(
        "Every acknowledged message was delivered, except those that autosave does not cover.\n"
    )
    assert [row[:2] + row[6:10] for row in cells(text)] == [
        ["00:10", "reload", "20", "20", "0", "0"],
        ["00:30", "kill -9", "20", "20", "0", "0"],
        ["00:50", "the end", "20", "20", "0", "0"],
    ]
    assert [row[3:5] for row in cells(text)[:2]] == [
        ["1.00 s", "1.00 s"],
        ["1.00 s", "away for 1.0 s"],
    ]


def test_what_a_kill_may_take_is_named_and_forgiven():
    record = replace(without(28, 29, 30), again=[5.0, 20.0, 39.9])
    text = render(record)

    assert record.wrong == []
    assert cells(text)[1][6:10] == ["20", "17", "2", "3"]
    assert "Arrived again: 3." in text
    assert "3 within the guarantee: in memory only" in cells(text)[1][10]
    assert "soak-001: 28, 30; soak-002: 29" in text
    assert "before it came 'reload' at 00:10" in text


def test_what_it_may_not_take_fails_and_is_named():
    record = without(12, 27)
    text = render(record)

    assert record.wrong == ["2 lost messages are covered by the guarantee"]
    assert UNEXPLAINED in cells(text)[0][10]
    assert UNEXPLAINED in cells(text)[1][10]
    assert "soak-001: 12\n" in text
    assert "soak-002: 27\n" in text
    assert text.endswith("Failed:\n\n- 2 lost messages are covered by the guarantee\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sessions": 2}, "the broker lost the subscriber's session, 1 times"),
        ({"failures": ["backup: it broke"]}, "backup: it broke"),
        ({"acknowledged": {}}, "nothing was measured"),
        ({"happened": []}, "nothing was measured"),
    ],
)
def test_it_fails_for_other_reasons_too(change, said):
    record = replace(RECORD, **change)

    assert record.wrong == [said]
    assert f"- {said}" in render(record)


def test_the_longest_time_without_anything_counts_the_edges():
    span = Span(began=10.0, ended=20.0)

    assert longest_gap([9.0, 11.0, 12.0, 25.0], span) == 8.0
    assert longest_gap([], span) == 10.0
    assert longest_gap([1.0, 13.5, 30.0], span) == 6.5


def test_a_save_that_comes_late_fails_a_run_that_lost_nothing():
    # The kill was from 30 to 40: what lies across it is nobody's fault.
    across = [29.0, 31.0, 39.5, 41.0]

    late = Evidence(interval=5.0, saves=[4.0, 10.9, *across, 47.0])
    assert replace(RECORD, evidence=late).wrong == ["a save came 18.1 s after the other"]
    in_time = Evidence(interval=5.0, saves=[22.5, *across, 47.0])
    assert replace(RECORD, evidence=in_time).wrong == []


def test_numbers_that_follow_each_other_are_one_range():
    messages = [Message(1, 5), Message(0, 3), Message(0, 1), Message(0, 2), Message(0, 9)]

    assert names_of(messages) == "soak-001: 1-3, 9; soak-002: 5"
