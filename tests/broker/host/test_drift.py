"""A difference on the host raises the revision of its component, and is a warning."""

import pytest
from declared import settings_of, smallest

from broker.findings import one_line
from broker.host import drift
from broker.host.facts import HostFacts
from broker.settings.stack_settings import Settings

NAME = "mosquitto-test"
ACL = "/srv/mqtt/config/mosquitto.acl"
UP = {("known", "admin"): "1 32"}


def facts(*lines, up=True):
    parsed = HostFacts.parse("\n".join(lines))
    return HostFacts(facts={**parsed.facts, **(UP if up else {})})


@pytest.mark.parametrize(
    ("lines", "revisions"),
    [
        ((), ("1", "1", "1")),
        (
            ("applied folders=1", "applied configuration=4", "applied logrotate=2"),
            ("1", "4", "2"),
        ),
        (
            (
                *("applied folders=1", "applied configuration=4", "applied logrotate=2"),
                f"differs configuration:{ACL}=was emptied (changed X, owner root)",
            ),
            ("1", "5", "2"),
        ),
        # The broker reads its files through its folder.
        (
            (
                *("applied folders=1", "applied configuration=4", "applied logrotate=2"),
                "differs folders:/srv/mqtt/config=has mode 777, not 750",
            ),
            ("2", "5", "2"),
        ),
        # The host's clock differs from every number before.
        (
            ("applied folders=never 1764110000", "applied configuration=4", "applied logrotate=2"),
            ("1764110000", "4", "2"),
        ),
    ],
)
def test_revision_rises_for_the_changed_component_and_its_followers(lines, revisions):
    found = facts(*lines)
    assert revisions == tuple(
        drift.revision(name, found, NAME)
        for name in (drift.FOLDERS, drift.CONFIGURATION, drift.LOGROTATE)
    )


def test_first_up_has_revision_1():
    assert drift.revision(drift.FOLDERS, facts("applied folders=never 17", up=False), NAME) == "1"


def test_reason_outside_the_record_raises_the_revision():
    assert drift.revision(drift.FIREWALL, facts("applied firewall=3"), NAME, changed=True) == "4"


@pytest.mark.parametrize(("seen", "warned"), [("0" * 64, False), ("1" * 64, True), ("", False)])
def test_file_in_a_folder_of_another_user_is_compared_by_its_digest(seen, warned):
    component = drift.env_file("/opt/app/.env")
    lines = [
        f"applied {component}=1",
        f"shared {component}:/opt/app/.env={'0' * 64} changed X, owner app",
        *([f"digest /opt/app/.env={seen}"] if seen else []),
    ]

    warnings = list(one_line(drift.drift_warnings(facts(*lines), NAME)))

    assert (
        warnings
        == [
            "Changed on the host since the last `pulumi up`: /opt/app/.env has other content "
            "(changed X, owner app). This `pulumi up` applies the declared state again."
        ]
        * warned
    )
    assert drift.revision(component, facts(*lines), NAME) == ("2" if warned else "1")


def test_many_differences_are_counted():
    lines = [f"differs configuration:/f{number}=was removed" for number in range(25)]

    warnings = drift.drift_warnings(facts(*lines), NAME)

    assert len(warnings) == drift.MOST + 1
    assert warnings[-1].message == "5 more objects changed on the host"
    assert len(drift.drift_lines(facts(*lines), NAME)) == 25


def test_lost_records_are_a_warning_only_after_an_up():
    lost = "applied folders=never 17"

    (warning,) = drift.drift_warnings(facts(lost), NAME)
    assert "no record of what the last `pulumi up` applied" in warning.message
    assert "folders" in warning.message
    assert drift.drift_warnings(facts(lost, up=False), NAME) == []


def test_host_that_was_not_asked_has_no_drift():
    unasked = HostFacts(facts=facts("differs folders:/x=was removed").facts, looked_at=False)

    assert drift.drift_warnings(unasked, NAME) == []


def test_each_kind_of_object_has_a_component():
    prod = set(drift.components(settings_of("prod").broker))
    least = Settings.parse(smallest()).broker

    assert set(drift.components(least)) == {
        *("owner", "deployed", "folders", "logrotate", "configuration", "firewall", "container")
    }
    assert prod > set(drift.components(least))
    assert drift.env_file("/opt/sentient/.env.production") in prod
