"""The host's record of the state that manages a broker: no other state replaces or removes it."""

import pytest
from host_under_test import all_files, call, mode

from broker.host.facts import HostFacts

CLAIM, COMPLETE = "commands/claim_host.sh", "commands/complete_deployment.sh"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "etc"
    made.mkdir()
    return made


@pytest.fixture
def claim(host, folder):
    """Record *state* and *deployment*; the record is expected to say *expected*."""

    def run(state, deployment, expected="- -", *, action="apply"):
        record = f"# A comment.\nstate {state}\ndeployment {deployment}\nstack prod\n"
        return host.run(
            CLAIM,
            call("claim", state, deployment, *expected.split()),
            call("put", folder / "mqtt" / "owner", "0644", 0, 0, text=record),
            action=action,
        )

    return run


@pytest.fixture
def complete(host, folder):
    def run(state, deployment, *, action="apply"):
        return host.run(
            COMPLETE,
            call("complete", folder / "mqtt" / "owner", state, deployment),
            call("put", folder / "mqtt" / "deployed", "0644", 0, 0, text=f"{deployment}\n"),
            action=action,
        )

    return run


def succeeds(done):
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def refuses(done, message):
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_record_is_written_replaced_and_written_again(claim, folder):
    succeeds(claim("me", "t1"))
    assert mode(folder / "mqtt" / "owner") == ("0644", 0, 0)
    succeeds(claim("me", "t2", "me t1"))
    # A newer version of the script runs again with the input of the last deployment.
    succeeds(claim("me", "t2", "me t1"))

    assert "\ndeployment t2\n" in all_files(folder)["mqtt/owner"]


@pytest.mark.parametrize("expected", ["- -", "me t0", "you t1", "me t2"])
def test_a_record_that_has_changed_since_the_preview_stays(claim, folder, expected):
    succeeds(claim("me", "t1"))
    before = all_files(folder)

    refuses(claim("you", "t3", expected), "now: me t1. Nothing was changed")
    assert all_files(folder) == before


def test_a_take_over_replaces_the_record_that_it_expects(claim, folder):
    succeeds(claim("me", "t1"))

    succeeds(claim("you", "t3", "me t1"))
    assert "state you\n" in all_files(folder)["mqtt/owner"]
    refuses(claim("me", "t2", "me t1"), "now: you t3")


def test_a_lost_record_is_written_again(claim, folder):
    succeeds(claim("me", "t9", "me t8"))
    assert list(all_files(folder)) == ["mqtt/owner"]


def test_only_its_own_state_removes_a_record(claim, folder):
    succeeds(claim("me", "t1"))

    succeeds(claim("you", "t1", action="remove"))
    assert list(all_files(folder)) == ["mqtt/owner"]
    # After a deployment that was killed, the state has the time of the one before.
    succeeds(claim("me", "t0", action="remove"))
    assert all_files(folder) == {}
    succeeds(claim("me", "t1", action="remove"))


def test_a_deployment_is_completed_and_removed_by_the_state_that_began_it(claim, complete, folder):
    succeeds(claim("me", "t1"))

    succeeds(complete("me", "t1"))
    assert all_files(folder)["mqtt/deployed"] == "t1\n"
    succeeds(complete("me", "t1", action="remove"))
    assert list(all_files(folder)) == ["mqtt/owner"]
    succeeds(complete("me", "t1", action="remove"))


def test_a_deployment_is_not_completed_after_a_take_over(claim, complete, folder):
    succeeds(claim("me", "t1"))
    succeeds(claim("you", "t2", "me t1"))

    refuses(complete("me", "t1"), "another Pulumi state manages this broker: you, not me")
    assert list(all_files(folder)) == ["mqtt/owner"]


def test_a_deployment_is_not_completed_after_the_next_has_begun(claim, complete):
    succeeds(claim("me", "t1"))
    succeeds(claim("me", "t2", "me t1"))

    refuses(complete("me", "t1"), "another run of `up` has begun meanwhile: t2")


def test_another_state_does_not_begin_a_removal(claim, complete, folder):
    """`pulumi destroy` removes this resource first, and stops if that fails."""
    succeeds(claim("me", "t1"))
    succeeds(complete("me", "t1"))
    before = all_files(folder)

    refuses(complete("you", "t1", action="remove"), "me, not you. Nothing was removed")
    assert all_files(folder) == before


def test_an_older_copy_of_the_state_does_not_begin_a_removal(claim, complete, folder):
    for deployment, before in (("t1", "- -"), ("t2", "me t1")):
        succeeds(claim("me", deployment, before))
        succeeds(complete("me", deployment))
    files = all_files(folder)

    refuses(complete("me", "t1", action="remove"), "only that of t1: it is an older copy")
    assert all_files(folder) == files


def test_a_removal_begins_after_a_deployment_that_failed(claim, complete):
    succeeds(claim("me", "t1"))
    succeeds(complete("me", "t1"))
    succeeds(claim("me", "t2", "me t1"))

    succeeds(complete("me", "t1", action="remove"))


def test_a_removal_begins_if_the_record_is_gone(complete):
    succeeds(complete("me", "t1", action="remove"))


class TestProbe:
    """What the probe reports of the records."""

    @pytest.fixture
    def probe(self, host, folder):
        def ask():
            calls = (call("host", "unix:///test.sock"), call("owners", folder, "mqtt"))
            done = host.run("commands/probe.sh", *calls, action="look")
            assert done.stderr == ""
            return HostFacts.parse(done.stdout)

        return ask

    def test_no_record_and_no_broker(self, probe, folder):
        host_without_folder = probe()
        (folder / "mqtt").mkdir()

        assert host_without_folder.owners == host_without_folder.brokers == probe().owners == {}

    def test_a_record_and_whether_its_deployment_was_completed(self, probe, claim, complete):
        claim("me", "t1")
        begun = probe().owner("mqtt")
        complete("me", "t1")
        completed = probe().owner("mqtt")
        claim("me", "t2", "me t1")

        assert begun is not None
        assert completed is not None
        assert (begun.state, begun.deployment, begun.stack) == ("me", "t1", "prod")
        assert (begun.completed, completed.completed) == (False, True)
        assert not probe().owner("mqtt").completed

    def test_brokers_without_a_record(self, host, probe):
        host.docker(
            'case "$*" in *" ps --all "*) '
            'echo "broker mqtt=prod;1883 9001;/srv/a/config,/srv/a/data" ;; esac'
        )

        (broker,) = probe().brokers.values()
        assert (broker.container, broker.stack) == ("mqtt", "prod")
        assert broker.ports == ("1883", "9001")
        assert broker.folders == ("/srv/a/config", "/srv/a/data")
