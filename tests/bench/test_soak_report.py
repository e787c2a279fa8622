"""The report has correct totals, lists lost messages, and reports a failed run."""

from dataclasses import replace

import pytest

from bench.soak.judge import Evidence, Message, Span
from bench.soak.plan import Slot
from bench.soak.report import (
    UNEXPLAINED,
    Disturbance,
    Record,
    longest_gap,
    names_of,
    render,
)


def disturbance(kind, since, began, ended, *, away=False):
    return Disturbance(
        slot=Slot(at=began, kind=kind, away=away),
        since=since,
        began=began,
        ended=ended,
        description="it",
        disconnected=0,
    )


ACKNOWLEDGED = {Message(number % 2, number): float(number) for number in range(60)}
RECORD = Record(
    start=0.0,
    disturbances=[
        disturbance("reload", 0.0, 10.0, 20.0),
        disturbance("kill -9", 20.0, 30.0, 40.0, away=True),
        disturbance("the end", 40.0, 50.0, 60.0),
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
    arrived = {message: at for message, at in ACKNOWLEDGED.items() if message.number not in numbers}
    return replace(RECORD, arrived=arrived)


def cells(text):
    """Return the cells of the table, without its header."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_a_run_without_losses_succeeds():
    text = render(RECORD)

    assert RECORD.errors == []
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


def test_losses_within_the_guarantee_are_listed_and_the_run_succeeds():
    record = replace(without(28, 29, 30), again=[5.0, 20.0, 39.9])
    text = render(record)

    assert record.errors == []
    assert cells(text)[1][6:10] == ["20", "17", "2", "3"]
    assert "Arrived again: 3." in text
    assert "3 within the guarantee: in memory only" in cells(text)[1][10]
    assert "soak-001: 28, 30; soak-002: 29" in text
    assert "before it came 'reload' at 00:10" in text


def test_losses_outside_the_guarantee_are_listed_and_the_run_fails():
    record = without(12, 27)
    text = render(record)

    assert record.errors == ["2 lost messages are covered by the guarantee"]
    assert UNEXPLAINED in cells(text)[0][10]
    assert UNEXPLAINED in cells(text)[1][10]
    assert "soak-001: 12\n" in text
    assert "soak-002: 27\n" in text
    assert text.endswith("Failed:\n\n- 2 lost messages are covered by the guarantee\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sessions": 2}, "the broker lost the subscriber's session, 1 times"),
        ({"failures": ["backup: it broke"]}, "backup: it broke"),
        ({"acknowledged": {}}, "nothing was measured"),
        ({"disturbances": []}, "nothing was measured"),
    ],
)
def test_a_run_fails_for_other_reasons_too(change, message):
    record = replace(RECORD, **change)

    assert record.errors == [message]
    assert f"- {message}" in render(record)


def test_the_longest_gap_includes_the_edges():
    span = Span(began=10.0, ended=20.0)

    assert longest_gap([9.0, 11.0, 12.0, 25.0], span) == 8.0
    assert longest_gap([], span) == 10.0
    assert longest_gap([1.0, 13.5, 30.0], span) == 6.5


def test_a_late_save_fails_a_run_without_losses():
    # A gap across the kill, from 30 to 40, does not count.
    across = [29.0, 31.0, 39.5, 41.0]

    late = Evidence(interval=5.0, saves=[4.0, 10.9, *across, 47.0])
    assert replace(RECORD, evidence=late).errors == ["a save came 18.1 s after the previous one"]
    in_time = Evidence(interval=5.0, saves=[22.5, *across, 47.0])
    assert replace(RECORD, evidence=in_time).errors == []


def test_consecutive_numbers_are_one_range():
    messages = [Message(1, 5), Message(0, 3), Message(0, 1), Message(0, 2), Message(0, 9)]

    assert names_of(messages) == "soak-001: 1-3, 9; soak-002: 5"
