"""Rotations disconnect only the clients concerned, nobody with `overlap`, and are dated."""

import json
import re
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from logging_in import logging_in
from mqtt import DENIED, Client, login_error

from broker.credentials.fleets import member_passwords

SUPPLIED = "a person thought of this"
OVERLAPPING = "sentient_monitor_prod"


@pytest.fixture(scope="module", autouse=True)
def restored_stack_file(site):
    """Restore the stack file and apply it at the end: later tests expect it."""
    before = site.stack_file.read_text()
    yield
    site.stack_file.write_text(before)
    site.up()


@pytest.fixture(scope="module")
def issued():
    """The logins of ``OVERLAPPING``, by generation."""
    return {}


def current_login(site, user):
    """Return user name and password of *user*; test_08_secrets.py searches for the password."""
    login = site.outputs()["credentials"][user]
    site.former_passwords.append(login["password"])
    return login["username"], login["password"]


def rotation_times(site):
    return {name: values["rotatedAt"] for name, values in site.outputs()["rotations"].items()}


def set_user(name, **values):
    return lambda config: config["users"][name].update(values)


def test_preview_names_the_users_whom_a_rotation_disconnects(site):
    with site.edited(set_user("admin", generation=2)):
        output = " ".join(site.preview().output.split())

    assert "A reload, no restart. Disconnected at once: clients of admin. Nobody else." in output


def test_log_types_are_reloaded(site):
    """The stack file is restored without an `up`: the next test's `up` applies that, too."""
    before = site.inspect()["State"]["StartedAt"]

    def change(config):
        config["broker"]["logging"] = {"types": ["error", "warning", "notice", "subscribe"]}

    with site.client("admin") as unaffected:
        with site.edited(change):
            assert "replace" not in site.up().output
            unaffected.subscribe("paragon/of-the-log/#")
        log = Path(site.settings.broker.folders.log) / "mosquitto.log"
        assert "paragon/of-the-log/#" in log.read_text()
        assert unaffected.disconnected is None
    assert site.inspect()["State"]["StartedAt"] == before


def test_rotation_with_overlap_refuses_no_login_at_any_moment(site, issued):
    port = site.ports[0]
    started = site.inspect()["State"]["StartedAt"]
    first = current_login(site, OVERLAPPING)
    with Client(port, *first) as consumer:
        site.edit(set_user(OVERLAPPING, rotation="overlap"))
        site.up()
        assert current_login(site, OVERLAPPING) == first

        site.edit(set_user(OVERLAPPING, generation=2))
        output = " ".join(site.preview().output.split())
        assert "A reload, no restart. Nobody is disconnected." in output
        with logging_in(port, *first) as logins:
            site.up()
        assert not logins.refused
        assert len(logins.accepted) > 10
        second = current_login(site, OVERLAPPING)
        assert second[0] == f"{OVERLAPPING}-green"
        assert second[1] != first[1]
        assert consumer.disconnected is None
    # Until the next rotation both logins are valid, with the same rights.
    for login in (first, second, first):
        with Client(port, *login) as client:
            assert client.publish("paragon/room/status/x", "either") != DENIED

    with Client(port, *first) as old_client, Client(port, *second) as new_client:
        site.edit(set_user(OVERLAPPING, generation=3))
        output = " ".join(site.preview().output.split())
        assert f"Disconnected at once: clients of {OVERLAPPING}. Nobody else." in output
        with logging_in(port, *second) as logins:
            site.up()
        assert not logins.refused
        assert old_client.is_dropped()
        assert new_client.disconnected is None
    assert login_error(port, *first) == "Not authorized"
    third = current_login(site, OVERLAPPING)
    assert third[0] == OVERLAPPING
    Client(port, *third).close()
    issued.update({2: second, 3: third})
    # Every `up` of this test was a reload, also the one that restored the log types.
    assert site.inspect()["State"]["StartedAt"] == started


def test_revoked_previous_login_is_refused_and_only_the_rotated_user_gets_a_new_date(site, issued):
    """One `up` for both: ``previous: revoke`` is no rotation, and so has no date."""
    port, before = site.ports[0], rotation_times(site)
    Client(port, *issued[2]).close()
    current_login(site, "admin")
    site.edit(set_user(OVERLAPPING, previous="revoke"))
    site.edit(set_user("admin", generation=2))

    site.up()

    assert login_error(port, *issued[2]) == "Not authorized"
    Client(port, *issued[3]).close()
    assert site.outputs()["rotations"][OVERLAPPING] == {
        "generation": "3",
        "rotatedAt": before[OVERLAPPING],
        "slot": "blue",
        "login": OVERLAPPING,
    }
    after = rotation_times(site)
    assert {name for name in after if after[name] != before[name]} == {"admin"}
    assert datetime.fromisoformat(after["admin"]) > datetime.fromisoformat(before["admin"])


def test_preview_warns_of_old_passwords_only(site):
    def change(config):
        config["broker"]["passwords"] = {"maxAgeDays": 1}

    with site.edited(change), aged(site, "admin"):
        output = " ".join(site.preview().output.split())
    # The other passwords were generated during this run.
    (warning,) = set(
        re.findall(
            r"warning: The password of .*? days old; .*? Fix: .*?brokerctl rotate \S+", output
        )
    )
    assert warning.startswith("warning: The password of admin is ")
    assert warning.endswith(
        "broker.passwords.maxAgeDays is 1. Fix: Rotate it: ./brokerctl rotate admin."
    )


@contextmanager
def aged(site, user):
    """Have the state say that the password of *user* was generated in 2020."""
    before = site.stack("export", quiet=True).output
    state = json.loads(before)
    (times,) = [
        resource
        for resource in state["deployment"]["resources"]
        if resource["urn"].endswith("::rotations-times")
    ]
    times["outputs"]["stdout"], count = re.subn(
        rf"(?m)^({user} \S+) \S+$", r"\1 2020-01-01T00:00:00Z", times["outputs"]["stdout"]
    )
    assert count == 1
    site.stack("import", quiet=True, stdin=json.dumps(state))
    try:
        yield
    finally:
        site.stack("import", quiet=True, stdin=before)


def test_supplied_password_is_used_and_a_short_or_missing_one_is_an_error(site):
    """Its `up` also declares the fleet of the next test."""

    def supply(user, text):
        words = ("config", "set", "--stack", "e2e", "--secret", "--path")
        site.pulumi(*words, f"sentient-mqtt:passwords.{user}", text, quiet=True)

    lamp = {"read": ["a"], "password": "supplied"}
    site.edit(lambda config: config["users"].update(lamp=lamp))
    supply("lamp", "quite short")
    with site.edited(lambda config: config["users"].update(door=lamp)):
        errors = site.preview(fails=True).diagnostics
    assert "sentient-mqtt:users.door.password: 'supplied': the secret is missing" in errors
    assert "sentient-mqtt:passwords.lamp: has 11 characters and must have at least 16" in errors
    assert "quite short" not in errors
    supply("lamp", SUPPLIED)
    assert SUPPLIED not in site.stack_file.read_text()
    fleet = {"count": 3, "prefix": "teensy-", "write": ["paragon/%u/sensors/#"]}
    site.edit(lambda config: config.update(fleets={"teensy": fleet}))
    assert SUPPLIED not in site.up("--diff").output

    Client(site.ports[0], "lamp", SUPPLIED).close()
    assert site.outputs()["credentials"]["lamp"]["password"] == SUPPLIED
    # It has blanks, which sh and Docker read differently in an env file.
    assert "lamp" not in site.outputs()["envFiles"]
    assert login_error(site.ports[0], "lamp", "quite short") == "Not authorized"
    passwd = Path(site.settings.broker.folders.config, "mosquitto_passwd").read_text()
    (line,) = [line for line in passwd.splitlines() if line.startswith("lamp:")]
    assert line.startswith("lamp:$7$210000$")
    assert SUPPLIED.encode() not in b"".join(
        path.read_bytes() for path in site.state.rglob("*") if path.is_file()
    )


def test_single_members_of_a_fleet_are_rotated_and_revoked(site):
    def passwords():
        seeds = site.outputs()["fleetSeeds"]
        return member_passwords(site.settings.fleets, seeds, 32)

    before = passwords()
    overrides = {"teensy-002": {"generation": 2}, "teensy-003": {"revoked": True}}
    port = site.ports[0]
    with (
        Client(port, "teensy-001", before["teensy-001"]) as unaffected,
        Client(port, "teensy-002", before["teensy-002"]) as rotated,
        Client(port, "teensy-003", before["teensy-003"]) as revoked,
    ):
        site.edit(lambda config: config["fleets"]["teensy"].update(overrides=overrides))
        site.up()
        assert rotated.is_dropped()
        assert revoked.is_dropped()
        assert unaffected.disconnected is None
    after = passwords()
    assert after.keys() == {"teensy-001", "teensy-002"}
    Client(port, "teensy-002", after["teensy-002"]).close()
    for name in ("teensy-002", "teensy-003"):
        assert login_error(port, name, before[name]) == "Not authorized"
    site.former_passwords += [*before.values(), *after.values()]


def test_second_up_after_the_rotations_changes_nothing(site):
    site.up("--expect-no-changes")
