"""The disturbances alternate with and without the subscriber; invalid options are errors."""

import pytest

from bench.soak.plan import KINDS, Plan
from cli.errors import CommandError


@pytest.mark.parametrize("minutes", [0.1, 1, 2, 3.9])
def test_a_short_run_has_every_kind_once(minutes):
    slots = Plan(minutes=minutes, clients=200).slots

    assert tuple(slot.kind for slot in slots) == KINDS


def test_ten_minutes_have_every_kind_with_and_without_the_subscriber():
    slots = Plan(minutes=10, clients=200).slots

    assert len(slots) == 5 * len(KINDS)
    for kind in KINDS:
        assert {slot.away for slot in slots if slot.kind == kind} == {True, False}


@pytest.mark.parametrize("minutes", [0.1, 2, 10, 120])
def test_disturbances_are_evenly_distributed(minutes):
    plan = Plan(minutes=minutes, clients=1)
    gaps = {round(b.at - a.at, 6) for a, b in zip(plan.slots, plan.slots[1:], strict=False)}

    assert plan.slots[0].at == 0
    assert len(gaps) == 1
    assert plan.slots[-1].at < plan.seconds


def test_the_subscriber_is_away_at_the_first_kill():
    assert next(slot.away for slot in Plan(minutes=2, clients=1).slots if slot.kind == "kill -9")


@pytest.mark.parametrize(("minutes", "clients"), [("10", "200"), ("0.5", "1"), ("120", "500")])
def test_valid_options_are_parsed(minutes, clients):
    plan = Plan.parse(minutes, clients)

    assert (plan.minutes, plan.clients) == (float(minutes), int(clients))


@pytest.mark.parametrize("minutes", ["0", "-1", "121", "nan", "inf", "ten", ""])
def test_invalid_minutes_are_an_error(minutes):
    with pytest.raises(CommandError) as error:
        Plan.parse(minutes, "200")

    assert str(error.value).startswith(f"--minutes {minutes}: must be a number of minutes above 0")
    assert "-m bench.soak --minutes 10" in str(error.value)


@pytest.mark.parametrize("clients", ["0", "-1", "501", "1.5", "many", ""])
def test_invalid_clients_are_an_error(clients):
    with pytest.raises(CommandError) as error:
        Plan.parse("10", clients)

    assert str(error.value).startswith(f"--clients {clients}: must be a whole number above 0")
    assert "-m bench.soak --clients 200" in str(error.value)
