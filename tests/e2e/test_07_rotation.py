"""A rotation is noticed by whom it concerns, by nobody where two logins overlap, and is dated."""

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
def as_it_was(site):
    """Later chapters find the stack file that they know."""
    before = site.stack_file.read_text()
    yield
    site.stack_file.write_text(before)
    site.up()


def given_out(site, user):
    login = site.outputs()["credentials"][user]
    site.former_passwords.append(login["password"])
    return login["username"], login["password"]


def times(site):
    return {name: each["rotatedAt"] for name, each in site.outputs()["rotations"].items()}


def set_user(name, **values):
    return lambda config: config["users"][name].update(values)


def test_a_preview_names_those_whom_a_rotation_disconnects(site):
    assert "Disconnected at once" not in site.preview().output
    with site.edited(set_user("admin", generation=2)):
        shown = " ".join(site.preview().output.split())

    assert "A reload, no restart. Disconnected at once: clients of admin. Nobody else." in shown


def test_a_preview_says_that_another_container_is_everybody(site):
    def change(config):
        config["broker"]["limits"]["maxQueuedMessages"] = 77

    with site.edited(change):
        shown = " ".join(site.preview().output.split())

    assert f"Container {site.container} is replaced: every client is disconnected once" in shown
    assert "docker:index:Container broker replace" in shown


def test_more_of_the_log_is_a_reload(site):
    before = site.inspect()["State"]["StartedAt"]

    def change(config):
        config["broker"]["logging"] = {"types": ["error", "warning", "notice", "subscribe"]}

    with site.client("admin") as unaffected:
        with site.edited(change):
            assert "replace" not in site.preview().output
            site.up()
            unaffected.subscribe("paragon/of-the-log/#")
        log = Path(site.settings.broker.folders.log) / "mosquitto.log"
        assert "paragon/of-the-log/#" in log.read_text()
        site.up()
        assert unaffected.disconnected is None
    assert site.inspect()["State"]["StartedAt"] == before


def test_with_an_overlap_nobody_is_refused_at_any_moment(site):
    port = site.ports[0]
    first = given_out(site, OVERLAPPING)
    with Client(port, *first) as consumer:
        site.edit(set_user(OVERLAPPING, rotation="overlap"))
        site.up()
        assert given_out(site, OVERLAPPING) == first

        site.edit(set_user(OVERLAPPING, generation=2))
        shown = " ".join(site.preview().output.split())
        assert "A reload, no restart. Nobody is disconnected." in shown
        with logging_in(port, *first) as earlier:
            site.up()
        assert not earlier.refused
        assert len(earlier.let_in) > 10
        second = given_out(site, OVERLAPPING)
        assert second[0] == f"{OVERLAPPING}-green"
        assert second[1] != first[1]
        assert consumer.disconnected is None
    # Consumers move in between, each when it can: both logins are in, with the same rights.
    for login in (first, second, first):
        with Client(port, *login) as client:
            assert client.publish("paragon/room/status/x", "either") != DENIED

    with Client(port, *first) as late, Client(port, *second) as moved:
        site.edit(set_user(OVERLAPPING, generation=3))
        shown = " ".join(site.preview().output.split())
        assert f"Disconnected at once: clients of {OVERLAPPING}. Nobody else." in shown
        with logging_in(port, *second) as earlier:
            site.up()
        assert not earlier.refused
        assert late.is_dropped()
        assert moved.disconnected is None
    assert login_error(port, *first) == "Not authorized"
    third = given_out(site, OVERLAPPING)
    assert third[0] == OVERLAPPING
    Client(port, *third).close()

    site.edit(set_user(OVERLAPPING, previous="revoke"))
    site.up()
    assert login_error(port, *second) == "Not authorized"
    Client(port, *third).close()
    assert site.outputs()["rotations"][OVERLAPPING] | {"rotatedAt": ""} == {
        "generation": "3",
        "rotatedAt": "",
        "slot": "blue",
        "login": OVERLAPPING,
    }


def test_a_rotation_is_dated_and_the_others_keep_their_date(site):
    before = times(site)
    site.edit(set_user("admin", generation=2))
    given_out(site, "admin")

    site.up()

    after = times(site)
    assert {name for name in after if after[name] != before[name]} == {"admin"}
    assert datetime.fromisoformat(after["admin"]) > datetime.fromisoformat(before["admin"])


def test_an_old_password_is_worth_a_warning(site):
    def change(config):
        config["broker"]["passwords"] = {"maxAgeDays": 1}

    with site.edited(change):
        assert "days old" not in site.preview().output
        with aged(site, "admin"):
            shown = " ".join(site.preview().output.split())
    (warning,) = set(
        re.findall(
            r"warning: The password of .*? days old; .*? Fix: .*?brokerctl rotate \S+", shown
        )
    )
    assert warning.startswith("warning: The password of admin is ")
    assert warning.endswith(
        "broker.passwords.maxAgeDays is 1. Fix: Rotate it: ./brokerctl rotate admin."
    )


@contextmanager
def aged(site, user):
    """The state says that the password of *user* was drawn years ago."""
    before = site.stack("export", quiet=True).output
    state = json.loads(before)
    (times,) = [
        each
        for each in state["deployment"]["resources"]
        if each["urn"].endswith("::rotations-times")
    ]
    times["outputs"]["stdout"], count = re.subn(
        rf"(?m)^({user} \S+) \S+$", r"\1 2020-01-01T00:00:00Z", times["outputs"]["stdout"]
    )
    assert count == 1
    site.stack("import", quiet=True, given=json.dumps(state))
    try:
        yield
    finally:
        site.stack("import", quiet=True, given=before)


def test_a_password_that_a_person_chose_is_taken_and_one_that_is_short_is_not(site):
    site.edit(lambda config: config["users"].update(lamp={"read": ["a"], "password": "supplied"}))
    key = "sentient-mqtt:passwords.lamp"
    missing = site.preview(fails=True).diagnostics
    assert "sentient-mqtt:users.lamp.password: 'supplied': nothing is there" in missing

    def supply(text):
        words = ("config", "set", "--stack", "e2e", "--secret", "--path", key, text)
        site.pulumi(*words, quiet=True)

    supply("quite short")
    refused = site.preview(fails=True).diagnostics
    assert "sentient-mqtt:passwords.lamp: has 11 characters and must have 16 at least" in refused
    assert "quite short" not in refused
    supply(SUPPLIED)
    assert SUPPLIED not in site.stack_file.read_text()
    assert SUPPLIED not in site.preview("--diff").output
    site.up()

    Client(site.ports[0], "lamp", SUPPLIED).close()
    assert site.outputs()["credentials"]["lamp"]["password"] == SUPPLIED
    # It has blanks: no env file is one that sh reads as Docker does.
    assert "lamp" not in site.outputs()["envFiles"]
    assert login_error(site.ports[0], "lamp", "quite short") == "Not authorized"
    passwd = Path(site.settings.broker.folders.config, "mosquitto_passwd").read_text()
    (line,) = [each for each in passwd.splitlines() if each.startswith("lamp:")]
    assert line.startswith("lamp:$7$210000$")
    assert SUPPLIED.encode() not in b"".join(
        each.read_bytes() for each in site.state.rglob("*") if each.is_file()
    )


def test_a_member_of_a_fleet_is_rotated_or_revoked_alone(site):
    def passwords():
        seeds = site.outputs()["fleetSeeds"]
        return member_passwords(site.settings.fleets, seeds, 32)

    fleet = {"count": 3, "prefix": "teensy-", "write": ["paragon/%u/sensors/#"]}
    site.edit(lambda config: config.update(fleets={"teensy": fleet}))
    site.up()
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


def test_nothing_of_this_is_a_change_when_nothing_changed(site):
    site.up("--expect-no-changes")
