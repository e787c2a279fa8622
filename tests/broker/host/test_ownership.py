"""A state changes a broker only if the host says that this state, as it is, made the broker."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from declared import smallest

from broker.findings import of_severity
from broker.host.facts import HostFacts
from broker.host.last_deployment import read_state_record
from broker.host.ownership import (
    Deployment,
    StateRecord,
    accepted_stacks,
    configuration_digest,
    next_deployment,
    ownership_findings,
    render_owner,
)
from broker.settings.stack_settings import Settings

NAME = "mosquitto-test"
SETTINGS = Settings.parse(
    smallest(
        backups={"folder": "/srv/backups"}, envFiles=[{"path": "/srv/app/.env", "user": "sensor"}]
    )
)
FIRST, SECOND, THIRD = (f"2026-11-2{day}T10:00:00Z" for day in (1, 2, 3))
NOW = datetime(2026, 11, 27, 18, 50, tzinfo=UTC)
LABELLED = {("container", NAME): "prod", ("state", NAME): "running"}


def deployment(time=SECOND, previous=FIRST, expected="", configuration="c1"):
    return Deployment(
        time=time,
        previous=previous,
        expected=expected or f"state-1 {previous}",
        configuration=configuration,
        writer="root on desk (HOME=/root, state: file:///srv/state)",
    )


def record(container=NAME, state="state-1", *, completed=True, settings=SETTINGS, **made):
    """Return the facts of the host after a deployment."""
    made = deployment(**made)
    lines = render_owner(settings.broker, "prod", state, made).splitlines()
    lines = [*lines[1:], f"deployed {made.time if completed else made.previous}"]
    return {("owner", f"{container}:{number}"): line for number, line in enumerate(lines)}


def state_at(time=SECOND, state="state-1", configuration="c1", **more):
    made = {NAME: deployment(time, configuration=configuration)} if time else {}
    brokers = frozenset({NAME}) if time else frozenset()
    return StateRecord(**{
        "id": state, "deployments": made, "brokers": brokers, "empty": False,
        "passwords": frozenset({"sensor"}), **more,
    })  # fmt: skip


EMPTY = StateRecord()
VERSION_0_1 = StateRecord(brokers=frozenset({NAME}), empty=False)


def findings(state, facts, *, take_over=False, broker=SETTINGS.broker, stack="prod"):
    return ownership_findings(
        broker, stack, state, HostFacts(facts=facts), take_over=take_over, generated=["sensor"]
    )


ACCEPTED = {
    "a new host": (EMPTY, {}),
    "a new host, for a state that was elsewhere": (state_at(), {}),
    "the same deployment": (state_at(), {**record(), **LABELLED}),
    "the same deployment, container removed by hand": (state_at(), record()),
    "the record was deleted": (state_at(), LABELLED),
    "version 0.1": (VERSION_0_1, LABELLED),
    "version 0.1, killed before the container was in the state": (
        StateRecord(empty=False, passwords=frozenset({"sensor"})),
        LABELLED,
    ),
    "first up of this version over 0.1, killed before the record": (
        replace(VERSION_0_1, id="state-1"),
        LABELLED,
    ),
    "first up, killed after the record": (
        state_at(""),
        record(time=FIRST, previous="-", completed=False),
    ),
    "killed after the record was written, before the state was": (
        state_at(FIRST),
        record(completed=False),
    ),
    "failed after the record was written": (state_at(), record(completed=False)),
    "killed twice in that moment": (
        state_at(FIRST),
        record(time=THIRD, previous=FIRST, expected=f"state-1 {SECOND}", completed=False),
    ),
    "the host's folder was restored from a backup": (state_at(THIRD), record()),
    "version 0.1 after a stack rename": (VERSION_0_1, {("container", NAME): "old-name"}),
    "a container made by hand, which requirements.py refuses": (
        EMPTY,
        {("container", NAME): "made by hand"},
    ),
}


@pytest.mark.parametrize(("state", "facts"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(state, facts):
    assert findings(state, facts) == []


OTHER = "another Pulumi state manages this broker"
OLDER = "this state is an older copy of the one that manages this broker"
UNKNOWN = "a broker of this name exists already, and this state did not make it"
REFUSED = {
    "an empty state": (EMPTY, {**record(), **LABELLED}, OTHER),
    "an empty state, container removed by hand": (EMPTY, record(), OTHER),
    "an empty state, broker of version 0.1": (EMPTY, LABELLED, UNKNOWN),
    "another stack's broker of version 0.1": (EMPTY, {("container", NAME): "dev"}, UNKNOWN),
    "a state with passwords only, another stack's broker of version 0.1": (
        StateRecord(empty=False),
        {("container", NAME): "dev"},
        UNKNOWN,
    ),
    "another state": (state_at(state="state-2"), record(), OTHER),
    "a copy from before this version": (VERSION_0_1, {**record(), **LABELLED}, OTHER),
    "a state after down, another one's broker without a record": (
        state_at(""),
        LABELLED,
        UNKNOWN,
    ),
    "an older copy": (state_at(FIRST), record(), OLDER),
    "a copy from before the first record": (state_at(""), record(), OLDER),
    "a copy of two deployments ago, while one is under way": (
        state_at(FIRST),
        record(time=THIRD, previous=SECOND, completed=False),
        OLDER,
    ),
    "the other of two copies, after one went on from a killed run": (
        state_at(SECOND),
        record(time=THIRD, previous=FIRST, expected=f"state-1 {SECOND}", completed=False),
        OLDER,
    ),
}


@pytest.mark.parametrize(("state", "facts", "what"), REFUSED.values(), ids=REFUSED)
def test_refused(state, facts, what):
    (finding,) = findings(state, facts)

    assert finding.severity == "error"
    assert finding.path == "sentient-mqtt:broker.container"
    assert finding.message.startswith(f"'{NAME}': {what}. ")


@pytest.mark.parametrize(("state", "facts", "_"), REFUSED.values(), ids=REFUSED)
def test_a_take_over_accepts_what_is_refused_and_says_so(state, facts, _):
    (finding,) = findings(state, facts, take_over=True)

    assert finding.severity == "warning"
    assert "this state takes the broker over from stack" in finding.message
    lost = "New passwords are generated for sensor" in finding.message
    assert lost == ("sensor" not in state.passwords)


def test_the_refusal_names_both_and_the_ways_out():
    (finding,) = findings(state_at(FIRST, state="state-2"), record())

    on_host = (
        f"On the host: stack 'prod', state state-1, deployed last: {SECOND}, by root on desk "
        "(HOME=/root, state: file:///srv/state).\n"
    )
    assert on_host in finding.message
    assert f"This state: stack 'prod', state state-2, deployed last: {FIRST}" in finding.message
    for way_out in ("pulumi stack import", "brokerctl adopt", "brokerctl up --take-over"):
        assert way_out in finding.fix


def test_a_deployment_under_way_is_named_as_such():
    (finding,) = findings(EMPTY, record(completed=False))

    assert "begun and not completed: " in finding.message


def test_after_a_renamed_container_the_former_record_counts():
    """The state deployed `old` last; the host may know of a later deployment of it."""
    state = state_at(FIRST, deployments={"old": deployment(FIRST)}, brokers=frozenset({"old"}))

    assert findings(state, record("old", time=FIRST, previous="-")) == []
    (finding,) = findings(state, record("old"))
    assert finding.message.startswith(f"'old': {OLDER}")


class TestStacks:
    """The stacks whose env files and container may be overwritten."""

    def accepted(self, state, facts, *, take_over=False):
        return accepted_stacks(NAME, "new", state, HostFacts(facts=facts), take_over=take_over)

    def test_a_stack_rename_keeps_its_former_name(self):
        assert self.accepted(state_at(), {**record(), **LABELLED}) == {"new", "prod"}
        assert self.accepted(VERSION_0_1, LABELLED) == {"new", "prod"}

    def test_another_state_has_no_claim_to_them(self):
        assert self.accepted(state_at(state="state-2"), {**record(), **LABELLED}) == {"new"}
        assert self.accepted(EMPTY, {**record(), **LABELLED}) == {"new"}

    def test_a_take_over_has(self):
        assert self.accepted(EMPTY, record(), take_over=True) == {"new", "prod"}
        assert self.accepted(EMPTY, LABELLED, take_over=True) == {"new", "prod"}

    def test_a_container_made_by_hand_belongs_to_no_stack(self):
        by_hand = {("container", NAME): "made by hand"}

        assert self.accepted(EMPTY, by_hand, take_over=True) == {"new"}


def other_broker(state="state-2", container="other", **broker):
    declared = Settings.parse(smallest(container=container, **broker))
    return record(container, state, settings=declared)


APART = {"config": "/srv/b/config", "data": "/srv/b/data", "log": "/srv/b/log"}
ON_ANOTHER_PORT = {"mqtt": {"port": 2883, "allowFrom": ["192.168.0.0/16"]}}
CONTAINER = {("broker", "other"): "prod;2883;/srv/b/config,/srv/b/data,/srv/b/log"}


class TestOtherBrokers:
    """Folders, env files and ports of other brokers on the host."""

    def paths(self, facts, state=EMPTY, **more):
        return [finding.path.partition("broker.")[2] for finding in findings(state, facts, **more)]

    def test_a_broker_apart_is_no_conflict(self):
        assert self.paths(other_broker(folders=APART)) == []
        assert self.paths(CONTAINER) == []

    @pytest.mark.parametrize("mine", ["config", "data", "log"])
    @pytest.mark.parametrize("theirs", ["config", "data", "log"])
    @pytest.mark.parametrize("nested", ["same", "in theirs", "above theirs"])
    def test_a_shared_or_nested_folder_is_an_error(self, mine, theirs, nested):
        path = {"same": "", "in theirs": "/below", "above theirs": "/../"}[nested]
        declared = f"/srv/shared/{theirs}"
        own = f"{declared}{path}" if path != "/../" else "/srv/shared"
        folders = {"config": "/srv/a/config", "data": "/srv/a/data", "log": "/srv/a/log"}
        broker = Settings.parse(smallest(folders={**folders, mine: own})).broker
        recorded = other_broker(folders={**APART, theirs: declared})
        running = {("broker", "other"): f"prod;2883;{declared}"}

        assert self.paths(recorded, broker=broker) == [f"folders.{mine}"]
        assert self.paths(running, broker=broker) == [f"folders.{mine}"]

    def test_the_stopped_copy_of_this_broker_is_no_conflict(self):
        folder = Settings.parse(smallest()).broker.folders.config
        for name, conflicts in (("mosquitto-test-former", []), ("x-former", ["folders.config"])):
            assert self.paths({("broker", name): f"prod;;{folder}"}) == conflicts

    def test_names_that_only_begin_alike_are_no_conflict(self):
        assert self.paths(other_broker(folders={**APART, "data": "/srv/mqtt/data2"})) == []

    def test_the_error_names_both_folders_and_the_other_broker(self):
        facts = other_broker(folders={**APART, "data": "/srv/mqtt/config/data"})

        (finding,) = findings(EMPTY, facts)

        assert finding.path == "sentient-mqtt:broker.folders.config"
        assert "'/srv/mqtt/config': broker 'other' on this host uses '/srv/mqtt/config/data' " in (
            finding.message
        )
        assert "state state-2" in finding.message
        assert "rm -r /etc/sentient-mqtt/other" in finding.fix

    def test_a_shared_env_file_is_an_error(self):
        files = [{"path": "/srv/app/.env", "user": "sensor"}]

        assert self.paths(other_broker(folders=APART, envFiles=files)) == ["envFiles[0].path"]

    def test_archives_in_the_folder_of_another_broker_are_an_error(self):
        folders = {**APART, "data": "/srv/backups"}

        assert self.paths(other_broker(folders=folders)) == ["backups.folder"]

    def test_one_folder_for_the_archives_of_several_brokers_is_no_conflict(self):
        """They have the container's name, and a lock in the folder (host/lib/archive.sh)."""
        assert self.paths(other_broker(folders=APART, backups={"folder": "/srv/backups"})) == []

    def test_a_port_of_a_stopped_broker_is_an_error(self):
        facts = {("broker", "other"): "prod;1883 9001;/srv/b/config"}

        assert self.paths(facts) == ["listeners.mqtt.port"]

    def test_a_port_in_use_is_reported_once(self):
        """By requirements.py."""
        facts = {("broker", "other"): "prod;1883;/srv/b", ("port", "1883"): "container other"}

        assert self.paths(facts) == []

    def test_a_record_without_a_container_reserves_no_port(self):
        assert self.paths(other_broker(folders=APART)) == []
        assert self.paths({**other_broker(folders=APART), **CONTAINER}) == ["listeners.mqtt.port"]

    def test_another_broker_of_this_state_is_no_conflict(self):
        """It is this broker before `broker.container` was changed."""
        same = other_broker(state="state-1")
        assert self.paths(same, state_at("")) == []
        version_0_1 = replace(VERSION_0_1, brokers=frozenset({"other"}))
        assert self.paths({("broker", "other"): "prod;1883;/srv/mqtt/data"}, version_0_1) == []

    def test_a_take_over_does_not_cover_them(self):
        facts = {**record(), **other_broker(folders={**APART, "log": "/srv/mqtt/log"})}

        severities = [finding.severity for finding in findings(EMPTY, facts, take_over=True)]
        assert severities == ["warning", "error"]


class TestNextDeployment:
    """A deployment is recorded only if something changed."""

    def following(self, state, facts, configuration="c1", *, looked_at=True, now=NOW):
        return next_deployment(
            NAME,
            state,
            HostFacts(facts=facts, looked_at=looked_at),
            configuration=configuration,
            writer="somebody",
            now=now,
        )

    def test_an_unchanged_configuration_repeats_the_last_one(self):
        assert self.following(state_at(), record()) == deployment()
        assert self.following(state_at(), record(completed=False)) == deployment()

    def test_a_changed_configuration_is_a_new_one(self):
        made = self.following(state_at(), record(), "c2")

        assert made.time == "2026-11-27T18:50:00Z"
        assert (made.previous, made.expected) == (SECOND, f"state-1 {SECOND}")
        assert made.writer == "somebody"

    def test_the_first_one_expects_no_record(self):
        made = self.following(EMPTY, {})

        assert (made.previous, made.expected) == ("-", "- -")

    def test_a_take_over_expects_the_record_of_the_other_state(self):
        made = self.following(EMPTY, record(state="state-2"))

        assert (made.previous, made.expected) == ("-", f"state-2 {SECOND}")

    def test_a_record_that_was_lost_is_written_again_as_it_was(self):
        """By a new revision (drift.py)."""
        assert self.following(state_at(), {}) == deployment()

    def test_a_record_that_was_restored_from_a_backup_is_replaced(self):
        made = self.following(state_at(), record(time=FIRST, previous="-"))

        assert made.time == "2026-11-27T18:50:00Z"
        assert made.expected == f"state-1 {FIRST}"

    def test_a_killed_run_is_followed_by_a_later_one(self):
        """The record may be another copy's: the times must differ."""
        made = self.following(state_at(FIRST), record(completed=False))

        assert made.time not in (FIRST, SECOND)
        assert (made.previous, made.expected) == (FIRST, f"state-1 {SECOND}")

    @pytest.mark.parametrize("clock", ["2020-01-01T00:00:00+00:00", f"{SECOND[:-1]}+00:00"])
    def test_a_clock_that_is_behind_makes_no_earlier_time(self, clock):
        made = self.following(state_at(), record(), "c2", now=datetime.fromisoformat(clock))

        assert made.time == "2026-11-22T10:00:01Z"

    def test_a_record_with_an_edited_time_does_not_matter(self):
        facts = {**record(), ("owner", f"{NAME}:1"): "deployment yesterday"}

        assert self.following(state_at(), facts, "c2").time == "2026-11-27T18:50:00Z"

    def test_a_preview_without_the_host_repeats_the_last_one(self):
        assert self.following(state_at(), {}, looked_at=False) == deployment()
        assert self.following(state_at(), {}, "c2", looked_at=False) != deployment()


def test_the_digest_changes_with_every_setting_and_the_stack():
    other = Settings.parse(smallest(health={"interval": 7}))

    digests = {
        configuration_digest(SETTINGS, "prod"),
        configuration_digest(SETTINGS, "prod", "image"),
        configuration_digest(SETTINGS, "dev"),
        configuration_digest(other, "prod"),
    }
    assert len(digests) == 4
    assert configuration_digest(SETTINGS, "prod") == configuration_digest(SETTINGS, "prod")


class TestStateRecord:
    """What is read from a state."""

    def state(self, **resources):
        head = "urn:pulumi:prod::sentient-mqtt::"
        return read_state_record(
            {
                f"{head}{kind}::{name}": {"type": kind, "outputs": outputs}
                for name, (kind, outputs) in resources.items()
            }
        )

    def test_nothing(self):
        assert read_state_record({}) == EMPTY

    def test_the_stack_a_provider_and_components_are_nothing(self):
        found = self.state(
            stack=("pulumi:pulumi:Stack", {}),
            host=("pulumi:providers:docker", {}),
            broker=("sentient-mqtt:index:BrokerContainer", {}),
        )

        assert found == EMPTY

    def test_everything(self):
        made = deployment()
        found = self.state(
            **{
                "identity-id": ("random:index/randomUuid:RandomUuid", {"result": "state-1"}),
                f"identity-owner-{NAME}": (
                    "command:local:Command",
                    {"environment": {**made.as_shown(), "PULUMI_CONFIG": ""}},
                ),
                "broker": ("docker:index/container:Container", {"name": NAME}),
                "credentials-sensor": ("random:index/randomPassword:RandomPassword", {}),
                "credentials.salts": ("random:index/randomPassword:RandomPassword", {}),
            }
        )

        assert found == state_at()
        assert not found.manages_nothing

    def test_passwords_alone_manage_nothing(self):
        found = self.state(
            **{"credentials-sensor": ("random:index/randomPassword:RandomPassword", {})}
        )

        assert found.manages_nothing
        assert not found.empty


def test_the_record_is_read_as_it_was_written():
    owner = HostFacts(facts=record()).owner(NAME)

    assert owner is not None
    assert (owner.state, owner.deployment, owner.previous) == ("state-1", SECOND, FIRST)
    assert owner.folders == ("/srv/mqtt/config", "/srv/mqtt/data", "/srv/mqtt/log")
    assert owner.archives == ("/srv/backups",)
    assert owner.files == ("/srv/app/.env",)
    assert owner.ports == ("1883",)
    assert owner.completed
    assert not of_severity("error", findings(state_at(), record()))
