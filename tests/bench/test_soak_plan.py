"""Each disturbance comes in its turn, with and without the subscriber; bad figures are refused."""

import pytest

from bench.soak.plan import KINDS, Plan
from cli.errors import CommandError


@pytest.mark.parametrize("minutes", [0.1, 1, 2, 3.9])
def test_a_short_run_has_each_once(minutes):
    slots = Plan(minutes=minutes, clients=200).slots

    assert tuple(each.kind for each in slots) == KINDS


def test_ten_minutes_have_each_with_and_without_the_subscriber():
    slots = Plan(minutes=10, clients=200).slots

    assert len(slots) == 5 * len(KINDS)
    for kind in KINDS:
        assert {each.away for each in slots if each.kind == kind} == {True, False}


@pytest.mark.parametrize("minutes", [0.1, 2, 10, 120])
def test_they_are_spread_over_the_time(minutes):
    plan = Plan(minutes=minutes, clients=1)
    gaps = {round(b.at - a.at, 6) for a, b in zip(plan.slots, plan.slots[1:], strict=False)}

    assert plan.slots[0].at == 0
    assert len(gaps) == 1
    assert plan.slots[-1].at < plan.seconds


def test_something_waits_for_the_subscriber_at_the_first_kill():
    assert next(each.away for each in Plan(minutes=2, clients=1).slots if each.kind == "kill -9")


@pytest.mark.parametrize(("minutes", "clients"), [("10", "200"), ("0.5", "1"), ("120", "500")])
def test_what_is_typed_is_taken(minutes, clients):
    plan = Plan.parse(minutes, clients)

    assert (plan.minutes, plan.clients) == (float(minutes), int(clients))


@pytest.mark.parametrize("minutes", ["0", "-1", "121", "nan", "inf", "ten", ""])
def test_other_minutes_are_refused(minutes):
    with pytest.raises(CommandError) as refused:
        Plan.parse(minutes, "200")

    assert str(refused.value).startswith(
        f"--minutes {minutes}: must be a number of minutes above 0"
    )
    assert "-m bench.soak --minutes 10" in str(refused.value)


@pytest.mark.parametrize("clients", ["0", "-1", "501", "1.5", "many", ""])
def test_other_clients_are_refused(clients):
    with pytest.raises(CommandError) as refused:
        Plan.parse("10", clients)

    assert str(refused.value).startswith(f"--clients {clients}: must be a whole number above 0")
    assert "-m bench.soak --clients 200" in str(refused.value)
