"""The time of a rotation is stored in the state, and an old password causes a warning."""

import os
import subprocess
from datetime import UTC, datetime, timedelta

import pulumi
import pytest
from fake_engine import COMMAND, is_secret

from components import PasswordAges


@pytest.fixture
def warnings(monkeypatch):
    logged: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda text, *_, **__: logged.append(text))
    return logged


def rotations(engine, *, days, limit):
    time = datetime.now(UTC) - timedelta(days=days, hours=1)
    engine.printed = f"sensor 3 {time:%Y-%m-%dT%H:%M:%SZ}\n"
    return engine.run(
        lambda: (
            PasswordAges(
                "rotations",
                generations={"sensor": "3"},
                max_age_days=limit,
                fixes={"sensor": "Do this"},
            ).rotated_at
        )
    )


@pytest.mark.parametrize(("days", "limit"), [(90, 90), (5000, None)])
def test_no_warning_up_to_the_limit_or_without_a_limit(engine, warnings, days, limit):
    rotations(engine, days=days, limit=limit)

    assert warnings == []


def test_a_warning_names_a_password_that_is_too_old(engine, warnings):
    rotations(engine, days=91, limit=90)

    (warning,) = warnings
    assert warning.startswith("The password of sensor is 91 days old;")
    assert warning.endswith("maxAgeDays is 90.\n  Fix: Do this.")


def test_the_script_reads_its_previous_output_and_its_input_is_not_secret(engine):
    times = rotations(engine, days=1, limit=None)

    assert list(times) == ["sensor"]
    (command,) = engine.of_type(COMMAND).values()
    assert command.inputs["addPreviousOutputInEnv"] is True
    assert not is_secret(command.inputs["stdin"])
    assert "\ngenerations <<" in command.inputs["stdin"]
    assert "\nsensor 3\n" in command.inputs["stdin"]


def test_the_time_of_an_unchanged_generation_is_kept(engine):
    rotations(engine, days=1, limit=None)
    inputs = engine.inputs_of("rotations-times")
    previous = "sensor 3 2026-01-02T03:04:05Z\nformer 1 2026-01-01T00:00:00Z"

    done = subprocess.run(
        [*inputs["interpreter"], inputs["create"]],
        env={**os.environ, "PULUMI_COMMAND_STDOUT": previous, **inputs["environment"]},
        input=inputs["stdin"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "sensor 3 2026-01-02T03:04:05Z\n"
    assert engine.shown_of("rotations-times") == {}
