"""The random provider keeps passwords secret and draws them anew when a keeper changes."""

import json

import pytest

declares = pytest.mark.declares


def password(generation):
    return (
        f"p = RandomPassword(name, length=32, special=False, keepers={{'generation': {generation!r}}})\n"
        "pulumi.export(name, p.result)"
    )


@declares(password("1"))
def test_a_password_is_secret_everywhere_and_shown_where_asked(case):
    plain = case.output(1)

    assert len(plain) == 32
    assert plain.isalnum()
    assert plain not in case.said(1)
    assert plain not in json.dumps(case.story.steps[1].resources)
    assert case.resource()["id"] == "none"


@declares(password("1"), password("1"), password("2"))
def test_a_keeper_draws_anew_and_nothing_else_does(case):
    first, same, another = (case.output(step) for step in (1, 2, 3))

    assert first == same
    assert first != another


@declares("RandomBytes(name, length=12)")
def test_random_bytes_show_their_value_as_their_id(case):
    """Why no seed of ours is one."""
    assert len(case.resource()["id"]) == 16
