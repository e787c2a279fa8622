"""The random provider keeps passwords secret and replaces them when a keeper changes."""

import json

import pytest

declares = pytest.mark.declares


def password(generation):
    keepers = {"generation": generation}
    return (
        f"p = RandomPassword(name, length=32, special=False, keepers={keepers!r})\n"
        "pulumi.export(name, p.result)"
    )


@declares(password("1"))
def test_a_password_is_secret_except_with_show_secrets(case):
    plain = case.output(1)

    assert len(plain) == 32
    assert plain.isalnum()
    assert plain not in case.text(1)
    assert plain not in json.dumps(case.stack.steps[1].resources)
    assert case.resource()["id"] == "none"


@declares(password("1"), password("1"), password("2"))
def test_only_a_changed_keeper_replaces_a_password(case):
    first, unchanged, replaced = (case.output(step) for step in (1, 2, 3))

    assert first == unchanged
    assert first != replaced


@declares("RandomBytes(name, length=12)")
def test_random_bytes_show_their_value_as_their_id(case):
    """Therefore no seed of this project is a RandomBytes."""
    assert len(case.resource()["id"]) == 16
