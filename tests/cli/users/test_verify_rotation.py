"""A rotation is reported after the broker accepted the new password and refused the old one."""

import pytest

import cli.users.rotate
import cli.users.verify_rotation
from broker.checks.observations import LET_IN
from cli.errors import CommandError
from cli.users.credentials import Credential

REFUSED = "refused: not authorized"
SILENT = "no answer: connection refused"


def passwords(**logins):
    return {name: Credential(*login) for name, login in logins.items()}


OLD = passwords(sensor=("sensor", "old"), lamp=("lamp", "same"))
NEW = passwords(sensor=("sensor", "new"), lamp=("lamp", "same"))


@pytest.fixture
def verify(desk, monkeypatch):
    """``verify(before, after, **answers)``: the broker's answer by password."""

    def verify(before=OLD, after=NEW, health="", **answers):
        monkeypatch.setattr(
            cli.users.verify_rotation,
            "try_login",
            lambda _, __, login, **___: answers.get(login.password, SILENT),
        )
        monkeypatch.setattr(cli.users.verify_rotation, "login_error", lambda _: health)
        stack = cli.users.rotate.Stack.read("test")
        seen = cli.users.verify_rotation.verify_rotation(stack, before, after, "")
        cli.users.verify_rotation.require_rotated(stack, seen)
        return seen.text

    return verify


def test_the_new_password_is_accepted_and_the_former_refused(verify):
    said = verify(new=LET_IN, old=REFUSED)
    assert said == "Tried on the broker: 1 new password accepted, 1 former one is refused."


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"new": LET_IN, "old": LET_IN}, "user sensor: its former password: let in"),
        ({"new": REFUSED, "old": REFUSED}, "user sensor: its new password: refused"),
        ({"new": LET_IN, "old": SILENT}, "user sensor: its former password: no answer"),
        ({"new": REFUSED, "old": LET_IN}, "user sensor: its new password: refused"),
    ],
)
def test_any_other_answer_is_an_error(verify, answers, message):
    with pytest.raises(CommandError, match=message) as raised:
        verify(**answers)
    assert "old\n" not in str(raised.value)


def test_the_previous_login_of_an_overlapping_rotation_stays(verify):
    before, after = (passwords(s=("s", "old")), passwords(s=("s-2", "new")))
    assert "1 former one is accepted until --revoke-previous" in verify(
        before, after, new=LET_IN, old=LET_IN
    )
    with pytest.raises(CommandError, match="user s: its former password: refused"):
        verify(before, after, new=LET_IN, old=REFUSED)


def test_a_password_that_was_never_known_is_not_tried(verify):
    """Such as that of an adopted user."""
    said = verify({}, passwords(sensor=("sensor", "new")), new=LET_IN)
    assert said == "Tried on the broker: 1 new password accepted."


def test_of_a_large_fleet_some_members_are_tried(verify):
    before, after = (
        passwords(**{f"m-{number}": (f"m-{number}", word) for number in range(300)})
        for word in ("old", "new")
    )
    assert "100 new passwords (of 300 that changed) accepted, 100 former ones are refused" in (
        verify(before, after, new=LET_IN, old=REFUSED)
    )


def test_a_broker_that_this_machine_cannot_reach_is_asked_inside_its_container(verify):
    said = verify()
    assert said.startswith("The passwords were not tried: no answer")
    assert "accepted" not in said


def test_a_broker_that_accepts_nobody_is_an_error(verify):
    with pytest.raises(CommandError, match="does not accept the login of its health user: exited"):
        verify(health="exited")
