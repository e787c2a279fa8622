"""A password's time is kept in the state, and an old one is worth a warning."""

import os
import subprocess
from datetime import UTC, datetime, timedelta

import pulumi
import pytest
from fake_engine import COMMAND, is_secret

from components import PasswordAges


@pytest.fixture
def warnings(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda text, *_, **__: said.append(text))
    return said


def rotations(engine, *, days, most):
    time = datetime.now(UTC) - timedelta(days=days, hours=1)
    engine.printed = f"sensor 3 {time:%Y-%m-%dT%H:%M:%SZ}\n"
    return engine.run(
        lambda: (
            PasswordAges(
                "rotations",
                generations={"sensor": "3"},
                max_age_days=most,
                fixes={"sensor": "Do this"},
            ).rotated_at
        )
    )


@pytest.mark.parametrize(("days", "most"), [(90, 90), (5000, None)])
def test_one_that_is_young_enough_or_may_be_any_age_is_not_spoken_of(engine, warnings, days, most):
    rotations(engine, days=days, most=most)

    assert warnings == []


def test_one_that_is_too_old_is_named(engine, warnings):
    rotations(engine, days=91, most=90)

    (said,) = warnings
    assert said.startswith("The password of sensor is 91 days old;")
    assert said.endswith("maxAgeDays is 90.\n  Fix: Do this.")


def test_its_memory_is_what_it_said_before_and_nothing_in_it_is_secret(engine):
    times = rotations(engine, days=1, most=None)

    assert list(times) == ["sensor"]
    (command,) = engine.of_type(COMMAND).values()
    assert command.inputs["addPreviousOutputInEnv"] is True
    assert not is_secret(command.inputs["stdin"])
    assert "\ngenerations <<" in command.inputs["stdin"]
    assert "\nsensor 3\n" in command.inputs["stdin"]


def test_it_remembers_what_it_said_and_gets_no_secret(engine):
    rotations(engine, days=1, most=None)
    given = engine.inputs_of("rotations-times")
    before = "sensor 3 2026-01-02T03:04:05Z\nformer 1 2026-01-01T00:00:00Z"

    done = subprocess.run(
        [*given["interpreter"], given["create"]],
        env={**os.environ, "PULUMI_COMMAND_STDOUT": before, **given["environment"]},
        input=given["stdin"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "sensor 3 2026-01-02T03:04:05Z\n"
    assert engine.shown_of("rotations-times") == {}
