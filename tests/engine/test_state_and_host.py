"""A preview stops if the state is not the one that made the broker on the host."""

from __future__ import annotations

import json

import pytest
from test_recorded_states import RECORDED, Project, make_recorded_project, recorded_settings

from broker.host.ownership import Deployment, render_owner

STACK = "dev"
FIRST, SECOND = "2026-11-21T10:00:00Z", "2026-11-22T10:00:00Z"
OTHER = "another Pulumi state manages this broker"
OLDER = "this state is an older copy of the one that manages this broker"
UNKNOWN = "a broker of this name exists already, and this state did not make it"


def deployment(time: str) -> Deployment:
    return Deployment(
        time=time, previous=FIRST, expected="- -", configuration="", writer="root on desk"
    )


def record(state: str, time: str = SECOND) -> str:
    """Return what the probe prints of a completed deployment."""
    broker = recorded_settings(STACK).broker
    lines = render_owner(broker, STACK, state, deployment(time)).splitlines()[1:]
    return "".join(
        f"owner {broker.container}:{number}={line}\n"
        for number, line in enumerate([*lines, f"deployed {time}"])
    )


def recorded_state() -> dict:
    return json.loads((RECORDED / f"{STACK}.json").read_text())


def state_of(identity: str, time: str) -> dict:
    """Return the recorded state as it is after a deployment."""
    state = recorded_state()
    resources = state["deployment"]["resources"]
    seed = next(one for one in resources if one["urn"].endswith("::credentials.salts"))
    command = next(one for one in resources if one["urn"].endswith("::configuration-files"))
    name = f"identity-owner-{recorded_settings(STACK).broker.container}"
    shown = {"environment": deployment(time).as_shown()}
    uuid = {"id": identity, "result": identity}
    kind = "random:index/randomUuid:RandomUuid"
    head = f"urn:pulumi:{STACK}::sentient-mqtt::"
    resources += [
        seed
        | {"urn": f"{head}{kind}::identity-id", "type": kind, "id": identity}
        | {"inputs": {}, "outputs": uuid, "protect": False},
        command
        | {"urn": f"{head}{command['type']}::{name}", "id": "of-the-record", "parent": ""}
        | {"inputs": shown, "outputs": shown, "dependencies": [], "propertyDependencies": {}},
    ]
    return state


@pytest.fixture(scope="module")
def project(engine, tmp_path_factory) -> Project:
    return make_recorded_project(STACK, engine, tmp_path_factory.mktemp("state-and-host"))


@pytest.fixture
def preview(project, tmp_path):
    """Preview with a state (None: an empty one) and a record on the host."""

    def run(state: dict | None, on_host: str = "", **environment: str) -> str:
        if state is None:
            state = recorded_state()
            del state["deployment"]["resources"]
        file = tmp_path / "state.json"
        file.write_text(json.dumps(state))
        project.pulumi("stack", "import", "--force", "--file", str(file))
        answer = (RECORDED / f"{STACK}.look.txt").read_text()
        project.answer.write_text(answer.replace("probe -=done", f"{on_host}probe -=done"))
        return project.pulumi("preview", "--non-interactive", check=False, **environment)

    return run


@pytest.mark.parametrize(
    ("state", "on_host", "what"),
    [
        (None, "", UNKNOWN),
        (None, record("state-2"), OTHER),
        (recorded_state(), record("state-1"), OTHER),
        (state_of("state-1", FIRST), record("state-2"), OTHER),
        (state_of("state-1", FIRST), record("state-1"), OLDER),
    ],
    ids=[
        "an empty state, broker of version 0.1",
        "an empty state",
        "a copy from before the first record",
        "another state",
        "an older copy",
    ],
)
def test_a_preview_stops_before_anything_is_registered(preview, state, on_host, what):
    text = preview(state, on_host)

    assert f"broker.container: 'mosquitto-recorded-dev': {what}" in text
    assert "On the host: stack 'dev', " in text
    assert "RandomPassword" not in text


def test_the_state_that_made_the_broker_goes_on(preview):
    text = preview(state_of("state-1", SECOND), record("state-1"))

    assert "error:" not in text
    assert "to replace" not in text


def test_a_take_over_goes_on_with_a_warning(preview):
    container = recorded_settings(STACK).broker.container

    text = preview(None, record("state-2"), SENTIENT_MQTT_TAKE_OVER=container)

    assert "error:" not in text
    assert "this state takes the broker over from stack 'dev', state state-2" in text
    assert "New passwords are generated for admin, paragon_devices, sentient_api_dev" in text


def test_a_take_over_of_another_container_is_none(preview):
    text = preview(None, record("state-2"), SENTIENT_MQTT_TAKE_OVER="other")

    assert OTHER in text


def test_a_preview_that_skips_the_host_is_not_stopped(preview):
    text = preview(state_of("state-1", FIRST), record("state-2"), SENTIENT_MQTT_PREFLIGHT="skip")

    assert "error:" not in text
